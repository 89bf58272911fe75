//! Rules of structure that neither the compiler nor a lint can check.
//!
//! Each rule is a function from texts to complaints. It is tried on the real files and on small wrong examples:
//! a rule that cannot complain checks nothing.

use std::fs;
use std::path::{Path, PathBuf};

mod code;
mod commands;
mod cycles;
mod files;
mod layers;
mod manifests;

const NONE: [&str; 0] = [];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The part of a file before its own tests.
fn before_tests(text: &str) -> &str {
    let mut parts = text.split("#[cfg(test)]\nmod tests {");
    parts.next().unwrap_or_default()
}

/// Files below some folders of the repository whose names end so: path from the root, and text.
fn files(folders: &[&str], ending: &str) -> Vec<(String, String)> {
    let mut open: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                open.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                let path = path.to_str().unwrap().to_owned();
                found.push((path.clone(), read(&path)));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{folders:?} have no *{ending}");
    found
}
