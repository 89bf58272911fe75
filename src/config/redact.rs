//! Redaction rules of an installation, in addition to the built-in ones.

use paysync_provider::redact::RulePaths;

use super::error::ConfigError;
use super::table::Table;
use super::value;

/// Reads the section for all accounts.
pub(super) fn read(table: &mut Table<'_>) -> Result<RulePaths, ConfigError> {
    let mut redact = read_paths(table)?;
    redact.salt = table.optional("salt", value::salt)?;
    if redact.salt.is_none() && !redact.hash.is_empty() {
        return Err(table.error("hash", NEEDS_SALT));
    }
    Ok(redact)
}

/// Reads the section of one account, which adds to the one for all accounts.
pub(super) fn read_more(all: &RulePaths, table: &mut Table<'_>) -> Result<RulePaths, ConfigError> {
    let own = read_paths(table)?;
    if all.salt.is_none() && !own.hash.is_empty() {
        return Err(table.error("hash", NEEDS_SALT));
    }
    for (action, paths) in own.lists() {
        if let Some((path, other)) = clash(action, paths, all) {
            let problem = format!("{path:?} is already under {other} for all accounts");
            return Err(table.error(action, problem));
        }
    }
    let both = |all: &[String], own: Vec<String>| [all, own.as_slice()].concat();
    Ok(RulePaths {
        mask: both(&all.mask, own.mask),
        hash: both(&all.hash, own.hash),
        drop: both(&all.drop, own.drop),
        salt: all.salt.clone(),
    })
}

fn read_paths(table: &mut Table<'_>) -> Result<RulePaths, ConfigError> {
    let mut paths = |key| table.or(key, value::paths, Vec::new());
    let redact = RulePaths {
        mask: paths("mask")?,
        hash: paths("hash")?,
        drop: paths("drop")?,
        salt: None,
    };
    for (action, paths) in redact.lists() {
        if let Some((path, other)) = clash(action, paths, &redact) {
            let problem = format!("{path:?} is also under {other}, but a path has one action");
            return Err(table.error(action, problem));
        }
    }
    Ok(redact)
}

const NEEDS_SALT: &str =
    "requires a secret of this installation: set redact.salt, as in salt = { file = \"salt\" }";

/// The first of an action's paths that is also under another action in `redact`, with that action.
fn clash<'p>(
    action: &str,
    paths: &[String],
    redact: &'p RulePaths,
) -> Option<(&'p String, &'static str)> {
    redact.lists().into_iter().find_map(|(other, held)| {
        let path = held.iter().find(|path| paths.contains(path))?;
        (other != action).then_some((path, other))
    })
}
