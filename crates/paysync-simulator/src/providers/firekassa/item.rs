//! An item of `items`: FireKassa's vocabulary and JSON of a row.

use chrono::FixedOffset;

use crate::clock::instant;
use crate::merchants::details::{Card, Details, Method};
use crate::merchants::money::Amount;
use crate::merchants::row::{Kind, Phase, Row};
use crate::providers::json::Json;
use crate::random::Rng;

/// The provider's id.
pub(crate) fn number(row: &Row) -> u64 {
    row.number.saturating_add(507_000_000)
}

pub(crate) fn id(row: &Row) -> String {
    number(row).to_string()
}

pub(crate) fn action(row: &Row) -> &'static str {
    match row.kind {
        Kind::Payout | Kind::Credit => "withdrawal",
        _ => "deposit",
    }
}

pub(crate) fn status(row: &Row) -> &'static str {
    match row.phase {
        Phase::Opened | Phase::Pending | Phase::Authorized if row.kind == Kind::Payout => "waiting",
        Phase::Pending if is_partly_paid(row) => "partially-paid",
        Phase::Opened | Phase::Pending | Phase::Authorized | Phase::Approval => "process",
        Phase::Succeeded => "paid",
        Phase::Overpaid => "overpaid",
        Phase::Expired => "expired",
        Phase::Canceled => "cancel",
        Phase::Failed | Phase::Broken => "error",
    }
}

fn is_partly_paid(row: &Row) -> bool {
    row.kind == Kind::Payment && Rng::new(row.salt).per_mille(300)
}

/// The amount paid so far.
pub(crate) fn paid(row: &Row) -> Amount {
    match row.phase {
        Phase::Succeeded => row.amount,
        Phase::Overpaid => Amount::new(row.amount.digits.saturating_add(1_050), row.amount.scale),
        Phase::Pending if is_partly_paid(row) => row.amount.share(40),
        _ => Amount::new(0, row.amount.scale),
    }
}

/// The details of a row that only FireKassa sends.
pub(crate) struct Extras {
    pub(crate) method: &'static str,
    pub(crate) kind: Option<&'static str>,
    pub(crate) commission: Amount,
    pub(crate) error: Option<(&'static str, &'static str)>,
    pub(crate) payment_code: Option<String>,
    /// The complete card number, which the API sends though it should not.
    pub(crate) card_number: Option<String>,
    /// Whether ids are JSON numbers instead of strings.
    numeric: bool,
}

const ERRORS: &[(&str, &str)] = &[
    ("error code 1", "some payment error"),
    ("51", "Недостаточно средств"),
    ("timeout", "Время оплаты истекло"),
];

impl Extras {
    pub(crate) fn of(row: &Row, details: &Details) -> Self {
        let mut rng = details.extra.clone();
        let method = match &details.method {
            Method::Card(_) => "wallet-card",
            Method::Account("crypto", _) => "crypto",
            Method::Account(..) => "wallet",
            Method::Nothing => "sbp",
        };
        let error = rng.choose(ERRORS);
        let commission = u128::from(rng.between(0, 500)).saturating_add(row.revision.into());
        let code = rng.digits(6);
        Self {
            method,
            kind: rng.choose(&[Some("site"), Some("invoice"), Some("registry"), None]),
            commission: Amount::new(commission, 2),
            error: row.phase.is_unsuccessful().then_some(error),
            payment_code: rng.per_mille(300).then(|| format!("code{code}")),
            card_number: details.card().map(|card| whole_number(card, &mut rng)),
            numeric: row.number.is_multiple_of(3),
        }
    }
}

pub(crate) fn write(json: &mut Json, row: &Row) {
    let details = Details::of(row);
    let extras = Extras::of(row, &details);
    json.open('{');
    if extras.numeric {
        json.number("id", number(row));
    } else {
        json.text("id", &id(row));
    }
    json.text("created_at", &time(row.created));
    json.text("updated_at", &time(row.updated));
    json.text("action", action(row));
    json.text("method", extras.method);
    json.text_if("type", extras.kind);
    json.number("payment_id", row.salt >> 34);
    json.text_or_null("order_id", details.reference.as_deref());
    json.text_or_null("account", details.customer_id.as_deref());
    json.text("amount", &row.amount.plain());
    json.text("payment_amount", &paid(row).plain());
    json.text("commission", &extras.commission.plain());
    json.text_or_null("comment", details.description.as_deref());
    json.text("status", status(row));
    json.null("payment_url");
    json.text_or_null("payment_code", extras.payment_code.as_deref());
    json.text_or_null("payment_error_code", extras.error.map(|(code, _)| code));
    json.text_or_null("payment_error", extras.error.map(|(_, message)| message));
    json.text("currency", row.currency.code);
    json.text_if("card_number", extras.card_number.as_deref());
    match &details.method {
        Method::Account("crypto", account) => {
            json.text("crypto_address", account);
            json.text("crypto_blockchain", "tron");
        }
        Method::Account(_, account) => json.text("wallet_number", account),
        Method::Card(_) | Method::Nothing => {}
    }
    if row.kind == Kind::Payout {
        json.text("first_name", details.first_name);
        json.text("last_name", details.last_name);
    }
    json.close('}');
}

/// Sixteen digits that pass the Luhn check.
fn whole_number(card: &Card, rng: &mut Rng) -> String {
    let (front, back) = (format!("{}{}", card.bin_8, rng.digits(3)), &card.last_4);
    ('0'..='9')
        .map(|digit| format!("{front}{digit}{back}"))
        .find(|number| passes_luhn(number))
        .unwrap_or_default()
}

fn passes_luhn(number: &str) -> bool {
    let sum: u32 = number
        .bytes()
        .rev()
        .zip([1, 2].into_iter().cycle())
        .map(|(byte, weight)| {
            let product = u32::from(byte.saturating_sub(b'0')) * weight;
            product / 10 + product % 10
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Moscow time in whole seconds.
fn time(micros: i64) -> String {
    let time = instant(micros);
    FixedOffset::east_opt(3 * 3600).map_or_else(
        || time.to_rfc3339(),
        |moscow| {
            let local = time.with_timezone(&moscow);
            local.format("%Y-%m-%dT%H:%M:%S%:z").to_string()
        },
    )
}
