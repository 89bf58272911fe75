//! The documents against the program: what they quote is what it says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use paysync_provider::{PROVIDERS, Settings};
use sqlx::{AssertSqlSafe, PgPool};

use crate::support::SOURCES;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The cells of a document's tables, row by row.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|row| row.split(" | ").collect())
}

/// What stands between backticks.
fn quotes(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn sources(folder: PathBuf, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// The metrics that `docs/OPERATIONS.md` describes.
pub(crate) fn metrics() -> BTreeSet<String> {
    let text = read("docs/OPERATIONS.md");
    let names = rows(&text).filter_map(|cells| quotes(cells[0]).next().map(str::to_owned));
    let names: BTreeSet<String> = names.filter(|name| name.starts_with("paysync_")).collect();
    assert!(names.len() > 10, "{names:?}");
    names
}

/// The program's text, with every run of blanks as one.
fn program() -> String {
    let mut program = String::new();
    for folder in SOURCES {
        sources(root().join(folder), &mut program);
    }
    program.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn quoted_log_lines_exist_in_the_program() {
    let program = program();
    let text = read("docs/OPERATIONS.md");
    let (_, section) = text.split_once("## What goes wrong").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let mut checked = 0;
    for cells in rows(section).filter(|cells| cells.len() == 4) {
        for quote in [cells[1], cells[3]].into_iter().flat_map(quotes) {
            if quote.starts_with("paysync ") || quote == "cause" || quote == "sync" {
                continue;
            }
            assert!(program.contains(quote), "the program never says: {quote}");
            checked += 1;
        }
    }
    assert!(checked >= 15, "only {checked} quotes were found");
}

/// Names of the functions that are tests, in `tests/it` and beside the code.
fn tests() -> BTreeSet<String> {
    let mut text = String::new();
    for folder in SOURCES.into_iter().chain(["tests/it"]) {
        sources(root().join(folder), &mut text);
    }
    let mut names = BTreeSet::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line.contains("test") && !line.contains("cfg");
        } else if let Some((_, rest)) = line.split_once("fn ") {
            if is_test {
                names.extend(rest.split(['(', '<']).next().map(str::to_owned));
            }
            is_test = false;
        }
    }
    names
}

/// Each fault has a row with its tests and the lines that report it.
#[test]
fn the_fault_matrix_names_tests_and_lines_that_exist() {
    let (program, tests) = (program(), tests());
    let text = read("docs/RELIABILITY.md");
    let (_, matrix) = text.split_once("## The fault matrix").unwrap();
    let (matrix, _) = matrix.split_once("\n## ").unwrap_or((matrix, ""));
    let (mut faults, mut lines) = (0, 0);
    for cells in rows(matrix).filter(|cells| cells.len() > 1 && cells[0] != "fault") {
        assert_eq!(cells.len(), 4, "{cells:?}");
        for quote in quotes(cells[2]) {
            assert!(program.contains(quote), "the program never says: {quote}");
            lines += 1;
        }
        let (scripts, named): (Vec<&str>, Vec<&str>) =
            quotes(cells[3]).partition(|name| name.starts_with("scripts/"));
        assert!(!named.is_empty(), "no test proves: {}", cells[0]);
        for name in named {
            assert!(tests.contains(name), "there is no test {name}");
        }
        for script in scripts {
            assert!(root().join(script).exists(), "there is no {script}");
        }
        faults += 1;
    }
    assert!(
        faults >= 50 && lines >= 30,
        "{faults} faults, {lines} lines"
    );
    // Tests that the prose names are as true as those of the table.
    for name in quotes(&text).filter(|word| word.matches('_').count() >= 3) {
        let is_known = tests.contains(name) || program.contains(name);
        assert!(is_known, "neither a test nor the program's: {name}");
    }
}

#[test]
fn alerts_are_made_of_metrics_that_exist() {
    let metrics = metrics();
    let rules = read("deploy/prometheus/rules.yml");
    let named = rules
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("paysync_"));
    let named: BTreeSet<&str> = named.collect();
    assert!(named.len() >= 6, "{named:?}");
    for name in named {
        assert!(metrics.contains(name), "{name} is not documented");
    }
}

/// CONTRIBUTING.md names every step of `scripts/check`, and every script that documents name exists.
#[test]
fn contributing_names_every_check() {
    let check = read("scripts/check");
    let contributing = read("CONTRIBUTING.md");
    let steps = check.split("step \"").skip(1);
    let steps: Vec<&str> = steps.filter_map(|rest| rest.split('"').next()).collect();
    assert!(steps.len() >= 10, "{steps:?}");
    for step in steps {
        assert!(
            contributing.contains(&format!("| {step} | ")),
            "{step} is not named"
        );
    }
    let documents = [
        contributing,
        read("SECURITY.md"),
        read("docs/OPERATIONS.md"),
    ]
    .concat();
    let mut scripts = 0;
    for rest in documents.split("scripts/").skip(1) {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        let name = rest.split_at(end.unwrap_or(rest.len())).0;
        let is_there = name.is_empty() || root().join("scripts").join(name).exists();
        assert!(is_there, "there is no scripts/{name}");
        scripts += 1;
    }
    assert!(scripts >= 10, "only {scripts} were found");
}

