//! Readers of single values: each returns the value, or says what is wrong and what is expected.
//!
//! Messages may quote a value, except where it could be a secret.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ::config::{Value, ValueKind};
use chrono::{DateTime, SubsecRound, Utc};
use chrono_tz::Tz;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::table::Context;
use crate::telemetry::{self, LogFormat};

/// A file with certificates of trusted authorities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaFile {
    /// Its path as written.
    pub path: String,
    /// Its certificates.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// A longer duration is a mistake, and would exceed the range of dates.
const LONGEST: Duration = Duration::from_hours(100 * 366 * 24);

/// Minimum length of a key that cannot be guessed, in bytes.
const SHORTEST_SALT: usize = 16;

pub(super) fn text(value: Value, _: &Context<'_>) -> Result<String, String> {
    match value.kind {
        ValueKind::String(text) => Ok(text),
        _ => Err("expected text in quotes".to_owned()),
    }
}

/// A whole number, or its text, because environment variables are text.
pub(super) fn whole(value: Value, _: &Context<'_>) -> Result<u32, String> {
    let number = match value.kind {
        ValueKind::I64(number) => u32::try_from(number).ok(),
        ValueKind::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| "expected a whole number".to_owned())
}

/// A whole number from 1.
pub(super) fn positive(value: Value, context: &Context<'_>) -> Result<u32, String> {
    match whole(value, context)? {
        0 => Err("expected a number from 1".to_owned()),
        number => Ok(number),
    }
}

/// `true` or `false`, or their text, because environment variables are text.
pub(super) fn boolean(value: Value, _: &Context<'_>) -> Result<bool, String> {
    let is = match value.kind {
        ValueKind::Boolean(is) => Some(is),
        ValueKind::String(text) => text.parse().ok(),
        _ => None,
    };
    is.ok_or_else(|| "expected true or false".to_owned())
}

/// A duration, which may be zero.
pub(super) fn duration(value: Value, context: &Context<'_>) -> Result<Duration, String> {
    let written =
        text(value, context).map_err(|_| "expected a duration, like \"60s\", \"10m\" or \"3d\"")?;
    let duration = humantime::parse_duration(&written).map_err(|_| {
        format!("{written:?} is not a duration: write it like \"60s\", \"10m\" or \"3d\"")
    })?;
    if duration > LONGEST {
        return Err(format!("{written:?} is too long"));
    }
    Ok(duration)
}

/// A duration of a millisecond or more.
pub(super) fn interval(value: Value, context: &Context<'_>) -> Result<Duration, String> {
    let interval = duration(value, context)?;
    if interval < Duration::from_millis(1) {
        return Err("too short, expected a duration like \"60s\", \"10m\" or \"3d\"".to_owned());
    }
    Ok(interval)
}

/// How long data is kept: a duration, or `None` for `"forever"` and longer than [`LONGEST`].
pub(super) fn retention(value: Value, context: &Context<'_>) -> Result<Option<Duration>, String> {
    let expected = "expected a duration, like \"30d\" or \"2y\", or \"forever\"";
    let written = text(value, context).map_err(|_| expected)?;
    if written == "forever" {
        return Ok(None);
    }
    match humantime::parse_duration(&written) {
        Err(_) => Err(format!("{written:?} is not a duration, {expected}")),
        Ok(Duration::ZERO) => Err(format!("{written:?} keeps nothing, {expected}")),
        Ok(kept) => Ok(Some(kept).filter(|kept| *kept <= LONGEST)),
    }
}

/// An instant in RFC 3339; a date-time of TOML arrives as text, too.
pub(super) fn instant(value: Value, context: &Context<'_>) -> Result<DateTime<Utc>, String> {
    let hint = "write date, time and zone like \"2024-01-01T00:00:00Z\"";
    let written = text(value, context).map_err(|_| format!("expected an instant, {hint}"))?;
    let instant = DateTime::parse_from_rfc3339(&written);
    let instant = instant.map_err(|_| format!("{written:?} is not an instant, {hint}"))?;
    Ok(instant.to_utc().trunc_subsecs(6))
}

