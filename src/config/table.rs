//! A table of the configuration, read key by key.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use ::config::{Value, ValueKind};

use super::ConfigError;

/// Where values come from.
pub(super) struct Context<'a> {
    /// The file, if there is one.
    pub(super) file: Option<&'a Path>,
    /// The environment's variables.
    pub(super) environment: &'a BTreeMap<String, String>,
    /// The variables that set keys, by key.
    pub(super) variables: BTreeMap<String, String>,
}

/// Reads one value, or says what is wrong with it.
type Reader<'a, T> = fn(Value, &Context<'a>) -> Result<T, String>;

/// A table. Each key is taken out when it is read; what is left at the end is not known.
pub(super) struct Table<'a> {
    context: &'a Context<'a>,
    /// What stands before a key of it in messages: `database.`, `account acme-eur: `.
    prefix: String,
    entries: BTreeMap<String, Value>,
    /// The keys asked for so far.
    known: Vec<&'static str>,
}

impl<'a> Table<'a> {
    /// The whole configuration.
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

    /// Calls this table by another name from now on.
    pub(super) fn rename(&mut self, prefix: String) {
        self.prefix = prefix;
    }

    /// A key's value as it is.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        let value = self.entries.remove(key)?;
        (value.kind != ValueKind::Nil).then_some(value)
    }

    /// A key that may be missing.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        reader: Reader<'a, T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        reader(value, self.context)
            .map(Some)
            .map_err(|problem| self.error(key, problem))
    }

    /// A key that must be there; `hint` follows "is missing".
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        hint: &str,
        reader: Reader<'a, T>,
    ) -> Result<T, ConfigError> {
        self.optional(key, reader)?.ok_or_else(|| {
            let (prefix, alike) = (&self.prefix, self.alike(key));
            file_error(
                self.context,
                &format!("{prefix}{key} is missing{hint}{alike}"),
            )
        })
    }

    /// The key that somebody may have meant to be this one.
    fn alike(&self, key: &str) -> String {
        let is_alike = |other: &&String| strsim::damerau_levenshtein(key, other) * 3 <= key.len();
        let other = self.entries.keys().find(is_alike);
        other
            .map(|other| format!("; is {other} meant to be it?"))
            .unwrap_or_default()
    }

    /// Reads a table inside this one to its end; a missing one counts as empty.
    pub(super) fn section<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Table<'a>) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        let value = self.take(key).unwrap_or_else(empty_table);
        let prefix = format!("{}{key}.", self.prefix);
        let mut table =
            Table::new(self.context, prefix, value).map_err(|problem| self.error(key, problem))?;
        let section = read(&mut table)?;
        table.finish()?;
        Ok(section)
    }

    /// Reads the tables of a list, each to its end; a missing list counts as empty.
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

    /// Reads all that is left, whatever its keys.
    pub(super) fn rest<T>(
        &mut self,
        reader: Reader<'a, T>,
    ) -> Result<BTreeMap<String, T>, ConfigError> {
        std::mem::take(&mut self.entries)
            .into_iter()
            .map(|(key, value)| match reader(value, self.context) {
                Ok(read) => Ok((key, read)),
                Err(problem) => Err(self.error(&key, problem)),
            })
            .collect()
    }

    /// Ends the reading: keys that are left are errors.
    pub(super) fn finish(&self) -> Result<(), ConfigError> {
        let Some(key) = self.entries.keys().next() else {
            return Ok(());
        };
        let problem = format!("unknown key, expected one of {}", self.known.join(", "));
        Err(self.error(key, problem))
    }

    /// A problem with the value of a key.
    pub(super) fn error(&self, key: &str, problem: impl Display) -> ConfigError {
        place_error(self.context, &self.prefix, key, &problem)
    }
}

fn place_error(
    context: &Context<'_>,
    prefix: &str,
    key: &str,
    problem: &dyn Display,
) -> ConfigError {
    let place = format!("{prefix}{}", key.escape_debug());
    match context.variables.get(&place) {
        Some(variable) => ConfigError(format!("{variable}: {problem}")),
        None => file_error(context, &format!("{place}: {problem}")),
    }
}

fn file_error(context: &Context<'_>, message: &str) -> ConfigError {
    ConfigError(match context.file {
        Some(file) => format!("{}: {message}", file.display()),
        None => message.to_owned(),
    })
}

fn empty_table() -> Value {
    Value::new(None, ValueKind::Table(::config::Map::new()))
}
