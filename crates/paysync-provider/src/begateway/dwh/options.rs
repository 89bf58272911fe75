//! The options of a DWH account: filters and the fields of answers.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::error::SettingsError;
use crate::provider::{Settings, text_or_integer};

/// All documented fields, spelled as in the documentation's sample query, except the 3-D Secure payloads
/// (`pa_req`, `md`, `cavv`, `creq`) and the card's `token`, which must not be stored.
const EVERY_FIELD: &str = "query { transactions { \
    uid status description amount currency type tracking_id created_at paid_at settled_at \
    psp_settled_at updated_at manually_corrected_at expired_at closed_at message friendly_message \
    code language test parent_uid reason converted_currency converted_amount recurring_type \
    subscription_id product_id fraud \
    merchant{enabled id name company_name bank_id legal_address email postal_code country city} \
    shop{enabled id name company_name business_category_id contact_phone url contact_email \
    legal_address mailing_address postal_code country city} \
    provider_raw{auth_code bank_code rrn ref_id message dynamic_billing_descriptor amount currency} \
    gateway{id type note agent_id vendor connection_type} \
    links{receipt_url redirect_url return_url notification_url} \
    three_d_secure_verification{status message acs_url pa_res_url eci pa_status xid \
    cavv_algorithm fail_reason method_process_url} \
    customer{id ip first_name last_name middle_name full_name gender birth_date phone email \
    address country city zip state device_id taxpayer_id} \
    method{credit_card{product first_1 bin bin_8 last_4 holder exp_month exp_year brand sub_brand \
    stamp token_provider issuer_country issuer_bank} \
    type alternative_account alternative_type alternative_payment_info} \
    recipient{customer{id ip first_name last_name middle_name full_name gender birth_date phone \
    email address country city zip state device_id}} \
    smart_routing_verification avs_cvc_verification provider_response } }";

/// Filters that paysync sets itself.
const OWN_FILTERS: &[&str] = &["date_from", "date_to", "date_type", "test", "uid_from"];

/// Filters with several values, separated by commas.
const LIST_FILTERS: &[&str] = &[
    "amount",
    "currency",
    "gateway_agent_id",
    "gateway_id",
    "gateway_type",
    "merchant_id",
    "recurring_type",
    "shop_id",
    "status",
    "type",
];

/// Filters with a JSON integer.
const INTEGER_FILTERS: &[&str] = &["shop_business_category_id"];

/// Filters with one text. Those of the card and the customer also exist for the recipient, with
/// `recipient_` before their names.
const TEXT_FILTERS: &[&str] = &[
    "code",
    "credit_card_bin",
    "credit_card_bin_8",
    "credit_card_brand",
    "credit_card_first_1",
    "credit_card_holder",
    "credit_card_issuer_country",
    "credit_card_last_4",
    "credit_card_product",
    "credit_card_stamp",
    "credit_card_sub_brand",
    "customer_email",
    "customer_full_name",
    "customer_id",
    "customer_ip",
    "customer_phone",
    "description",
    "fraud",
    "method_alternative_account",
    "method_type",
    "provider_raw_ref_id",
    "provider_raw_rrn",
    "tracking_id",
    "uid",
];

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Options {
    /// Further filters, in the API's form.
    pub(super) filter: BTreeMap<String, Value>,
    /// The GraphQL query with the fields of answers.
    pub(super) response_parameters: String,
    /// Whether test transactions are read, by streams of their own.
    pub(super) include_test: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            filter: BTreeMap::new(),
            response_parameters: EVERY_FIELD.to_owned(),
            include_test: false,
        }
    }
}

impl Options {
    /// Reads the options, and the fields that the query requests.
    pub(super) fn read(settings: &Settings) -> Result<(Self, Vec<String>), SettingsError> {
        let mut options: Self = settings.options()?;
        for (name, value) in &mut options.filter {
            *value = filter_value(name, value)
                .map_err(|reason| SettingsError::option(&format!("filter.{name}"), reason))?;
        }
        let fields = checked_fields(&options.response_parameters)
            .map_err(|reason| SettingsError::option("response_parameters", reason))?;
        Ok((options, fields))
    }
}

/// The fields that a query requests; the required ones must be among them.
fn checked_fields(query: &str) -> Result<Vec<String>, String> {
    let fields = transaction_fields(query).ok_or("the braces do not match")?;
    let has = |field: &str| fields.iter().any(|name| name == field);
    if !has("uid") {
        return Err("uid is missing, and no transaction can be stored without it".to_owned());
    }
    for (amount, currency) in [
        ("amount", "currency"),
        ("converted_amount", "converted_currency"),
    ] {
        if has(amount) && !has(currency) {
            return Err(format!(
                "{currency} is missing, and {amount} cannot be read without it"
            ));
        }
    }
    Ok(fields)
}

