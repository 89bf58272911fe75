//! Errors on one line, and their exit codes.

use paysync_provider::wire::one_line;

use crate::app::UsageError;
use crate::config::ConfigError;
use crate::store::StoreError;

/// 2 for a wrong command line or configuration, 1 for all other errors.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    let is_usage = error.is::<ConfigError>() || error.is::<UsageError>();
    if is_usage { 2 } else { 1 }
}

/// The chain of causes on one line, with a hint.
pub(crate) fn line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        // Some libraries repeat their cause.
        if !line.ends_with(&cause) {
            line.push_str(if line.is_empty() { "" } else { ": " });
            line.push_str(&one_line(&cause));
        }
    }
    if let Some(hint) = error.downcast_ref().and_then(database_hint) {
        line.extend(["; ", hint]);
    }
    line
}

/// A hint for an operator about a database error.
pub(crate) fn database_hint(error: &StoreError) -> Option<&'static str> {
    let general = matches!(error, StoreError::Away(_))
        .then_some("check database.url, the server and the way to it");
    error.advice().or(general)
}

/// An error of clap on one line, without the usage that `--help` shows.
pub(crate) fn usage_line(text: &str) -> String {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let mut message = String::new();
    for line in lines {
        let separator = match message.chars().last() {
            None => "",
            Some(':') => " ",
            Some(_) => ", ",
        };
        message.extend([separator, line]);
    }
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    format!("{message}; see paysync --help")
}
