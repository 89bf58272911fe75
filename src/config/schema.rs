//! A JSON Schema of the configuration file, for editors.
//!
//! Keys, their order and their descriptions come from `config/default.toml`; this file adds only the
//! type of each key. A test compares both with the keys that the reader accepts.

use paysync_provider::{PROVIDERS, Settings, build};
use serde_json::{Map, Value, json};

/// The built-in defaults: every key, with comments.
pub(super) const DEFAULTS: &str = include_str!("../../config/default.toml");

/// A table of `config/default.toml`: its keys, each with its comment.
struct Section {
    name: String,
    keys: Vec<(String, String)>,
}

/// The JSON Schema (draft 7) of the configuration file.
pub fn schema() -> Value {
    let mut tables = Map::new();
    for section in sections() {
        let keys = section.keys.iter();
        let kinds =
            keys.map(|(key, text)| (key.clone(), described(kind(&section.name, key), text)));
        let mut table = json!({
            "type": "object",
            "properties": kinds.collect::<Map<_, _>>(),
            "additionalProperties": false,
        });
        if section.name == "accounts" {
            let mut required = section.keys.clone();
            required.retain(|(_, text)| text.ends_with("Required."));
            let required = required.into_iter().map(|(key, _)| key.into()).collect();
            set(&mut table, "required", Value::Array(required));
            set(&mut table, "allOf", credentials());
            let list = json!({ "type": "array", "items": table });
            let text = "One for each set of credentials at a provider.";
            tables.insert(section.name, described(list, text));
        } else {
            tables.insert(section.name, table);
        }
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "The configuration of paysync",
        "type": "object",
        "properties": tables,
        "additionalProperties": false,
        "definitions": {
            "duration": {
                "type": "string",
                "pattern": r"^\s*(\d+\s*[a-zA-Zµ]+\s*)+$|^0$",
                "examples": ["500ms", "30s", "10m", "3d", "1h 30m"],
            },
            "secret": {
                "oneOf": [
                    { "type": ["string", "integer"] },
                    reference("env", "A variable of the environment."),
                    reference("file", "A file; a relative path starts at the folder of the configuration."),
                ],
            },
            "paths": {
                "type": "array",
                "items": { "type": "string", "pattern": r"^[^.]+(\.[^.]+)*$" },
            },
            "tiers": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "within": { "$ref": "#/definitions/duration" },
                        "every": { "$ref": "#/definitions/duration" },
                    },
                    "required": ["within", "every"],
                    "additionalProperties": false,
                },
            },
        },
    })
}

fn reference(form: &str, text: &str) -> Value {
    json!({
        "type": "object",
        "properties": { form: { "type": "string", "description": text } },
        "required": [form],
        "additionalProperties": false,
    })
}

/// The type of a key.
fn kind(section: &str, key: &str) -> Value {
    let of = |name: &str| json!({ "$ref": format!("#/definitions/{name}") });
    match (section, key) {
        ("database", "url" | "direct_url") | (_, "salt") => of("secret"),
        ("log", "format") => json!({ "enum": ["json", "text"] }),
        (_, "provider") => {
            let codes: Vec<&str> = PROVIDERS.iter().map(|entry| entry.code).collect();
            json!({ "enum": codes })
        }
        (_, "id") => json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$" }),
        (_, "base_url") => json!({ "type": "string", "pattern": r"^https?://[^?#@]+$" }),
        (_, "concurrency") => json!({ "type": "integer", "minimum": 1, "maximum": 16 }),
        (_, "max_connections" | "page_memory_mib" | "page_size" | "requests_per_minute") => {
            json!({ "type": "integer", "minimum": 1 })
        }
        (_, "allow_http" | "prepared_statements") => json!({ "type": "boolean" }),
        (_, "credentials") => json!({ "type": "object", "additionalProperties": of("secret") }),
        ("redact", _) => of("paths"),
        (_, "redact") => json!({
            "type": "object",
            "properties": { "mask": of("paths"), "hash": of("paths"), "drop": of("paths") },
            "additionalProperties": false,
        }),
        (_, "options") => json!({ "type": "object" }),
        (_, "lease_ttl" | "poll_interval" | "lag" | "overlap" | "max_window" | "timeout") => {
            of("duration")
        }
        (_, "rescan" | "repoll" | "audit") => of("tiers"),
        _ => json!({ "type": "string" }),
    }
}

/// The credentials that each provider accepts.
fn credentials() -> Value {
    let settings = Settings {
        time_zone: chrono_tz::Tz::UTC,
        options: json!({}),
    };
    let rules = PROVIDERS.iter().filter_map(|entry| {
        // A provider that requires options has no rule.
        let spec = build(entry.code, &settings).ok()?.spec();
        let takes = spec.credentials.iter().chain(spec.optional_credentials);
        let takes: Map<String, Value> = takes.map(|key| ((*key).to_owned(), json!({}))).collect();
        Some(json!({
            "if": { "properties": { "provider": { "const": entry.code } }, "required": ["provider"] },
            "then": { "properties": { "credentials": {
                "properties": takes,
                "required": spec.credentials,
                "additionalProperties": false,
            } } },
        }))
    });
    rules.collect()
}

/// The tables of `config/default.toml`, including those in comments.
fn sections() -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut text: Vec<&str> = Vec::new();
    for line in DEFAULTS.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            text.push(comment);
            continue;
        }
        let shown = line.strip_prefix('#').unwrap_or(line);
        if shown.starts_with('[') {
            let name = shown.trim_matches(['[', ']']).to_owned();
            let keys = Vec::new();
            sections.push(Section { name, keys });
        } else if let (Some((key, _)), Some(section)) =
            (shown.split_once(" = "), sections.last_mut())
        {
            section.keys.push((key.to_owned(), text.join(" ")));
        }
        text.clear();
    }
    sections
}

fn described(mut kind: Value, text: &str) -> Value {
    set(&mut kind, "description", text.trim_end_matches(':').into());
    kind
}

fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}
