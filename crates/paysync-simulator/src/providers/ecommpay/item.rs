//! An item of `operations`: ECommPay's vocabulary and JSON of a row.

use chrono_tz::Tz;

use crate::clock::instant;
use crate::merchants::details::{Details, Method};
use crate::merchants::money::{Amount, CARD_CURRENCIES, Currency};
use crate::merchants::row::{Kind, Phase, Row};
use crate::providers::json::Json;
use crate::random::Rng;

/// Fields that are sent only on request.
pub(crate) const ON_REQUEST: &[&str] = &[
    "acquirer_bank_name",
    "auth_code",
    "avs_post_code",
    "avs_result",
    "avs_street_address",
    "balance_id",
    "bank_name",
    "bin",
    "card_enroll_check",
    "card_holder",
    "card_product_name",
    "card_token",
    "completed_refund",
    "country_by_ip",
    "country_by_bin",
    "currency_rate",
    "customer_email",
    "customer_id",
    "eci",
    "expiration_date",
    "legal_entity_name",
    "merchant_id",
    "payment_currency",
    "payment_type",
    "project_name",
    "project_url",
    "provider_payment_id",
    "recurring_id",
    "recurring_register",
    "recurring_valid_thru",
    "remaining_refund",
    "secure_3ds_check",
    "transaction_completed_at",
    "transaction_created_at",
    "transaction_status",
];
/// Fields that are always sent, in order.
pub(crate) const ALWAYS: &[&str] = &[
    "project_id",
    "operation_id",
    "payment_id",
    "operation_type",
    "operation_status",
    "account_number",
    "customer_ip",
    "payment_method_name",
    "payment_method_type",
    "payment_description",
    "operation_created_at",
    "operation_completed_at",
    "provider_date",
    "shipment_date",
    "sum_initial",
    "sum_converted",
    "arn",
    "rrn",
    "payment_provider_code",
    "payment_provider_message",
];

/// The provider's id: digits.
pub(crate) fn id(row: &Row) -> String {
    row.number.saturating_add(6_435_000_000_000).to_string()
}

/// The merchant's id of the payment, common to its operations.
pub(crate) fn payment_id(row: &Row, details: &Details) -> String {
    details
        .reference
        .clone()
        .unwrap_or_else(|| format!("{:08x}-{:04x}", row.family >> 32, row.family & 0xffff))
}

pub(crate) fn kind(row: &Row) -> &'static str {
    match row.kind {
        Kind::Payment | Kind::PeerToPeer => "sale",
        Kind::Recurring => "recurring",
        Kind::Authorization => "auth",
        Kind::Capture => "capture",
        Kind::Void => "cancel",
        Kind::Refund | Kind::Chargeback => "refund",
        Kind::Reversal => "reversal",
        Kind::Payout | Kind::Credit => "payout",
        Kind::Verification => "account verification",
        Kind::Advice => "customer action",
    }
}

pub(crate) fn status(row: &Row) -> &'static str {
    let mut rng = Rng::new(row.salt ^ 0x5354_4154);
    match row.phase {
        Phase::Opened => rng.choose(&["awaiting customer", "awaiting redirect result"]),
        Phase::Pending | Phase::Authorized => {
            rng.choose(&["processing", "external processing", "awaiting 3ds result"])
        }
        Phase::Approval => "awaiting approval",
        Phase::Succeeded | Phase::Overpaid => "success",
        Phase::Failed => "decline",
        Phase::Broken => rng.choose(&["internal error", "external error", "error"]),
        Phase::Canceled | Phase::Expired => "expired",
    }
}

/// The details of a row that only ECommPay sends.
pub(crate) struct Extras {
    pub(crate) account: Option<String>,
    pub(crate) method: Option<&'static str>,
    pub(crate) code: Option<&'static str>,
    pub(crate) message: Option<&'static str>,
    pub(crate) converted: (Amount, Currency),
    /// When the operation ended, in microseconds; not sent for a few rows that have ended.
    pub(crate) completed: Option<i64>,
}

const DECLINES: &[(&str, &str)] = &[
    ("05", "Do not honor"),
    ("51", "Not sufficient funds"),
    ("", ""),
    ("E102", "Card is expired"),
];

