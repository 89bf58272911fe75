//! Manifests: the crates that a crate may use, features of a released program, fuzz targets.

use paysync_provider::PROVIDERS;
use serde_json::Value;

use super::{NONE, read};

/// Sections of a manifest that may name crates.
const ALL: &[&str] = &["dependencies", "build-dependencies", "dev-dependencies"];

fn manifest(text: &str) -> Value {
    let text = config::File::from_str(text, config::FileFormat::Toml);
    let manifest = config::Config::builder().add_source(text).build();
    manifest.unwrap().try_deserialize().unwrap()
}

/// Crates that a manifest names in some of its sections, of those that start with a forbidden name.
fn forbidden(manifest: &Value, sections: &[&str], names: &[&str]) -> Vec<String> {
    let tables = sections.iter().filter_map(|s| manifest[s].as_object());
    let crates = tables.flat_map(|crates| crates.keys().cloned());
    let is_wrong = |name: &String| names.iter().any(|start| name.starts_with(start));
    crates.filter(is_wrong).collect()
}

/// Tests let the process die at failpoints: no program that is built for use has them.
fn has_failpoints(manifest: &Value) -> bool {
    let features = &manifest["dependencies"]["fail"]["features"];
    !features.is_null() || !manifest["features"]["default"].is_null()
}

#[test]
fn crates_name_no_crate_that_they_must_not_use() {
    let provider = manifest(&read("crates/paysync-provider/Cargo.toml"));
    assert_eq!(forbidden(&provider, ALL, &["serde_json"]), ["serde_json"]);
    let impure = ["tokio", "reqwest", "sqlx", "paysync"];
    assert_eq!(forbidden(&provider, ALL, &impure), NONE);
    let simulator = manifest(&read("crates/paysync-simulator/Cargo.toml"));
    assert_eq!(forbidden(&simulator, ALL, &["sqlx", "paysync"]), NONE);
    assert_eq!(forbidden(&simulator, &ALL[..2], &["reqwest"]), NONE);
    let wrong = "package.name = \"tokio\"\n[dependencies]\ntokio-util.workspace = true\n# sqlx\n[dev-dependencies.sqlx]\nversion = \"1\"";
    assert_eq!(
        forbidden(&manifest(wrong), ALL, &impure),
        ["tokio-util", "sqlx"]
    );
}

#[test]
fn a_released_program_has_no_failpoints() {
    let text = read("Cargo.toml");
    assert!(!manifest(&text)["dependencies"]["fail"].is_null());
    assert!(!has_failpoints(&manifest(&text)));
    let by_default = text.replace("[features]", "[features]\ndefault = [\"failpoints\"]");
    assert!(has_failpoints(&manifest(&by_default)));
    let armed = text.replacen(
        "fail = \"0.5\"",
        "fail = { version = \"0.5\", features = [\"failpoints\"] }",
        1,
    );
    assert!(has_failpoints(&manifest(&armed)));
}

#[test]
fn every_provider_is_fuzzed() {
    let manifest = read("fuzz/Cargo.toml");
    for entry in PROVIDERS {
        for part in ["page", "normalize"] {
            let name = format!("{}_{part}", entry.code);
            let target = read(&format!("fuzz/fuzz_targets/{name}.rs"));
            let call = format!("paysync_fuzz::{part}(\"{}\", data)", entry.code);
            assert!(target.contains(&call), "{name}");
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        }
    }
}
