//! No file needs, through others, itself.

use std::collections::{BTreeMap, BTreeSet};

use super::code::Code;

/// Cycles that are there today; no others may come.
const KNOWN: &[&[&str]] = &[
    &[
        "crates/paysync-provider/src/begateway/dwh.rs",
        "crates/paysync-provider/src/begateway/dwh/siblings.rs",
        "crates/paysync-provider/src/begateway/report.rs",
        "crates/paysync-provider/src/convergegate.rs",
        "crates/paysync-provider/src/ecommpay.rs",
        "crates/paysync-provider/src/ecommpay/options.rs",
        "crates/paysync-provider/src/ecommpay/signature.rs",
        "crates/paysync-provider/src/firekassa.rs",
        "crates/paysync-provider/src/lib.rs",
    ],
    &[
        "crates/paysync-provider/src/redact/mod.rs",
        "crates/paysync-provider/src/redact/scan.rs",
    ],
    &[
        "crates/paysync-provider/src/wire.rs",
        "crates/paysync-provider/src/wire/member.rs",
    ],
    &[
        "crates/paysync-simulator/src/ledger/begateway.rs",
        "crates/paysync-simulator/src/ledger/convergegate.rs",
        "crates/paysync-simulator/src/ledger/ecommpay.rs",
        "crates/paysync-simulator/src/ledger/firekassa.rs",
        "crates/paysync-simulator/src/ledger/mod.rs",
        "crates/paysync-simulator/src/ledger/payment.rs",
    ],
    &[
        "src/cli/check.rs",
        "src/cli/demo.rs",
        "src/cli/erase.rs",
        "src/cli/mod.rs",
        "src/cli/operate.rs",
        "src/cli/reload.rs",
        "src/cli/replay.rs",
        "src/cli/run.rs",
        "src/cli/sync.rs",
        "src/cli/verify.rs",
    ],
    &[
        "src/config.rs",
        "src/config/account.rs",
        "src/config/redact.rs",
        "src/config/schema.rs",
        "src/config/table.rs",
        "src/config/value.rs",
    ],
    &[
        "src/engine/fetch.rs",
        "src/engine/opened.rs",
        "src/engine/window.rs",
    ],
    &["src/engine/look.rs", "src/engine/work.rs"],
    &[
        "src/launcher.rs",
        "src/launcher/binaries.rs",
        "src/launcher/error.rs",
        "src/launcher/place.rs",
    ],
    &["src/store/ask.rs", "src/store/transaction.rs"],
    &["src/store/emptying.rs", "src/store/quarantine.rs"],
    &["src/store/page.rs", "src/store/window.rs"],
    &["src/transport/client.rs", "src/transport/mod.rs"],
];

pub(super) type Edges = BTreeMap<String, BTreeSet<String>>;

/// Everything that is used, directly or through others.
pub(super) fn reached<'a>(edges: &'a Edges, from: &'a str) -> BTreeSet<&'a str> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(at) = open.pop() {
        let next = edges.get(at).into_iter().flatten().map(String::as_str);
        open.extend(next.filter(|other| reached.insert(*other)));
    }
    reached
}

/// Groups of files of which each reaches each other, with the uses that make it so: the strongly connected
/// components of more than one file.
fn cycles(code: &Code) -> BTreeMap<Vec<String>, BTreeSet<String>> {
    let (mut edges, mut reasons) = (Edges::new(), Vec::new());
    for used in code.uses() {
        let (from, to) = (used.file.path.clone(), used.defined_in);
        if let Some(to) = to.filter(|to| *to != from) {
            reasons.push((from.clone(), to.to_owned(), used.names.join("::")));
            edges.entry(from).or_default().insert(to.to_owned());
        }
    }
    let every: BTreeMap<_, _> = edges
        .keys()
        .map(|f| (f.as_str(), reached(&edges, f)))
        .collect();
    let reaches = |from: &str, to: &str| every.get(from).is_some_and(|all| all.contains(to));
    let mut cycles: BTreeMap<Vec<String>, BTreeSet<String>> = BTreeMap::new();
    for (from, _, name) in reasons.iter().filter(|(from, to, _)| reaches(to, from)) {
        let group = every[from.as_str()]
            .iter()
            .filter(|other| reaches(other, from));
        let group = group.map(|file| (*file).to_owned()).collect();
        let reason = format!("{from} uses {name}");
        cycles.entry(group).or_default().insert(reason);
    }
    cycles
}

#[test]
fn files_use_each_other_in_no_cycle() {
    let mut found = cycles(&Code::real());
    let is_known =
        |group: &[String], known: &[&str]| group.iter().all(|f| known.contains(&f.as_str()));
    found.retain(|group, _| !KNOWN.iter().any(|known| is_known(group, known)));
    assert!(found.is_empty(), "{} cycles: {found:#?}", found.len());
}

#[test]
fn a_cycle_is_found() {
    let found = |texts: &[(&str, &str)]| {
        let groups = cycles(&Code::new(texts)).into_keys();
        groups.collect::<Vec<_>>()
    };
    let long = [
        ("src/a.rs", "pub struct A(crate::b::B);"),
        ("src/b.rs", "use crate::c; pub struct B; fn b() { c::c() }"),
        ("src/c.rs", "use super::a::A; pub fn c() {}"),
        ("src/d.rs", "use crate::a::A;"),
        ("src/lib.rs", ""),
    ];
    assert_eq!(found(&long), [["src/a.rs", "src/b.rs", "src/c.rs"]]);
    let export = "pub struct Own; pub use child::Child;";
    let child = "pub struct Child; use super::Own;";
    let family = |parent: &str, child: &str| {
        let other = ("src/a/other.rs", "pub struct Own;");
        found(&[("src/a.rs", parent), ("src/a/child.rs", child), other])
    };
    assert_eq!(family(export, child), [["src/a.rs", "src/a/child.rs"]]);
    for (parent, child) in [
        ("mod child; pub struct Own;", child),
        ("pub use other::Own; pub use child::Child;", child),
        (export, "#[cfg(test)]\nmod tests { use super::super::Own; }"),
    ] {
        assert!(family(parent, child).is_empty(), "{parent} {child}");
    }
}
