//! An error of the configuration.

use std::path::Path;

use thiserror::Error;

/// A problem of the configuration: one line with place and remedy, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ConfigError(pub(super) String);

/// A syntax error of TOML without the lines it quotes, which may hold secrets.
pub(super) fn syntax_error(file: Option<&Path>, error: &::config::ConfigError) -> ConfigError {
    let text = match error {
        ::config::ConfigError::FileParse { cause, .. } => cause.to_string(),
        other => other.to_string(),
    };
    let first = text.lines().next().unwrap_or_default();
    let place = first.strip_prefix("TOML parse error at ");
    let last = text.lines().last().filter(|_| place.is_some());
    let file = file.map_or("the defaults".into(), Path::to_string_lossy);
    ConfigError(match last {
        Some(last) => format!("{file}: {}: {last}", place.unwrap_or_default()),
        None => format!("{file}: {first}"),
    })
}
