//! One element of `result`: ConvergeGate's words and shape for a row.

use crate::clock::instant;
use crate::facts::{Card, Facts, Method};
use crate::json::Json;
use crate::money::Amount;
use crate::world::{Kind, Phase, Row, World};

/// The provider's identifier: 32 hexadecimal digits.
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
        Phase::Held => "AUTHORIZED",
        Phase::Succeeded | Phase::Overpaid => "COMPLETED",
        Phase::Failed | Phase::Broken => "DECLINED",
        Phase::Canceled | Phase::Expired => "CANCELLED",
    }
}

/// What only ConvergeGate shows of a row.
pub(crate) struct Extras {
    pub(crate) method: Option<&'static str>,
    pub(crate) account: Option<String>,
    pub(crate) error: Option<(&'static str, &'static str)>,
    /// Sent with rows of any outcome; `error` is the part that counts.
    pub(crate) stray_error: Option<(&'static str, &'static str)>,
    pub(crate) customer_amount: Option<(Amount, &'static str)>,
    pub(crate) fee: Option<(Amount, &'static str)>,
    pub(crate) terminal: Option<String>,
    /// The page's own sample names a payment as its own parent.
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
    pub(crate) fn of(row: &Row, facts: &Facts) -> Self {
        let mut dice = facts.extra.clone();
        let (method, account) = match &facts.method {
            Method::Card(card) => (Some("BASIC_CARD"), Some(masked(card, dice.below(3)))),
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
        let (declined, canceled) = (dice.pick(DECLINES), dice.pick(CANCELS));
        let error = match row.phase {
            Phase::Failed | Phase::Broken => Some(declined),
            Phase::Canceled | Phase::Expired => Some(canceled),
            _ => None,
        };
        let stray = dice.per_mille(20).then_some(declined);
        let customer_amount = dice.per_mille(150).then(|| {
            let currency = if row.currency.code == "USD" {
                "EUR"
            } else {
                "USD"
            };
            (Amount::new(dice.between(100, 900_000).into(), 2), currency)
        });
        let base = dice.between(1, 500).saturating_add(row.revision.into());
        let has_fee = dice.per_mille(300) || row.revision > 0;
        let fee = (has_fee && row.phase == Phase::Succeeded)
            .then(|| (Amount::new(base.into(), 2), "EUR"));
        let terminal = (!dice.per_mille(200)).then(|| format!("terminal {}", facts.gateway));
        Self {
            method,
            account,
            error,
            stray_error: error.or(stray),
            customer_amount,
            fee,
            terminal,
            own_parent: row.parent.is_none() && dice.per_mille(60),
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

/// The card's digits before the mask, as a page shows them; the ledger's `card_bin`.
pub(crate) fn shown_bin(card: &Card, facts: &Facts) -> String {
    match facts.extra.clone().below(3) {
        0 | 1 => card.bin.clone(),
        _ => card.bin_8.clone(),
    }
}

pub(crate) fn write(json: &mut Json, world: &World, row: &Row) {
    let facts = Facts::of(row);
    let extras = Extras::of(row, &facts);
    let parent = world.parent(row).map(id);
    json.open('{');
    json.text("id", &id(row));
    json.text_if("referenceId", facts.reference.as_deref());
    let created = instant(row.created);
    json.text("created", &created.format("%Y-%m-%dT%H:%M:%S").to_string());
    json.text("paymentType", kind(row));
    json.text("state", state(row));
    json.text_if("description", facts.description.as_deref());
    let own = extras.own_parent.then(|| id(row));
    json.text_if("parentPaymentId", parent.or(own).as_deref());
    json.text_if("paymentMethod", extras.method);
    if let Some(account) = &extras.account {
        json.open_at("paymentMethodDetails", '{');
        json.text("customerAccountNumber", account);
        if let Some(card) = facts.card() {
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
    json.text_if("referenceId", facts.customer_id.as_deref());
    json.text("firstName", facts.first_name);
    json.text("lastName", facts.last_name);
    json.text_if("email", facts.email.as_deref());
    json.text_if("phone", facts.phone.as_deref());
    json.text("citizenshipCountryCode", facts.country);
    json.close('}');
    if row.held_first {
        json.flag("preAuth", true);
    }
    json.text_if("terminalName", extras.terminal.as_deref());
    if let Some((amount, currency)) = extras.fee {
        json.raw("externalFeeAmount", &amount.plain());
        json.text("externalFeeCurrency", currency);
    }
    json.close('}');
}