/// Users are promised the versions of PostgreSQL that continuous integration tests, and no others.
#[test]
fn all_files_name_the_same_versions_of_postgresql() {
    let workflow = read(".github/workflows/ci.yml");
    let (_, matrix) = workflow.split_once("postgres: [").unwrap();
    let (matrix, _) = matrix.split_once(']').unwrap();
    let versions: Vec<&str> = matrix.split(", ").map(|v| v.trim_matches('"')).collect();
    let (oldest, newest) = (versions[0], versions[versions.len() - 1]);
    let said = [
        ("README.md", format!("(PostgreSQL {oldest} to {newest})")),
        (
            "scripts/test-postgres",
            format!("set -- {}\n", versions.join(" ")),
        ),
        ("scripts/postgres", format!("\noldest={oldest}\n")),
        (
            "src/launcher/binaries.rs",
            format!("OLDEST_VERSION: u16 = {oldest};"),
        ),
    ];
    let pins = versions
        .iter()
        .map(|v| ("scripts/postgres", format!("[{v}]={v}.")));
    for (file, words) in said.into_iter().chain(pins) {
        assert!(read(file).contains(&words), "{file} does not say {words}");
    }
}

/// The documents and their texts.
fn documents() -> Vec<(PathBuf, String)> {
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let others = [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "benches/peers/README.md",
    ];
    let documents = docs
        .chain(others.map(|name| root().join(name)))
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    documents
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect()
}

/// The blocks of a document in a language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("\n```{language}\n");
    let starts = text.split(fence.as_str()).skip(1);
    starts
        .map(|block| block.split("\n```").next().unwrap())
        .collect()
}

/// A heading as links name it.
fn anchor(heading: &str) -> String {
    let plain = heading.trim_start_matches('#').trim().to_lowercase();
    plain
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// Links between the documents lead somewhere, and to headings that are there.
#[test]
fn links_lead_somewhere() {
    let mut checked = 0;
    for (document, text) in documents() {
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.contains("://") {
                continue;
            }
            let (target, heading) = link.split_once('#').unwrap_or((link, ""));
            let path = match target {
                "" => document.clone(),
                _ => document.parent().unwrap().join(target),
            };
            assert!(path.exists(), "{}: {link}", document.display());
            if !heading.is_empty() {
                let text = fs::read_to_string(&path).unwrap();
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                let is_there = headings.any(|line| anchor(line) == heading);
                assert!(is_there, "{}: {link}", document.display());
            }
            checked += 1;
        }
    }
    assert!(checked >= 30, "only {checked} links were found");
}

/// Scripts that the documents show are there and know the flags.
#[test]
fn scripts_know_the_flags_that_are_shown() {
    let mut shown = 0;
    for (document, text) in documents() {
        let lines = blocks(&text, "sh").into_iter().flat_map(str::lines);
        for line in lines.filter(|line| line.starts_with("scripts/")) {
            let mut words = line.split('#').next().unwrap().split_whitespace();
            let script = read(words.next().unwrap());
            // The command that `scripts/with-pg` runs has flags of its own.
            let words = words.take_while(|word| *word != "cargo");
            for flag in words.filter(|word| word.starts_with("--")) {
                assert!(script.contains(flag), "{}: {line}", document.display());
            }
            shown += 1;
        }
    }
    assert!(shown >= 10, "only {shown} were found");
}

/// PostgreSQL takes the statements of the documents.
#[sqlx::test(migrations = "./migrations")]
async fn statements_run(pool: PgPool) {
    let mut ran = 0;
    for (document, text) in documents() {
        for block in blocks(&text, "sql") {
            let done = sqlx::raw_sql(AssertSqlSafe(block)).execute(&pool).await;
            assert!(done.is_ok(), "{}: {done:?}\n{block}", document.display());
            ran += 1;
        }
    }
    assert!(ran >= 2);
}

#[test]
fn every_provider_is_described() {
    let text = read("docs/PROVIDERS.md");
    let readme = read("README.md");
    let settings_file = read("config/default.toml");
    for entry in PROVIDERS {
        let (_, section) = text
            .split_once(&format!("\n## {}\n", entry.code))
            .unwrap_or_else(|| panic!("docs/PROVIDERS.md has no section {}", entry.code));
        let section = section.split("\n## ").next().unwrap();
        let settings = Settings {
            time_zone: chrono_tz::Tz::UTC,
            options: serde_json::json!({}),
        };
        let spec = (entry.build)(&settings).unwrap().spec();
        let streams = spec.streams.iter().map(|stream| &stream.name);
        let words = streams
            .map(|name| name.split('/').next().unwrap())
            .chain([spec.documentation]);
        for word in words {
            assert!(
                section.contains(word),
                "docs/PROVIDERS.md, {}: does not say {word}",
                entry.code
            );
        }
        for column in [format!(" `{}` |", entry.code), format!(" {} |", entry.code)] {
            assert!(
                text.contains(&column),
                "docs/PROVIDERS.md: no table has the column{column}"
            );
        }
        let code = format!("`{}`", entry.code);
        let row = rows(&readme)
            .find(|cells| cells[0] == code)
            .unwrap_or_else(|| panic!("README.md has no row for the provider {code}"));
        let keys = spec.credentials.iter().chain(spec.optional_credentials);
        for key in keys {
            let key = format!("`{key}`");
            assert!(text.contains(&key), "docs/PROVIDERS.md, {code}: no {key}");
            assert!(row[2].contains(&key), "README.md, {code}: no {key}");
        }
        assert!(
            settings_file.contains(entry.code),
            "config/default.toml does not name {code}"
        );
    }
}
