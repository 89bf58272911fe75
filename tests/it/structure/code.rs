//! The workspace's code as `syn` reads it: which file names which items of which other file.
//!
//! Tests do not count. Calls of methods are not seen: a method belongs to its type, wherever its `impl` is.

use std::collections::{BTreeMap, BTreeSet};

use syn::buffer::{Cursor, TokenBuffer};
use syn::visit::Visit;
use syn::{ItemMod, ItemUse, UseTree};

use super::{before_tests, files};

/// Folders of code, and the crate that each holds.
pub(super) const CRATES: [(&str, &str); 3] = [
    ("src/", "paysync"),
    ("crates/paysync-provider/src/", "paysync_provider"),
    ("crates/paysync-simulator/src/", "paysync_simulator"),
];

/// A path of names; the first is the crate, unless the path is as written.
pub(super) type Names = Vec<String>;

#[derive(Default)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) module: Names,
    /// Names that a `use` brings in, with the path as written.
    aliases: Vec<(String, Names)>,
    /// Paths and single names, as written.
    pub(super) written: BTreeSet<Names>,
}

/// One file names something of the workspace.
pub(super) struct Use<'a> {
    pub(super) file: &'a File,
    pub(super) names: Names,
    /// The file that defines the item; none for a module, which is named on the way to its items.
    pub(super) defined_in: Option<&'a str>,
}

pub(super) struct Code(BTreeMap<Names, File>);

impl Code {
    /// The code of the workspace.
    pub(super) fn real() -> Self {
        let files = files(&CRATES.map(|(folder, _)| folder), ".rs");
        let texts = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()));
        Self::new(&texts.collect::<Vec<_>>())
    }

    /// Code from paths and texts, of which a later one replaces an earlier one.
    pub(super) fn new(texts: &[(&str, &str)]) -> Self {
        let files = texts.iter().map(|(path, text)| File::new(path, text));
        let files = files.filter(|file| !file.module.contains(&"tests".to_owned()));
        Self(files.map(|file| (file.module.clone(), file)).collect())
    }

    /// An example: modules with the same text, and further ones.
    pub(super) fn small(modules: &str, text: &str, more: &[(&str, &str)]) -> Self {
        let paths: Vec<String> = modules
            .split(' ')
            .map(|module| format!("{module}.rs"))
            .collect();
        let mut texts: Vec<_> = paths.iter().map(|path| (path.as_str(), text)).collect();
        texts.extend(more);
        Self::new(&texts)
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &File> {
        self.0.values()
    }

    pub(super) fn uses(&self) -> Vec<Use<'_>> {
        let mut uses = Vec::new();
        for file in self.files() {
            for written in &file.written {
                let names = self.find(&file.module, written);
                let is_module = self.0.contains_key(&names);
                let holder = self.0.get(&names[..names.len() - 1]);
                let holder = holder.filter(|_| !is_module);
                uses.push(Use {
                    file,
                    names,
                    defined_in: holder.map(|holder| holder.path.as_str()),
                });
            }
        }
        uses
    }

    /// The item or module that a path means, seen from a module. A name of another crate seems to be an item of
    /// the module that uses it.
    fn find(&self, from: &[String], path: &[String]) -> Names {
        let Some((name, rest)) = path.split_first() else {
            return from.to_vec();
        };
        let named = [from, std::slice::from_ref(name)].concat();
        let file = self.0.get(from);
        let mut aliases = file.iter().flat_map(|file| &file.aliases);
        let alias = aliases.find(|(alias, meant)| alias == name && meant[0] != *name);
        match name.as_str() {
            "crate" => self.find(&from[..1], rest),
            "self" => self.find(from, rest),
            "()" => from.to_vec(),
            "super" => self.find(&from[..from.len() - 1], rest),
            _ if self.0.contains_key(&named) => self.find(&named, rest),
            _ if alias.is_some() => self.find(from, &[&alias.unwrap().1, rest].concat()),
            name if CRATES.iter().any(|(_, known)| *known == name) => self.find(&path[..1], rest),
            _ => named,
        }
    }
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        let text = before_tests(text);
        let mut file = Self {
            path: path.to_owned(),
            module: module_of(path),
            ..Self::default()
        };
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        file.visit_file(&parsed);
        let tokens = TokenBuffer::new2(syn::parse_str(text).unwrap());
        let mut found = Vec::new();
        paths(tokens.begin(), &mut found);
        file.written.extend(found);
        file
    }

    fn read_use(&mut self, tree: &UseTree, mut base: Names) {
        let (name, alias) = match tree {
            UseTree::Path(path) => {
                base.push(path.ident.to_string());
                return self.read_use(&path.tree, base);
            }
            UseTree::Group(group) => {
                let trees = group.items.iter();
                return trees.for_each(|tree| self.read_use(tree, base.clone()));
            }
            UseTree::Name(name) => (&name.ident, &name.ident),
            UseTree::Rename(name) => (&name.ident, &name.rename),
            // Clippy allows it for preludes only.
            UseTree::Glob(_) => return,
        };
        if name != "self" {
            base.push(name.to_string());
        }
        let last = base.last().filter(|_| alias == "self");
        let alias = last.cloned().unwrap_or_else(|| alias.to_string());
        self.aliases.push((alias, base.clone()));
        self.written.insert(base);
    }
}

