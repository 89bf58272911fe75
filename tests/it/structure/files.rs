//! Files are short, and folders hold few of them.

use std::collections::BTreeMap;

use super::{before_tests, files};

/// Lines that a file may have before its tests.
const LONGEST: usize = 400;

/// Files that a folder may hold.
const FULLEST: usize = 12;

/// Folders of alike files: one for each command.
const ALIKE: &[&str] = &["src/cli", "tests/it/cli"];

/// Files with too many lines; a file of tests counts as a whole.
fn long_files(files: &[(String, String)]) -> Vec<String> {
    let lengths = files
        .iter()
        .map(|(path, text)| (path, before_tests(text).lines().count()));
    let long = lengths.filter(|(_, length)| *length > LONGEST);
    long.map(|(path, length)| format!("{path}: {length} lines"))
        .collect()
}

/// Folders with too many files.
fn full_folders(files: &[(String, String)]) -> Vec<String> {
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    for (folder, _) in files.iter().filter_map(|(path, _)| path.rsplit_once('/')) {
        *folders.entry(folder).or_default() += 1;
    }
    let full = folders
        .iter()
        .filter(|(folder, held)| **held > FULLEST && !ALIKE.contains(folder));
    full.map(|(folder, held)| format!("{folder}: {held} files"))
        .collect()
}

#[test]
fn files_are_short_and_folders_hold_few() {
    let code = files(&["src", "crates"], ".rs");
    let tests = files(&["tests"], ".rs");
    let others = files(&["benches", "fuzz/src", "fuzz/fuzz_targets"], ".rs");
    let complaints = [
        full_folders(&code),
        full_folders(&tests),
        long_files(&code),
        long_files(&tests),
        long_files(&others),
    ];
    let complaints = complaints.concat();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn a_long_file_and_a_full_folder_are_found() {
    let code = "fn x() {}\n".repeat(LONGEST);
    let tests = "#[cfg(test)]\nmod tests {\n}\n".to_owned() + &code;
    let long = |text: &str| long_files(&[("a.rs".to_owned(), text.to_owned())]).len();
    assert_eq!((long(&code), long(&(code.clone() + &tests))), (0, 0));
    assert_eq!(long(&(code.clone() + "\n" + &tests)), 1);
    assert_eq!(long(&format!("#[cfg(test)]\nmod tests;\n{code}")), 1);
    let file = |n: usize| (format!("src/cellar/{n}.rs"), String::new());
    let many: Vec<_> = (0..=FULLEST).map(file).collect();
    assert_eq!(full_folders(&many), ["src/cellar: 13 files"]);
    assert_eq!(full_folders(&many[1..]).len(), 0);
}
