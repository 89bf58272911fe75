//! What an installation takes out of items, besides what always goes.

use secrecy::{ExposeSecret as _, SecretString};

use super::ConfigError;
use super::table::Table;
use super::value;

/// Members of items by their paths, and what becomes of them. A path is the keys from an item's top,
/// joined by dots; `*` is any one key.
#[derive(Debug, Clone, Default)]
pub struct Redact {
    /// Their value becomes `***`.
    pub mask: Vec<String>,
    /// Their value becomes a keyed hash.
    pub hash: Vec<String>,
    /// They go, key and value.
    pub drop: Vec<String>,
    /// The key of the hashes; there if anything is hashed.
    pub salt: Option<SecretString>,
}

/// Whether they take out the same in the same way.
impl PartialEq for Redact {
    fn eq(&self, other: &Self) -> bool {
        let salt = |redact: &Self| redact.salt.as_ref().map(|it| it.expose_secret().to_owned());
        self.lists() == other.lists() && salt(self) == salt(other)
    }
}

impl Redact {
    /// The paths, by the key that names their action.
    pub fn lists(&self) -> [(&'static str, &[String]); 3] {
        [
            ("mask", &self.mask),
            ("hash", &self.hash),
            ("drop", &self.drop),
        ]
    }

    /// Reads the section of all accounts.
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let mut redact = Self::read_paths(table)?;
        redact.salt = table.optional("salt", value::salt)?;
        if redact.salt.is_none() && !redact.hash.is_empty() {
            return Err(table.error("hash", NEEDS_SALT));
        }
        Ok(redact)
    }

    /// Reads the section of one account, which adds to that of all.
    pub(super) fn read_more(&self, table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let own = Self::read_paths(table)?;
        if self.salt.is_none() && !own.hash.is_empty() {
            return Err(table.error("hash", NEEDS_SALT));
        }
        for (action, paths) in own.lists() {
            if let Some((path, other)) = clash(action, paths, self) {
                let problem = format!("{path:?} is under {other} for all accounts already");
                return Err(table.error(action, problem));
            }
        }
        let both = |all: &[String], own: Vec<String>| [all, own.as_slice()].concat();
        Ok(Self {
            mask: both(&self.mask, own.mask),
            hash: both(&self.hash, own.hash),
            drop: both(&self.drop, own.drop),
            salt: self.salt.clone(),
        })
    }

    fn read_paths(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let mut paths = |key| {
            table
                .optional(key, value::paths)
                .map(Option::unwrap_or_default)
        };
        let redact = Self {
            mask: paths("mask")?,
            hash: paths("hash")?,
            drop: paths("drop")?,
            salt: None,
        };
        for (action, paths) in redact.lists() {
            if let Some((path, other)) = clash(action, paths, &redact) {
                let problem =
                    format!("{path:?} is under {other} too, and can have one action only");
                return Err(table.error(action, problem));
            }
        }
        Ok(redact)
    }

    /// The action and path of the first rule that takes out a key at an item's top.
    pub(super) fn takes(&self, key: &str) -> Option<(&'static str, &str)> {
        self.lists().into_iter().find_map(|(action, paths)| {
            let path = paths.iter().find(|path| *path == key || *path == "*")?;
            Some((action, path.as_str()))
        })
    }
}

const NEEDS_SALT: &str =
    "needs a secret of this installation, set redact.salt, as in salt = { file = \"salt\" }";

/// The first of an action's paths that has another action in `redact`.
fn clash<'p>(
    action: &str,
    paths: &'p [String],
    redact: &Redact,
) -> Option<(&'p String, &'static str)> {
    let others = redact
        .lists()
        .into_iter()
        .filter(|(other, _)| *other != action);
    others
        .flat_map(|(other, held)| held.iter().map(move |path| (path, other)))
        .find_map(|(held, other)| {
            let path = paths.iter().find(|path| *path == held)?;
            Some((path, other))
        })
}
