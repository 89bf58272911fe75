//! The origin of settings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ::config::{Value, ValueKind};
use serde::Serialize;

/// Where one setting comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "from", content = "name", rename_all = "lowercase")]
pub enum Origin {
    /// The built-in defaults.
    Default,
    /// The defaults of the account's provider.
    Provider,
    /// The file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
}

/// The origin of each setting, by key: `database.url`, `accounts[0].lag`.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    file: PathBuf,
    written: BTreeSet<String>,
    references: BTreeMap<String, BTreeMap<String, String>>,
    variables: BTreeMap<String, String>,
}

impl Origins {
    /// Records the keys of a file and the environment variables that set keys.
    pub(super) fn new(
        file: Option<&Path>,
        written: &Value,
        variables: &BTreeMap<String, String>,
    ) -> Self {
        let mut origins = Self {
            file: file.map(Path::to_owned).unwrap_or_default(),
            variables: variables.clone(),
            ..Self::default()
        };
        origins.record("", written);
        origins
    }

    /// The origin of a key; `None` for a default.
    pub fn of(&self, key: &str) -> Option<Origin> {
        let variable = self.variables.get(key).cloned();
        let in_file = self.written.contains(key);
        let file = in_file.then(|| Origin::File(self.file.clone()));
        variable.map(Origin::Environment).or(file)
    }

    /// The reference that the file has in place of a secret: `{"env": "NAME"}`; `None` if it has the secret
    /// itself.
    pub fn reference(&self, key: &str) -> Option<&BTreeMap<String, String>> {
        let overridden = self.variables.contains_key(key);
        self.references.get(key).filter(|_| !overridden)
    }

    fn record(&mut self, key: &str, value: &Value) {
        self.written.insert(key.to_owned());
        match &value.kind {
            ValueKind::Table(entries) => {
                for (name, entry) in entries {
                    let dot = if key.is_empty() { "" } else { "." };
                    self.record(&format!("{key}{dot}{name}"), entry);
                    if let (ValueKind::String(text), "env" | "file", 1) =
                        (&entry.kind, name.as_str(), entries.len())
                    {
                        let reference = BTreeMap::from([(name.clone(), text.clone())]);
                        self.references.insert(key.to_owned(), reference);
                    }
                }
            }
            ValueKind::Array(entries) => {
                for (place, entry) in entries.iter().enumerate() {
                    self.record(&format!("{key}[{place}]"), entry);
                }
            }
            _ => {}
        }
    }
}
