//! Modules use lower ones, providers do not know each other, and planning is pure.

use std::collections::BTreeSet;

use super::code::{CRATES, Code, File};
use super::cycles::{Edges, reached};
use super::{NONE, read};

/// Words that have no place in pure code.
const IMPURE: &[&str] = &["async", "await", "tokio", "reqwest", "sqlx"];

/// Folders of pure code. The provider crate's manifest keeps out most of it already.
const PURE: &[&str] = &["src/plan/", "crates/paysync-provider/src/"];

/// The file with the table of providers.
const TABLE: &str = "crates/paysync-provider/src/lib.rs";

/// The layers of `lib.rs`, lowest first; modules of one step stand together.
fn layers(lib: &str) -> Vec<Vec<String>> {
    let doc = lib.lines().filter_map(|line| line.strip_prefix("//!"));
    let doc = doc.collect::<Vec<_>>().join(" ");
    let order = doc.split('`').find(|code| code.contains('→')).unwrap_or("");
    let steps = order.split('→').map(|step| step.split('·'));
    steps
        .map(|step| step.map(|module| module.trim().to_owned()).collect())
        .collect()
}

/// Uses of one module of the program by another that do not go downwards, and modules without a layer.
fn upward_uses(lib: &str, code: &Code) -> BTreeSet<String> {
    let layers = layers(lib);
    let level = |module: &String| layers.iter().position(|step| step.contains(module));
    // The module of the program that a path leads to.
    let module = |names: &[String]| match names {
        [program, module, ..] if program == "paysync" => Some(module.clone()),
        [main] if main == "main" => Some(main.clone()),
        _ => None,
    };
    let modules = code.files().filter_map(|file| module(&file.module));
    let (modules, known) = (modules.collect(), layers.concat().into_iter().collect());
    let strays = BTreeSet::symmetric_difference(&modules, &known);
    let mut complaints: BTreeSet<_> = strays.map(|stray| format!("{stray} is no layer")).collect();
    let mut edges = Edges::new();
    for used in code.uses() {
        let ends = (module(&used.file.module), module(&used.names));
        let (Some(own), Some(other)) = ends else {
            continue;
        };
        if level(&own) < level(&other) {
            complaints.insert(format!("{} uses {other}", used.file.path));
        }
        if own != other {
            edges.entry(own).or_default().insert(other);
        }
    }
    // Modules of one step may use each other, but not in a cycle.
    let cyclic = edges
        .keys()
        .filter(|module| reached(&edges, module).contains(module.as_str()));
    complaints.extend(cyclic.map(|module| format!("{module} uses itself through others")));
    complaints
}

/// Uses of a provider by another, or by what all of them share.
fn shared_providers(code: &Code) -> BTreeSet<String> {
    let uses = code.uses();
    let table = uses.iter().filter(|used| used.file.path == TABLE);
    let table = table.filter_map(|used| used.names.split_last());
    let entries = table.filter(|(name, _)| *name == "ENTRY");
    let providers: BTreeSet<&[String]> = entries.map(|(_, module)| module).collect();
    assert!(providers.len() >= 2, "{providers:?}");
    let mut complaints = BTreeSet::new();
    for used in uses.iter().filter(|used| used.file.path != TABLE) {
        let own = &used.file.module[..];
        let is_own = |provider: &&&[String]| own.starts_with(provider) || provider.starts_with(own);
        for provider in providers
            .iter()
            .filter(|provider| own[0] == provider[0] && !is_own(provider))
        {
            // A family's shared module may be used by its members, and names them.
            let is_family = own.starts_with(&provider[..2]);
            let foreign = if is_family { provider } else { &provider[..2] };
            if used.names.starts_with(foreign) {
                complaints.insert(format!("{} uses {}", used.file.path, foreign.join("::")));
            }
        }
    }
    complaints
}

/// Impure words of pure files.
fn impurities(code: &Code) -> Vec<String> {
    let is_pure = |file: &&File| PURE.iter().any(|folder| file.path.starts_with(folder));
    let mut complaints = Vec::new();
    for file in code.files().filter(is_pure) {
        for names in &file.written {
            let mut words = names.iter().map(String::as_str);
            let reads_clock = names.ends_with(&["now".to_owned(), "()".to_owned()]);
            if reads_clock || words.any(|word| IMPURE.contains(&word)) {
                complaints.push(format!("{} says {}", file.path, names.join("::")));
            }
        }
    }
    complaints
}