pub(super) fn time_zone(value: Value, context: &Context<'_>) -> Result<Tz, String> {
    let name = text(value, context)?;
    name.parse()
        .map_err(|_| format!("{name:?} is not an IANA time zone, like \"UTC\" or \"Europe/Riga\""))
}

/// An address to listen on, or `"off"`.
pub(super) fn listen(value: Value, context: &Context<'_>) -> Result<Option<SocketAddr>, String> {
    let written = text(value, context)?;
    if written == "off" {
        return Ok(None);
    }
    written.parse().map(Some).map_err(|_| {
        format!("{written:?} is not an address and port, like \"127.0.0.1:8080\", nor \"off\"")
    })
}

pub(super) fn log_format(value: Value, context: &Context<'_>) -> Result<LogFormat, String> {
    let written = text(value, context)?;
    match written.as_str() {
        "json" => Ok(LogFormat::Json),
        "text" => Ok(LogFormat::Text),
        _ => Err(format!(
            "{written:?} is not a format, expected \"json\" or \"text\""
        )),
    }
}

pub(super) fn log_filter(value: Value, context: &Context<'_>) -> Result<String, String> {
    let filter = text(value, context)?;
    telemetry::check_filter(&filter).map_err(|error| format!("{filter:?} is {error}"))?;
    Ok(filter)
}

/// An account's id: a slug of at most 63 characters.
pub(super) fn slug(value: Value, context: &Context<'_>) -> Result<String, String> {
    let slug = text(value, context)?;
    let is_first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_next = |c: char| is_first(c) || matches!(c, '_' | '-');
    if slug.len() <= 63 && slug.starts_with(is_first) && slug.chars().all(is_next) {
        return Ok(slug);
    }
    Err(format!(
        "{slug:?} is not an id, expected up to 63 lower case letters, digits, \"_\" and \"-\", like \"acme-eur\""
    ))
}

/// A base URL. Never quoted: it may contain a password by mistake.
pub(super) fn base_url(value: Value, context: &Context<'_>) -> Result<Url, String> {
    let written = text(value, context)?;
    let url = Url::parse(&written).map_err(|error| {
        format!("not a URL ({error}): write it like \"https://api.example.com\"")
    })?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("expected an https URL, like \"https://api.example.com\"".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("contains a user name or password: put secrets under credentials".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("contains \"?\" or \"#\": write it up to the end of its path".to_owned());
    }
    Ok(url)
}

/// JSON paths: keys from the top of an item, joined by dots.
pub(super) fn paths(value: Value, context: &Context<'_>) -> Result<Vec<String>, String> {
    let example = "keys joined by dots, like \"customer.email\"";
    let expected = format!("expected a list of paths, {example}");
    let ValueKind::Array(values) = value.kind else {
        return Err(expected);
    };
    let mut paths = Vec::with_capacity(values.len());
    for value in values {
        let path = text(value, context).map_err(|_| expected.clone())?;
        if path.split('.').any(|key| key.trim().is_empty()) {
            return Err(format!("{path:?} is not a path, expected {example}"));
        }
        paths.push(path);
    }
    Ok(paths)
}

/// The key of keyed hashes.
pub(super) fn salt(value: Value, context: &Context<'_>) -> Result<SecretString, String> {
    // It never leaves this machine, and may have several words.
    let (salt, _) = phrase(value, context)?;
    if salt.len() < SHORTEST_SALT {
        return Err(format!(
            "shorter than {SHORTEST_SALT} bytes: generate one with openssl rand -hex 32"
        ));
    }
    Ok(SecretString::from(salt))
}

/// The provider's options: a table with arbitrary keys.
pub(super) fn options(value: Value, _: &Context<'_>) -> Result<serde_json::Value, String> {
    match value.try_deserialize() {
        Ok(mut options @ serde_json::Value::Object(_)) => {
            // The order of the file is lost; a fixed order makes requests reproducible.
            options.sort_all_objects();
            Ok(options)
        }
        _ => Err("expected a table".to_owned()),
    }
}

/// A secret of one word, in any form of [`phrase`].
pub(super) fn secret(value: Value, context: &Context<'_>) -> Result<SecretString, String> {
    let (secret, source) = phrase(value, context)?;
    // A blank or a quote that a copy brought along would only show as a refusal of the provider.
    if secret.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!(
            "{source}contains white space: a secret is one word"
        ));
    }
    Ok(SecretString::from(secret))
}

