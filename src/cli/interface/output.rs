//! Lines on standard output and standard error. A closed pipe is not an error.

use std::fmt::Display;
use std::io::{self, Write as _};

use chrono::{DateTime, SecondsFormat, Utc};
pub(crate) use paysync_provider::model::format::{duration, grouped};

/// Prints a line.
pub(crate) fn line(text: impl Display) {
    let _closed = writeln!(io::stdout().lock(), "{text}");
}

/// Prints an error.
pub(crate) fn error(text: impl Display) {
    let _closed = writeln!(io::stderr().lock(), "paysync: {text}");
}

/// Prints a value as JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string_pretty(value)?);
    Ok(())
}

/// An instant in UTC, with as many digits of the second as it needs.
pub(crate) fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// A message, followed by its hint.
pub(crate) fn with_hint(message: &str, hint: Option<&str>) -> String {
    hint.map_or_else(|| message.to_owned(), |hint| format!("{message}; {hint}"))
}

/// A table's rows below its header, whose columns are separated by `, `.
pub(crate) fn with_header(
    header: &str,
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Vec<Vec<String>> {
    let header = header.split(", ").map(str::to_owned).collect();
    std::iter::once(header).chain(rows).collect()
}

/// Prints a table below another line, or nothing if it is only a header.
pub(crate) fn indented_table(rows: &[Vec<String>]) {
    for row in table(rows).iter().filter(|_| rows.len() > 1) {
        line(format!("  {row}"));
    }
}

/// Rows as lines, each column as wide as its widest cell.
pub(crate) fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let padded = cells.map(|(cell, width)| format!("{cell:width$}"));
        let line = padded.collect::<Vec<_>>().join("  ");
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(
            table(&[row(["a", "b"]), row(["long", "x"])]),
            ["a     b", "long  x"]
        );
        assert!(table(&[]).is_empty());
    }
}
