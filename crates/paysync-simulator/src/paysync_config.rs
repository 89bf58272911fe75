//! The paysync configuration of the simulated accounts.

use std::fmt::Write as _;
use std::net::SocketAddr;

use chrono::SecondsFormat;

use crate::credentials;
use crate::settings::{Provider, Settings};

/// The fields of the ledger that the API sends only on request.
const ECOMMPAY_FIELDS: &str = r#"["auth_code", "bin", "country_by_bin", "customer_email", "customer_id", "provider_payment_id"]"#;

/// The configuration file's text: one account per provider, named `simulated-<provider>`.
///
/// The accounts start at the history's start, may send 60 000 requests a minute, and read everything in
/// the ledger (test rows, all payment methods).
pub fn config_toml(addr: SocketAddr, database_url: &str, settings: &Settings) -> String {
    let mut text = format!("[database]\nurl = {}\n", quote(database_url));
    let from = settings.from.to_rfc3339_opts(SecondsFormat::Secs, true);
    for provider in Provider::ALL {
        // Writing to a string cannot fail.
        let _unfailing = write!(
            text,
            "\n[[accounts]]\n\
             id = \"simulated-{}\"\n\
             provider = \"{}\"\n\
             base_url = \"{}\"\n\
             start_from = \"{from}\"\n\
             requests_per_minute = 60000\n",
            provider.slug().replace('_', "-"),
            provider.slug(),
            base_url(addr, provider),
        );
        table(
            &mut text,
            "credentials",
            &credentials_of(provider, settings),
        );
        table(&mut text, "options", &options_of(provider, settings));
    }
    text
}

pub(crate) fn base_url(addr: SocketAddr, provider: Provider) -> String {
    let version = match provider {
        Provider::Ecommpay => "/v1",
        _ => "",
    };
    format!("http://{addr}/{}{version}", provider.slug())
}

fn credentials_of(provider: Provider, settings: &Settings) -> Vec<(&'static str, String)> {
    match provider {
        Provider::Convergegate => vec![("token", quote(credentials::CONVERGEGATE_TOKEN))],
        Provider::BegatewayDwh => vec![
            ("psp_id", quote(credentials::DWH_PSP_ID)),
            ("secret_key", quote(credentials::DWH_SECRET_KEY)),
        ],
        Provider::BegatewayReport => vec![
            ("shop_id", quote(credentials::REPORT_SHOP_ID)),
            ("secret_key", quote(credentials::REPORT_SECRET_KEY)),
        ],
        Provider::Ecommpay => vec![
            ("token", quote(credentials::ECOMMPAY_TOKEN)),
            ("secret", quote(credentials::ECOMMPAY_SECRET)),
        ],
        Provider::Firekassa => {
            let mut table = vec![("token", quote(credentials::FIREKASSA_TOKEN))];
            if let Some(token) = &settings.firekassa_sign_token {
                table.push(("sign_token", quote(token)));
            }
            table
        }
    }
}

fn options_of(provider: Provider, settings: &Settings) -> Vec<(&'static str, String)> {
    match provider {
        Provider::BegatewayDwh => vec![("include_test", "true".to_owned())],
        Provider::BegatewayReport => vec![(
            "payment_method_types",
            r#"["credit_card", "alternative"]"#.to_owned(),
        )],
        Provider::Ecommpay => {
            let mut table = vec![("fields", ECOMMPAY_FIELDS.to_owned())];
            if settings.ecommpay_lexical {
                table.push(("signature_order", quote("lexical")));
            }
            table
        }
        Provider::Firekassa if settings.firekassa_created_filter == "created_at" => vec![(
            "created_filter",
            r#"["filter[created_at][min]", "filter[created_at][max]"]"#.to_owned(),
        )],
        Provider::Convergegate | Provider::Firekassa => Vec::new(),
    }
}

fn table(text: &mut String, name: &str, entries: &[(&str, String)]) {
    if entries.is_empty() {
        return;
    }
    let entries: Vec<String> = entries
        .iter()
        .map(|(key, value)| format!("{key} = {value}"))
        .collect();
    let _unfailing = writeln!(text, "{name} = {{ {} }}", entries.join(", "));
}

/// A basic TOML string.
fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::config_toml;
    use crate::settings::Settings;

    #[test]
    fn the_configuration_is_toml_with_an_account_per_provider() {
        let settings = Settings {
            firekassa_sign_token: Some("sign-token".to_owned()),
            ..Settings::for_tests()
        };
        let text = config_toml(
            "127.0.0.1:7070".parse().unwrap(),
            "postgres://localhost/\"x\"",
            &settings,
        );
        let config = config::Config::builder()
            .add_source(config::File::from_str(&text, config::FileFormat::Toml))
            .build()
            .unwrap();
        let accounts = config.get_array("accounts").unwrap();
        assert_eq!(accounts.len(), 5);
        assert_eq!(
            config.get_string("accounts[3].base_url").unwrap(),
            "http://127.0.0.1:7070/ecommpay/v1"
        );
        assert_eq!(
            config
                .get_string("accounts[4].credentials.sign_token")
                .unwrap(),
            "sign-token"
        );
        assert!(config.get_bool("accounts[1].options.include_test").unwrap());
    }
}
