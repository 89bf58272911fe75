//! An item of `result`: ConvergeGate's vocabulary and JSON of a row.

use crate::clock::instant;
use crate::merchants::details::{Card, Details, Method};
use crate::merchants::money::Amount;
use crate::merchants::row::{Kind, Phase, Row};
use crate::merchants::table::Table;
use crate::providers::json::Json;

/// The provider's id: 32 hexadecimal digits.
pub(crate) fn id(row: &Row) -> String {
    format!("{:032x}", row.id)
}

pub(crate) fn kind(row: &Row) -> &'static str {
    match row.kind {
        Kind::Refund | Kind::Reversal => "REFUND",
        Kind::Payout | Kind::Credit => "WITHDRAWAL",
        _ => "DEPOSIT",
    }
}

pub(crate) fn state(row: &Row) -> &'static str {
    match row.phase {
        Phase::Opened => "CHECKOUT",
        Phase::Pending => "PENDING",
        Phase::Approval => "AWAITING_APPROVAL",
        Phase::Authorized => "AUTHORIZED",
        Phase::Succeeded | Phase::Overpaid => "COMPLETED",
        Phase::Failed | Phase::Broken => "DECLINED",
        Phase::Canceled | Phase::Expired => "CANCELLED",
    }
}

/// The details of a row that only ConvergeGate sends.
pub(crate) struct Extras {
    pub(crate) method: Option<&'static str>,
    pub(crate) account: Option<String>,
    pub(crate) error: Option<(&'static str, &'static str)>,
    /// `error`, or an error that is sent with a row of any state.
    pub(crate) stray_error: Option<(&'static str, &'static str)>,
    pub(crate) customer_amount: Option<(Amount, &'static str)>,
    pub(crate) fee: Option<(Amount, &'static str)>,
    pub(crate) terminal: Option<String>,
    /// Whether the payment is its own parent, as in the documentation's sample.
    pub(crate) own_parent: bool,
}

const DECLINES: &[(&str, &str)] = &[
    ("4.01", "Insufficient Funds"),
    ("4.05", "Do not honor"),
    ("3.02", "Acquirer is not available"),
    ("5.01", "3-D Secure authentication failed"),
    ("6.01", "Rejected by anti-fraud"),
];
const CANCELS: &[(&str, &str)] = &[
    ("1.04", "Cancelled by timeout"),
    ("2.00", "Cancelled by customer"),
];

impl Extras {
    pub(crate) fn of(row: &Row, details: &Details) -> Self {
        let mut rng = details.extra.clone();
        let (method, account) = match &details.method {
            Method::Card(card) => (Some("BASIC_CARD"), Some(masked(card, rng.below(3)))),
            Method::Account(name, account) => {
                let name = match *name {
                    "pix" => "PIX",
                    "sepa" => "SEPA",
                    "crypto" => "CRYPTO",
                    _ => "EWALLET",
                };
                (Some(name), Some(account.clone()))
            }
            Method::Nothing => (None, None),
        };
        let (declined, canceled) = (rng.choose(DECLINES), rng.choose(CANCELS));
        let error = match row.phase {
            Phase::Failed | Phase::Broken => Some(declined),
            Phase::Canceled | Phase::Expired => Some(canceled),
            _ => None,
        };
        let stray = rng.per_mille(20).then_some(declined);
        let customer_amount = rng.per_mille(150).then(|| {
            let currency = if row.currency.code == "USD" {
                "EUR"
            } else {
                "USD"
            };
            (Amount::new(rng.between(100, 900_000).into(), 2), currency)
        });
        let base = rng.between(1, 500).saturating_add(row.revision.into());
        let has_fee = rng.per_mille(300) || row.revision > 0;
        let fee = (has_fee && row.phase == Phase::Succeeded)
            .then(|| (Amount::new(base.into(), 2), "EUR"));
        let terminal = (!rng.per_mille(200)).then(|| format!("terminal {}", details.gateway));
        Self {
            method,
            account,
            error,
            stray_error: error.or(stray),
            customer_amount,
            fee,
            terminal,
            own_parent: row.parent.is_none() && rng.per_mille(60),
        }
    }
}

fn masked(card: &Card, style: u64) -> String {
    match style {
        0 => format!("{}***{}", card.bin, card.last_4),
        1 => format!("{}******{}", card.bin, card.last_4),
        _ => format!("{}****{}", card.bin_8, card.last_4),
    }
}

/// The card's digits before the mask; the ledger's `card_bin`.
pub(crate) fn shown_bin(card: &Card, details: &Details) -> String {
    match details.extra.clone().below(3) {
        0 | 1 => card.bin.clone(),
        _ => card.bin_8.clone(),
    }
}

pub(crate) fn write(json: &mut Json, table: &Table, row: &Row) {
    let details = Details::of(row);
    let extras = Extras::of(row, &details);
    let parent = table.parent(row).map(id);
    json.open('{');
    json.text("id", &id(row));
    json.text_if("referenceId", details.reference.as_deref());
    let created = instant(row.created);
    json.text("created", &created.format("%Y-%m-%dT%H:%M:%S").to_string());
    json.text("paymentType", kind(row));
    json.text("state", state(row));
    json.text_if("description", details.description.as_deref());
    let own = extras.own_parent.then(|| id(row));
    json.text_if("parentPaymentId", parent.or(own).as_deref());
    json.text_if("paymentMethod", extras.method);
    if let Some(account) = &extras.account {
        json.open_at("paymentMethodDetails", '{');
        json.text("customerAccountNumber", account);
        if let Some(card) = details.card() {
            json.text(
                "cardToken",
                &format!("{:016x}{:016x}", row.family, row.family),
            );
            json.text("cardholderName", card.holder);
            json.text("cardExpiryMonth", &format!("{:02}", card.month));
            json.text("cardExpiryYear", &card.year.to_string());
            json.text("cardBrand", &card.brand.to_uppercase());
            json.text("cardIssuingCountryCode", card.country);
        }
        json.close('}');
    }
    json.raw("amount", &row.amount.plain());
    json.text("currency", row.currency.code);
    if let Some((amount, currency)) = extras.customer_amount {
        json.raw("customerAmount", &amount.plain());
        json.text("customerCurrency", currency);
    }
    if let Some((code, message)) = extras.stray_error {
        json.text("errorCode", code);
        json.text("errorMessage", message);
        json.text("externalResultCode", "03");
    }
    json.open_at("customer", '{');
    json.text_if("referenceId", details.customer_id.as_deref());
    json.text("firstName", details.first_name);
    json.text("lastName", details.last_name);
    json.text_if("email", details.email.as_deref());
    json.text_if("phone", details.phone.as_deref());
    json.text("citizenshipCountryCode", details.country);
    json.close('}');
    if row.authorized_first {
        json.flag("preAuth", true);
    }
    json.text_if("terminalName", extras.terminal.as_deref());
    if let Some((amount, currency)) = extras.fee {
        json.raw("externalFeeAmount", &amount.plain());
        json.text("externalFeeCurrency", currency);
    }
    json.close('}');
}