impl Extras {
    pub(crate) fn of(row: &Row, details: &Details) -> Self {
        let mut rng = details.extra.clone();
        let (method, account) = match &details.method {
            Method::Card(card) => (
                Some(card.brand),
                Some(format!("{}******{}", card.bin, card.last_4)),
            ),
            Method::Account(name, account) => (Some(*name), Some(account.clone())),
            Method::Nothing => (None, None),
        };
        let declined = rng.choose(DECLINES);
        let (code, message) = match row.phase {
            phase if phase.is_unsuccessful() => declined,
            Phase::Succeeded => rng.choose(&[("00", "Approved"), ("", "")]),
            _ => ("", ""),
        };
        let converted = if rng.per_mille(250) {
            let currency = rng.choose(CARD_CURRENCIES);
            let digits = rng.between(1, 9_000_000);
            (Amount::new(digits.into(), currency.iso), currency)
        } else {
            (row.amount, row.currency)
        };
        let sends_end = !rng.per_mille(40);
        Self {
            account,
            method,
            code: Some(code).filter(|code| !code.is_empty()),
            message: Some(message).filter(|message| !message.is_empty()),
            converted,
            completed: Some(row.updated).filter(|_| sends_end && !row.phase.is_open()),
        }
    }
}

/// Writes the fields that are always sent and those of `wanted`.
pub(crate) fn write(json: &mut Json, row: &Row, zone: Tz, wanted: &[String]) {
    let details = Details::of(row);
    let extras = Extras::of(row, &details);
    json.open('{');
    for name in ALWAYS {
        match *name {
            "sum_initial" => sum(json, name, row.amount, row.currency),
            "sum_converted" => sum(json, name, extras.converted.0, extras.converted.1),
            name => json.text(name, &always(name, row, &details, &extras, zone)),
        }
    }
    for name in ON_REQUEST {
        if wanted.iter().any(|wanted| wanted == name) {
            json.text(name, &on_request(name, row, &details));
        }
    }
    json.close('}');
}

fn always(name: &str, row: &Row, details: &Details, extras: &Extras, zone: Tz) -> String {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    match name {
        "project_id" => details.merchant.to_string(),
        "operation_id" => id(row),
        "payment_id" => payment_id(row, details),
        "operation_type" => kind(row).to_owned(),
        "operation_status" => status(row).to_owned(),
        "account_number" => text(extras.account.as_deref()),
        "customer_ip" => text(details.ip.as_deref()),
        "payment_method_name" | "payment_method_type" => text(extras.method),
        "payment_description" => text(details.description.as_deref()),
        "operation_created_at" => time(Some(row.created), zone),
        "operation_completed_at" => time(extras.completed, zone),
        "provider_date" => time(row.paid, Tz::UTC),
        "shipment_date" => time(row.settled, Tz::UTC),
        "arn" => text(details.arn.as_deref()),
        "rrn" => text(details.rrn.as_deref()),
        "payment_provider_code" => text(extras.code),
        _ => text(extras.message),
    }
}

fn on_request(name: &str, row: &Row, details: &Details) -> String {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let card = details.card();
    match name {
        "auth_code" => text(details.auth_code.as_deref()),
        "bin" => text(card.map(|card| &*card.bin)),
        "card_holder" => text(card.map(|card| card.holder)),
        "country_by_bin" => text(card.map(|card| card.country)),
        "country_by_ip" => details.country.to_owned(),
        "customer_email" => text(details.email.as_deref()),
        "customer_id" => text(details.customer_id.as_deref()),
        "provider_payment_id" => text(details.acquirer_reference.as_deref()),
        "payment_currency" => row.currency.code.to_owned(),
        "transaction_status" => status(row).to_owned(),
        "completed_refund" => "0".to_owned(),
        "remaining_refund" => row.amount.digits.to_string(),
        "merchant_id" => details.merchant.to_string(),
        _ => String::new(),
    }
}

fn sum(json: &mut Json, name: &str, amount: Amount, currency: Currency) {
    json.open_at(name, '{');
    json.number("amount", amount.digits);
    json.text("currency", currency.code);
    json.close('}');
}

/// `YYYY-MM-DDThh:mm:ss±hh:mm`; a missing time is an empty string.
fn time(micros: Option<i64>, zone: Tz) -> String {
    micros
        .map(|micros| instant(micros).with_timezone(&zone))
        .map(|time| time.format("%Y-%m-%dT%H:%M:%S%:z").to_string())
        .unwrap_or_default()
}