/// The API's form of a filter; lists are joined by commas.
fn filter_value(name: &str, value: &Value) -> Result<Value, &'static str> {
    if OWN_FILTERS.contains(&name) {
        return Err("paysync sets this filter itself");
    }
    if INTEGER_FILTERS.contains(&name) {
        let integer = Some(value.clone()).filter(|value| value.is_i64() || value.is_u64());
        return integer.ok_or("an integer is expected");
    }
    let takes_list = LIST_FILTERS.contains(&name);
    let is_shared = |name: &&str| name.starts_with("credit_card_") || name.starts_with("customer_");
    let of_payer = name.strip_prefix("recipient_").filter(is_shared);
    if !takes_list && !TEXT_FILTERS.contains(&of_payer.unwrap_or(name)) {
        return Err("unknown filter");
    }
    let text = match value {
        Value::Array(values) if takes_list => {
            let texts: Option<Vec<String>> = values.iter().map(text_or_integer).collect();
            texts.map(|texts| texts.join(","))
        }
        other => text_or_integer(other),
    };
    match text {
        Some(text) if !text.trim().is_empty() => Ok(Value::String(text)),
        Some(_) => Err("is empty"),
        None if takes_list => Err("a text or a list of texts is expected"),
        None => Err("a text is expected"),
    }
}

/// The names directly inside `query { transactions { … } }`; none if the braces do not match.
fn transaction_fields(query: &str) -> Option<Vec<String>> {
    let mut names = vec![String::new()];
    let mut depth: u32 = 0;
    for c in query.chars() {
        match c {
            '{' => depth = depth.checked_add(1)?,
            '}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        let in_name = depth == 2 && (c.is_ascii_alphanumeric() || c == '_');
        match names.last_mut() {
            Some(name) if in_name => name.push(c),
            Some(name) if !name.is_empty() => names.push(String::new()),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    (depth == 0).then_some(names)
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use serde_json::json;

    use super::*;

    fn options(options: Value) -> Result<Options, String> {
        let settings = Settings {
            time_zone: Tz::UTC,
            options,
        };
        let options = Options::read(&settings).map_err(|error| error.0)?;
        Ok(options.0)
    }

    fn filter(value: &Value) -> Result<Value, String> {
        options(json!({ "filter": value })).map(|options| json!(options.filter))
    }

    fn query(text: &str) -> Result<String, String> {
        options(json!({ "response_parameters": text })).map(|options| options.response_parameters)
    }

    #[test]
    fn documented_filters_are_accepted() {
        assert_eq!(
            filter(&json!({
                "currency": ["EUR", "USD"],
                "merchant_id": 366,
                "shop_id": [1, "2"],
                "status": "successful,failed",
                "tracking_id": "order-1",
                "recipient_customer_id": 5,
                "shop_business_category_id": 7,
            })),
            Ok(json!({
                "currency": "EUR,USD",
                "merchant_id": "366",
                "shop_id": "1,2",
                "status": "successful,failed",
                "tracking_id": "order-1",
                "recipient_customer_id": "5",
                "shop_business_category_id": 7,
            }))
        );
    }

    #[test]
    fn wrong_filters_are_named() {
        let cases = [
            (
                json!({"colour": "red"}),
                "options.filter.colour: unknown filter",
            ),
            (
                json!({"recipient_code": "1"}),
                "options.filter.recipient_code: unknown filter",
            ),
            (
                json!({"test": true}),
                "options.filter.test: paysync sets this filter itself",
            ),
            (
                json!({"date_from": "2024-01-01"}),
                "options.filter.date_from: paysync sets this filter itself",
            ),
            (
                json!({"uid": ["a", "b"]}),
                "options.filter.uid: a text is expected",
            ),
            (json!({"currency": []}), "options.filter.currency: is empty"),
            (
                json!({"currency": [["EUR"]]}),
                "options.filter.currency: a text or a list of texts is expected",
            ),
            (
                json!({"shop_business_category_id": "7"}),
                "options.filter.shop_business_category_id: an integer is expected",
            ),
            (
                json!({"amount": 1.5}),
                "options.filter.amount: a text or a list of texts is expected",
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(filter(&value), Err(expected.to_owned()));
        }
        assert!(
            options(json!({"filters": {}}))
                .unwrap_err()
                .contains("filters")
        );
    }

    #[test]
    fn required_fields_are_checked() {
        assert!(query("query { transactions { uid status } }").is_ok());
        assert!(query("{transactions{uid,amount,currency}}").is_ok());
        let cases = [
            (
                "query { transactions { parent_uid status } }",
                "uid is missing",
            ),
            (
                "query { transactions { merchant{uid} status } }",
                "uid is missing",
            ),
            (
                "query { transactions { uid amount provider_raw{currency} } }",
                "currency is missing",
            ),
            (
                "query { transactions { uid converted_amount currency } }",
                "converted_currency is missing",
            ),
            ("query { transactions { uid }", "the braces do not match"),
            ("} uid {", "the braces do not match"),
            ("", "uid is missing"),
        ];
        for (text, expected) in cases {
            let error = query(text).unwrap_err();
            assert!(
                error.starts_with("options.response_parameters: "),
                "{error}"
            );
            assert!(error.contains(expected), "{error}");
        }
        assert!(query(EVERY_FIELD).is_ok());
    }
}
