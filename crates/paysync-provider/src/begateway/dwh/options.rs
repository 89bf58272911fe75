//! The options of a DWH account: filters and the fields of answers.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::error::SettingsError;

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

/// Filters with one text.
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
    "recipient_credit_card_bin",
    "recipient_credit_card_bin_8",
    "recipient_credit_card_brand",
    "recipient_credit_card_first_1",
    "recipient_credit_card_holder",
    "recipient_credit_card_issuer_country",
    "recipient_credit_card_last_4",
    "recipient_credit_card_product",
    "recipient_credit_card_stamp",
    "recipient_credit_card_sub_brand",
    "recipient_customer_email",
    "recipient_customer_full_name",
    "recipient_customer_id",
    "recipient_customer_ip",
    "recipient_customer_phone",
    "tracking_id",
    "uid",
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    #[serde(default)]
    filter: BTreeMap<String, Value>,
    response_parameters: Option<String>,
    /// Whether test transactions are read, by streams of their own.
    #[serde(default)]
    pub(super) include_test: bool,
}

impl Options {
    /// The filters in the API's form.
    pub(super) fn filter(&self) -> Result<BTreeMap<String, Value>, SettingsError> {
        self.filter
            .iter()
            .map(|(name, value)| Ok((name.clone(), filter_value(name, value)?)))
            .collect()
    }

    /// The GraphQL query, checked for the required fields.
    pub(super) fn response_parameters(&self) -> Result<String, SettingsError> {
        let Some(query) = &self.response_parameters else {
            return Ok(EVERY_FIELD.to_owned());
        };
        let error = |reason: &str| {
            Err(SettingsError(format!(
                "options.response_parameters: {reason}"
            )))
        };
        let Some(fields) = transaction_fields(query) else {
            return error("the braces do not match");
        };
        let has = |field: &str| fields.iter().any(|name| name == field);
        if !has("uid") {
            return error("uid is missing, and no transaction can be stored without it");
        }
        for (amount, currency) in [
            ("amount", "currency"),
            ("converted_amount", "converted_currency"),
        ] {
            if has(amount) && !has(currency) {
                return error(&format!(
                    "{currency} is missing, and {amount} cannot be read without it"
                ));
            }
        }
        Ok(query.clone())
    }
}

/// The API's form of a filter; lists are joined by commas.
fn filter_value(name: &str, value: &Value) -> Result<Value, SettingsError> {
    let error = |reason: &str| Err(SettingsError(format!("options.filter.{name}: {reason}")));
    if OWN_FILTERS.contains(&name) {
        return error("paysync sets this filter itself");
    }
    if INTEGER_FILTERS.contains(&name) {
        return match value {
            Value::Number(number) if number.is_i64() || number.is_u64() => Ok(value.clone()),
            _ => error("an integer is expected"),
        };
    }
    let takes_list = LIST_FILTERS.contains(&name);
    if !takes_list && !TEXT_FILTERS.contains(&name) {
        return error("unknown filter");
    }
    let text = match value {
        Value::Array(values) if takes_list => values
            .iter()
            .map(scalar)
            .collect::<Option<Vec<String>>>()
            .map(|texts| texts.join(",")),
        other => scalar(other),
    };
    match text {
        Some(text) if !text.trim().is_empty() => Ok(Value::String(text)),
        Some(_) => error("is empty"),
        None if takes_list => error("a text or a list of texts is expected"),
        None => error("a text is expected"),
    }
}

/// The text of a string or an integer: ids are often written without quotes.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// The names directly inside `query { transactions { … } }`; none if the braces do not match.
pub(super) fn transaction_fields(query: &str) -> Option<Vec<String>> {
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
    use crate::provider::Settings;

    fn options(options: Value) -> Result<Options, String> {
        let settings = Settings {
            time_zone: Tz::UTC,
            options,
        };
        settings.options().map_err(|error| error.0)
    }

    fn filter(value: &Value) -> Result<Value, String> {
        options(json!({ "filter": value }))?
            .filter()
            .map(|filter| json!(filter))
            .map_err(|error| error.0)
    }

    fn query(text: &str) -> Result<String, String> {
        options(json!({ "response_parameters": text }))?
            .response_parameters()
            .map_err(|error| error.0)
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
                "shop_business_category_id": 7,
            })),
            Ok(json!({
                "currency": "EUR,USD",
                "merchant_id": "366",
                "shop_id": "1,2",
                "status": "successful,failed",
                "tracking_id": "order-1",
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
