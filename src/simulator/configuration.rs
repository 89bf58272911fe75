//! A paysync configuration for the simulated accounts.

use std::fmt::Write as _;
use std::net::SocketAddr;

use chrono::{DateTime, SecondsFormat, Utc};

use super::credentials;
use super::settings::Provider;

/// The configuration file's text: one account per provider, named `simulated-<provider>`.
pub fn config_toml(addr: SocketAddr, database_url: &str, from: DateTime<Utc>) -> String {
    let mut text = format!("[database]\nurl = {}\n", quote(database_url));
    let from = from.to_rfc3339_opts(SecondsFormat::Secs, true);
    for provider in Provider::ALL {
        // Writing to a text cannot fail.
        let _unfailing = write!(
            text,
            "\n[[accounts]]\n\
             id = \"simulated-{}\"\n\
             provider = \"{}\"\n\
             base_url = \"{}\"\n\
             start_from = \"{from}\"\n\
             requests_per_minute = 60000\n\
             credentials = {}\n",
            provider.slug().replace('_', "-"),
            provider.slug(),
            base_url(addr, provider),
            credentials_of(provider),
        );
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

fn credentials_of(provider: Provider) -> String {
    match provider {
        Provider::Convergegate => format!("{{ token = {:?} }}", credentials::CONVERGEGATE_TOKEN),
        Provider::BegatewayDwh => format!(
            "{{ psp_id = {:?}, secret_key = {:?} }}",
            credentials::DWH_PSP_ID,
            credentials::DWH_SECRET_KEY
        ),
        Provider::BegatewayReport => format!(
            "{{ shop_id = {:?}, secret_key = {:?} }}\n\
             options = {{ payment_method_types = [\"credit_card\", \"alternative\"] }}",
            credentials::REPORT_SHOP_ID,
            credentials::REPORT_SECRET_KEY
        ),
        Provider::Ecommpay => format!(
            "{{ token = {:?}, secret = {:?} }}",
            credentials::ECOMMPAY_TOKEN,
            credentials::ECOMMPAY_SECRET
        ),
        Provider::Firekassa => format!("{{ token = {:?} }}", credentials::FIREKASSA_TOKEN),
    }
}

/// A basic string of TOML.
fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
