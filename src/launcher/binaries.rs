//! The PostgreSQL programs of this machine.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::error::LauncherError;

/// The oldest major version that paysync is tested with.
const OLDEST_VERSION: u16 = 14;

/// Finds the directory of `initdb`, `pg_ctl` and `postgres`; an existing cluster needs its own major version.
pub(super) async fn find_binaries(existing: Option<&str>) -> Result<PathBuf, LauncherError> {
    let wanted = match existing {
        Some(version) => format!("version {version}, which created the data directory"),
        None => format!("version {OLDEST_VERSION} or newer"),
    };
    let fits = |found: u16| match existing {
        Some(version) => version == found.to_string(),
        None => found >= OLDEST_VERSION,
    };
    if let Some(directory) = std::env::var_os("PG_BIN").filter(|value| !value.is_empty()) {
        let directory = PathBuf::from(directory);
        return if version(&directory).await.is_some_and(fits) {
            Ok(directory)
        } else {
            Err(LauncherError::BadPgBin { directory, wanted })
        };
    }
    for directory in candidates() {
        if version(&directory).await.is_some_and(fits) {
            return Ok(directory);
        }
    }
    Err(LauncherError::NoServer(wanted))
}

/// The major version of the server in a directory; `None` if a program is missing or does not run.
async fn version(directory: &Path) -> Option<u16> {
    let has = |program: &str| directory.join(program).is_file();
    if !["initdb", "pg_ctl", "postgres"].into_iter().all(has) {
        return None;
    }
    let mut command = Command::new(directory.join("postgres"));
    let output = command.arg("--version").stdin(Stdio::null()).output();
    let output = output.await.ok()?;
    // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "postgres (PostgreSQL) 19beta1"
    let text = String::from_utf8(output.stdout).ok()?;
    let (_, number) = text.split_once(") ")?;
    leading_number(number)
}

/// Directories to search, best first: the same as in `scripts/postgres`.
fn candidates() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for (parent, prefix) in [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/opt/homebrew/opt", "postgresql"),
        ("/usr/local/opt", "postgresql"),
        (".paysync/postgres", ""),
    ] {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        let below = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let rest = name.strip_prefix(prefix)?;
            let number = leading_number(rest.trim_start_matches('@')).unwrap_or(0);
            Some((number, std::path::absolute(entry.path()).ok()?.join("bin")))
        });
        let mut below: Vec<(u16, PathBuf)> = below.collect();
        below.sort();
        found.extend(below.into_iter().rev().map(|(_, directory)| directory));
    }
    found
}

fn leading_number(text: &str) -> Option<u16> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text.get(..end.unwrap_or(text.len()))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::leading_number;

    #[test]
    fn versions_are_read() {
        assert_eq!(leading_number("15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(leading_number("19beta1"), Some(19));
        assert_eq!(leading_number(""), None);
    }
}
