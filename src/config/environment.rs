//! Settings that come from environment variables.

use std::collections::BTreeMap;

use super::error::ConfigError;

/// Prefix of the environment variables that set a key.
const PREFIX: &str = "PAYSYNC__";

/// The keys that the environment can set.
pub(super) const KEYS: &[&str] = &[
    "database.url",
    "database.max_connections",
    "database.prepared_statements",
    "database.direct_url",
    "http.listen",
    "engine.lease_ttl",
    "engine.page_memory_mib",
    "retention.windows",
    "retention.history",
    "retention.quarantine",
    "raw.retention",
    "log.format",
    "log.filter",
];

/// The environment variables of this process; those that are not UTF-8 are left out.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The keys that the environment sets, each with its variable and value. An empty variable counts as
/// not set.
pub(super) fn overrides(
    environment: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, (String, String)>, ConfigError> {
    let mut overrides = BTreeMap::new();
    let set = environment.iter().filter(|(_, value)| !value.is_empty());
    for (name, value) in set {
        let upper = name.to_ascii_uppercase();
        let Some(rest) = upper.strip_prefix(PREFIX) else {
            continue;
        };
        let key = rest.to_ascii_lowercase().replace("__", ".");
        if !KEYS.contains(&key.as_str()) {
            return Err(ConfigError(unknown_setting(name, &key)));
        }
        overrides.insert(key, (name.clone(), value.clone()));
    }
    let url = environment.get("DATABASE_URL");
    if let Some(url) = url.filter(|url| !url.is_empty()) {
        let url = ("DATABASE_URL".to_owned(), url.clone());
        overrides.entry("database.url".to_owned()).or_insert(url);
    }
    Ok(overrides)
}

fn unknown_setting(name: &str, key: &str) -> String {
    if key == "accounts" || key.starts_with("accounts.") {
        return format!(
            "{name}: accounts are set in the file; their secrets can come from the environment, \
             as in credentials = {{ token = {{ env = \"NAME\" }} }}"
        );
    }
    let variable = |key: &&str| format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__"));
    let known = KEYS.iter().map(variable).collect::<Vec<_>>().join(", ");
    format!("{name}: unknown setting, expected one of {known}")
}