/// Text, a whole number, `{ env = "NAME" }` or `{ file = "path" }`; and where it comes from, to begin an error with.
fn phrase(value: Value, context: &Context<'_>) -> Result<(String, String), String> {
    let forms = "expected text, { env = \"NAME\" } or { file = \"path\" }";
    let mut source = String::new();
    let secret = match value.kind {
        ValueKind::String(text) => text,
        ValueKind::I64(number) => number.to_string(),
        ValueKind::Table(mut table) if table.len() == 1 => {
            let name = |value| text(value, context).map_err(|_| forms);
            match (table.remove("env"), table.remove("file")) {
                (Some(variable), _) => {
                    let variable = name(variable)?;
                    source = format!("the environment variable {variable} ");
                    from_environment(&variable, context)?
                }
                (_, Some(file)) => {
                    let file = name(file)?;
                    source = format!("the file {file} ");
                    from_file(&file, context)?
                }
                _ => return Err(forms.to_owned()),
            }
        }
        _ => return Err(forms.to_owned()),
    };
    if secret.is_empty() {
        return Err("is empty".to_owned());
    }
    Ok((secret, source))
}

/// The URL of the database. Never quoted: it may contain a password.
pub(super) fn database_url(value: Value, context: &Context<'_>) -> Result<SecretString, String> {
    let url = secret(value, context)?;
    let has = |scheme| url.expose_secret().starts_with(scheme);
    if !has("postgres://") && !has("postgresql://") {
        return Err(
            "not a PostgreSQL URL: write it like \"postgres://user@host/database\"".to_owned(),
        );
    }
    check_tls_files(url.expose_secret())?;
    Ok(url)
}

/// The certificates (PEM) of a file.
pub(super) fn ca_file(value: Value, context: &Context<'_>) -> Result<CaFile, String> {
    let path = text(value, context).map_err(|_| "expected the path of a file in quotes")?;
    let text = from_file(&path, context)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(CaFile { path, certificates }),
        _ => Err(format!(
            "the file {path} contains no certificate, expected PEM (-----BEGIN CERTIFICATE-----)"
        )),
    }
}

/// Fails if a TLS file in the URL cannot be read: the database client's own error would not name it.
fn check_tls_files(url: &str) -> Result<(), String> {
    const NAMES: [&str; 7] = [
        "sslrootcert",
        "ssl-root-cert",
        "ssl-ca",
        "sslcert",
        "ssl-cert",
        "sslkey",
        "ssl-key",
    ];
    let Ok(url) = Url::parse(url) else {
        return Ok(());
    };
    for (name, file) in url.query_pairs() {
        // The URL may also contain the certificate itself.
        let is_file = NAMES.contains(&&*name) && !file.trim_start().starts_with("-----BEGIN");
        if is_file && let Err(error) = std::fs::File::open(&*file) {
            return Err(format!("{name}: the file {file} cannot be read: {error}"));
        }
    }
    Ok(())
}

fn from_environment(name: &str, context: &Context<'_>) -> Result<String, String> {
    match context.environment.get(name) {
        None => Err(format!("the environment variable {name} is not set")),
        Some(value) => match bare(value) {
            "" => Err(format!("the environment variable {name} is empty")),
            value => Ok(value.to_owned()),
        },
    }
}

/// A text without the byte order mark and the line break that editors and shells add.
fn bare(text: &str) -> &str {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.trim_end_matches(['\r', '\n'])
}

/// Reads a file; a relative path starts at the folder of the configuration.
fn from_file(name: &str, context: &Context<'_>) -> Result<String, String> {
    let folder = context.file.and_then(Path::parent);
    let path = folder.map_or_else(|| name.into(), |folder| folder.join(name));
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("the file {} cannot be read: {error}", path.display()))?;
    match bare(&text) {
        "" => Err(format!("the file {} is empty", path.display())),
        text => Ok(text.to_owned()),
    }
}