impl<'a> Visit<'a> for File {
    fn visit_item_use(&mut self, item: &'a ItemUse) {
        if item.leading_colon.is_none() {
            self.read_use(&item.tree, Vec::new());
        }
    }

    fn visit_item_mod(&mut self, item: &'a ItemMod) {
        let is_file = item.content.is_none();
        assert!(is_file, "{}: a module inside a file", self.path);
    }
}

/// `src/store/page.rs` is `paysync::store::page`; the program's `main.rs` is a crate of its own.
fn module_of(path: &str) -> Names {
    let mut crates = CRATES.iter();
    let found = crates.find_map(|(folder, name)| Some((path.strip_prefix(folder)?, *name)));
    let (below, name) = found.unwrap_or_else(|| panic!("{path} is in no crate"));
    let parts = below.trim_end_matches(".rs").split('/');
    let parts = parts.filter(|part| !["lib", "mod"].contains(part));
    let module = [name].into_iter().chain(parts);
    let module = module.skip(usize::from(below == "main.rs"));
    module.map(str::to_owned).collect()
}

/// Paths among tokens, macros' too, but not those of `use`. `()` ends one that is called without arguments.
fn paths(mut at: Cursor<'_>, found: &mut Vec<Names>) {
    let (mut colons, mut in_use) = (0, false);
    while let Some((_, next)) = at.token_tree() {
        let name = at.ident().map(|(name, _)| name.to_string());
        let group = at.any_group().map(|(inner, ..)| inner);
        let mark = at.punct().map(|(mark, _)| mark.as_char());
        let is_capture = next.punct().is_some_and(|(mark, _)| mark.as_char() == '<');
        let starts_use = name.as_deref() == Some("use") && !is_capture;
        in_use = starts_use || in_use && mark != Some(';');
        match (name, group, found.last_mut()) {
            _ if in_use => {}
            (Some(name), _, Some(path)) if colons == 2 => path.push(name),
            (Some(name), ..) => found.push(vec![name]),
            (_, Some(inner), Some(path)) if inner.eof() => path.push("()".to_owned()),
            (_, Some(inner), _) => paths(inner, found),
            _ if mark != Some(':') => found.push(Vec::new()),
            _ => {}
        }
        colons = if mark == Some(':') { colons + 1 } else { 0 };
        at = next;
    }
}

#[test]
fn an_item_is_found_where_it_is_defined() {
    let found = |text: &str| {
        let code = Code::new(&[
            ("src/lib.rs", "pub use a::Inner as Outer;"),
            ("src/a/mod.rs", "pub use inner::Inner; pub struct Own;"),
            ("src/a/inner.rs", "pub struct Inner;"),
            ("src/b.rs", text),
        ]);
        let mut uses = code.uses();
        uses.retain(|used| used.file.path == "src/b.rs" && used.defined_in != Some("src/b.rs"));
        let files = uses.iter().filter_map(|used| used.defined_in);
        files.map(str::to_owned).collect::<Vec<_>>()
    };
    for text in [
        "use crate::a::Inner;",
        "use crate::a::{self, inner::Inner as Other};",
        "use crate::Outer;",
        "use crate::a::inner; const X: u8 = inner::X;",
        "use crate::a::inner as d; fn x() { println!(\"{}\", d::x()) }",
        "use crate::a; fn x() { a::Inner::One(()) }",
        "#[arg(parser = super::a::Inner)] struct X;",
        "fn x() -> Vec<paysync::a::Inner> {}",
        "fn x() { use crate::a::Inner; }",
    ] {
        assert_eq!(found(text), ["src/a/inner.rs"], "{text}");
    }
    assert_eq!(found("use super::a::Own;"), ["src/a/mod.rs"]);
    for text in [
        "use crate::a::inner;",
        "#[cfg(test)]\nmod tests { use crate::a::Inner; }",
        "// crate::a::Inner\nconst X: &str = \"crate::a::Inner\";",
        "use ::a::Inner; use other::Inner; use tracing::{self};",
    ] {
        assert!(found(text).is_empty(), "{text}");
    }
}