#[test]
fn modules_use_lower_modules_only() {
    let complaints = upward_uses(&read("src/lib.rs"), &Code::real());
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn a_use_that_goes_upwards_is_found() {
    let lib = "//! Layers:\n//! `clock → plan →\n//! transport · store → cli → main`.";
    let modules =
        "src/lib src/main src/clock src/plan src/transport src/store/mod src/store/page src/cli";
    let complaints =
        |more: &[(&str, &str)]| upward_uses(lib, &Code::small(modules, "pub struct X;", more));
    for (path, text) in [
        ("src/store/mod.rs", "use crate::cli::X;"),
        ("src/store/mod.rs", "use crate::{plan, cli};"),
        ("src/store/page.rs", "fn x() { assert!(crate::cli::X) }"),
        ("src/store/page.rs", "use super::super::cli;"),
        ("src/plan.rs", "use super::store::page::X;"),
        ("src/clock.rs", "struct X(crate::plan::X);"),
        ("src/cellar.rs", ""),
    ] {
        assert_eq!(complaints(&[(path, text)]).len(), 1, "{path}: {text}");
    }
    for (path, text) in [
        ("src/store/mod.rs", "use crate::{clock::{self, X}, plan};"),
        ("src/store/page.rs", "use super::super::plan; use super::X;"),
        ("src/transport.rs", "use crate::store::X;"),
        ("src/main.rs", "fn main() { paysync::cli::X }"),
    ] {
        assert!(complaints(&[(path, text)]).is_empty(), "{path}: {text}");
    }
    let cycle = [
        ("src/transport.rs", "use crate::store;"),
        ("src/store/page.rs", "use crate::transport;"),
    ];
    assert_eq!(complaints(&cycle).len(), 2);
    assert!(!upward_uses(&lib.replace("cli", "cli → app"), &Code::new(&[])).is_empty());
}

#[test]
fn providers_do_not_know_each_other() {
    let complaints = shared_providers(&Code::real());
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn a_provider_that_knows_another_is_found() {
    let table = "const PROVIDERS: X = [pair::one::ENTRY, pair::two::ENTRY, lone::ENTRY];";
    let modules = "pair/mod pair/one pair/one/item pair/two lone wire".split(' ');
    let modules: Vec<String> = modules
        .map(|module| [CRATES[1].0, module].concat())
        .collect();
    let complaints = |path: &str, text: &str| {
        let more = [(TABLE, table), (&format!("{}{path}.rs", CRATES[1].0), text)];
        shared_providers(&Code::small(&modules.join(" "), "pub struct X;", &more))
    };
    for (path, text) in [
        ("lone", "use super::pair::ENTRY;"),
        ("lone/item", "use crate::{pair, wire};"),
        ("pair/one", "use crate::lone::ENTRY;"),
        ("pair/one/item", "use super::super::two;"),
        ("pair/two", "fn x() { crate::pair::one::ENTRY }"),
        ("wire", "use crate as all; fn x() { all::pair::ENTRY }"),
    ] {
        assert_eq!(complaints(path, text).len(), 1, "{path}: {text}");
    }
    for (path, text) in [
        (
            "pair/one",
            "use super::X; use crate::wire; use self::item::Y;",
        ),
        ("pair/one/item", "use super::super::{X};"),
        ("pair/mod", "use one::X;"),
    ] {
        assert!(complaints(path, text).is_empty(), "{path}: {text}");
    }
}

#[test]
fn providers_and_plans_are_pure() {
    assert_eq!(impurities(&Code::real()), NONE);
    let complaints = |text: &str| impurities(&Code::new(&[("src/plan/a.rs", text)])).len();
    for text in [
        "async fn x() {}",
        "use tokio::time;",
        "fn x(client: reqwest::Client) {}",
        "fn x() { vec![sqlx::query()] }",
        "fn x() { let x = Utc::now(); }",
        "fn x() { assert!(clock.now() > x); }",
    ] {
        assert_eq!(complaints(text), 1, "{text}");
    }
    let pure = "// async\nfn x(now: Time) -> Time { at(now, \"sqlx\"); now }";
    assert_eq!(complaints(pure), 0);
}
