//! Reads a table of the configuration key by key.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use ::config::{Value, ValueKind};

use super::error::ConfigError;

/// The context in which a value is read.
pub(super) struct Context<'a> {
    /// The configuration file, if there is one.
    pub(super) file: Option<&'a Path>,
    /// The environment variables.
    pub(super) environment: &'a BTreeMap<String, String>,
    /// The environment variables that set a key, by key.
    pub(super) variables: BTreeMap<String, String>,
}

/// Reads one value; the error says what is wrong with it, but not where.
type Reader<'a, T> = fn(Value, &Context<'a>) -> Result<T, String>;

/// A table. Reading a key removes it; keys left at the end are unknown.
pub(super) struct Table<'a> {
    context: &'a Context<'a>,
    /// Prefix of its keys in messages: `database.`, `account acme-eur: `.
    prefix: String,
    entries: BTreeMap<String, Value>,
    /// The keys read so far.
    known: Vec<&'static str>,
}

impl<'a> Table<'a> {
    /// The root of the configuration.
    pub(super) fn root(context: &'a Context<'a>, value: Value) -> Result<Self, ConfigError> {
        Self::new(context, String::new(), value).map_err(|problem| file_error(context, &problem))
    }

    fn new(context: &'a Context<'a>, prefix: String, value: Value) -> Result<Self, String> {
        match value.kind {
            ValueKind::Table(entries) => Ok(Self {
                context,
                prefix,
                entries: entries.into_iter().collect(),
                known: Vec::new(),
            }),
            _ => Err("expected a table".to_owned()),
        }
    }

    /// Changes the prefix of its keys in messages.
    pub(super) fn set_prefix(&mut self, prefix: String) {
        self.prefix = prefix;
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        let value = self.entries.remove(key)?;
        (value.kind != ValueKind::Nil).then_some(value)
    }

    /// Reads a key that may be missing.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        reader: Reader<'a, T>,
    ) -> Result<Option<T>, ConfigError> {
        let read = self.take(key).map(|value| reader(value, self.context));
        read.transpose().map_err(|problem| self.error(key, problem))
    }

    /// Reads a key that has a default.
    pub(super) fn or<T>(
        &mut self,
        key: &'static str,
        reader: Reader<'a, T>,
        default: T,
    ) -> Result<T, ConfigError> {
        Ok(self.optional(key, reader)?.unwrap_or(default))
    }

    /// Reads a key that must exist; `hint` follows "is missing".
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        hint: &str,
        reader: Reader<'a, T>,
    ) -> Result<T, ConfigError> {
        self.optional(key, reader)?.ok_or_else(|| {
            let (prefix, misspelt) = (&self.prefix, self.misspelt(key));
            let message = format!("{prefix}{key} is missing{hint}{misspelt}");
            file_error(self.context, &message)
        })
    }

    /// Names the key that may be a misspelling of a missing one.
    fn misspelt(&self, key: &str) -> String {
        let is_alike = |other: &&String| strsim::damerau_levenshtein(key, other) * 3 <= key.len();
        let other = self.entries.keys().find(is_alike);
        let question = other.map(|other| format!("; is {other} a misspelling?"));
        question.unwrap_or_default()
    }

    /// Reads a whole table inside this one; a missing table counts as empty.
    pub(super) fn section<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Table<'a>) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        let empty = || ValueKind::Table(::config::Map::new()).into();
        let value = self.take(key).unwrap_or_else(empty);
        let prefix = format!("{}{key}.", self.prefix);
        let mut table =
            Table::new(self.context, prefix, value).map_err(|problem| self.error(key, problem))?;
        let section = read(&mut table)?;
        table.finish()?;
        Ok(section)
    }

    /// Reads all tables of a list; `None` if it is missing.
    pub(super) fn sections<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Table<'a>) -> Result<T, ConfigError>,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let ValueKind::Array(values) = value.kind else {
            return Err(self.error(key, "expected a list of tables"));
        };
        let mut sections = Vec::with_capacity(values.len());
        for (place, value) in values.into_iter().enumerate() {
            let name = format!("{key}[{place}]");
            let prefix = format!("{}{name}: ", self.prefix);
            let mut table = Table::new(self.context, prefix, value)
                .map_err(|problem| self.error(&name, problem))?;
            sections.push(read(&mut table)?);
            table.finish()?;
        }
        Ok(Some(sections))
    }

    /// Reads all remaining keys.
    pub(super) fn rest<T>(
        &mut self,
        reader: Reader<'a, T>,
    ) -> Result<BTreeMap<String, T>, ConfigError> {
        let entries = std::mem::take(&mut self.entries).into_iter();
        let read = entries.map(|(key, value)| match reader(value, self.context) {
            Ok(read) => Ok((key, read)),
            Err(problem) => Err(self.error(&key, problem)),
        });
        read.collect()
    }

    /// Fails if a key is left, because it is unknown.
    pub(super) fn finish(&self) -> Result<(), ConfigError> {
        let Some(key) = self.entries.keys().next() else {
            return Ok(());
        };
        let problem = format!("unknown key, expected one of {}", self.known.join(", "));
        Err(self.error(key, problem))
    }

    /// A problem with the value of a key.
    pub(super) fn error(&self, key: &str, problem: impl Display) -> ConfigError {
        let place = format!("{}{}", self.prefix, key.escape_debug());
        match self.context.variables.get(&place) {
            Some(variable) => ConfigError(format!("{variable}: {problem}")),
            None => file_error(self.context, &format!("{place}: {problem}")),
        }
    }
}

fn file_error(context: &Context<'_>, message: &str) -> ConfigError {
    ConfigError(match context.file {
        Some(file) => format!("{}: {message}", file.display()),
        None => message.to_owned(),
    })
}
