//! An item of `transactions`: the DWH's vocabulary and JSON of a row.

use chrono::SecondsFormat;
use chrono_tz::Tz;

use super::selection::Field;
use crate::clock::instant;
use crate::merchants::details::{Card, Details, Method};
use crate::merchants::money::{Amount, CARD_CURRENCIES, Currency};
use crate::merchants::row::{Kind, Phase, Row};
use crate::merchants::table::Table;
use crate::providers::json::Json;

/// The provider's identifier: a UUID.
pub(crate) fn uid(row: &Row) -> String {
    uuid::Uuid::from_u128(row.id).to_string()
}

pub(crate) fn kind(row: &Row) -> &'static str {
    match row.kind {
        Kind::Payment | Kind::Recurring => "payment",
        Kind::Authorization => "authorization",
        Kind::Capture => "capture",
        Kind::Void | Kind::Reversal => "void",
        Kind::Refund => "refund",
        Kind::Payout => "payout",
        Kind::Credit => "credit",
        Kind::Chargeback => "chargeback",
        Kind::Verification => "tokenization",
        Kind::PeerToPeer => "p2p",
        Kind::Advice => "fraud_advice",
    }
}

pub(crate) fn status(row: &Row) -> &'static str {
    match row.phase {
        Phase::Opened => "incomplete",
        Phase::Pending | Phase::Approval | Phase::Authorized => "pending",
        Phase::Succeeded | Phase::Overpaid => "successful",
        Phase::Failed | Phase::Canceled | Phase::Expired => "failed",
        Phase::Broken => "error",
    }
}

/// A time in microseconds, in the requested zone.
///
/// Times in UTC end in `Z`, as in recorded answers; a cursor has the numeric offset, so that it can be
/// sent back as `date_from`.
pub(crate) fn time(micros: i64, zone: Tz, use_z: bool) -> String {
    instant(micros)
        .with_timezone(&zone)
        .to_rfc3339_opts(SecondsFormat::Micros, use_z && zone == Tz::Etc__UTC)
}

/// The details of a row that only beGateway sends.
pub(crate) struct Extras {
    pub(crate) code: Option<&'static str>,
    pub(crate) message: Option<&'static str>,
    pub(crate) bank_code: Option<&'static str>,
    pub(crate) converted: Option<(Amount, Currency)>,
    pub(crate) fraud: Option<&'static str>,
    pub(crate) recurring: Option<&'static str>,
    pub(crate) reason: Option<&'static str>,
    pub(crate) language: &'static str,
    /// Whether the installation sends the first eight digits of the card.
    pub(crate) eight_digits: bool,
    /// Whether `method.type` is `credit_card` for cards, or missing.
    pub(crate) names_card: bool,
    pub(crate) brand: bool,
}

const DECLINES: &[(&str, &str, &str)] = &[
    ("F.0105", "Do not honour", "05"),
    ("F.0111", "Card expired", "54"),
    ("F.0114", "Insufficient funds", "51"),
    ("F.0117", "Provider is not available", "91"),
    ("F.0998", "Customer didn't finish the payment", ""),
];

impl Extras {
    pub(crate) fn of(row: &Row, details: &Details) -> Self {
        let mut rng = details.extra.clone();
        let (code, message, bank_code) = rng.choose(DECLINES);
        let (code, message, bank_code) = match row.phase {
            Phase::Succeeded | Phase::Overpaid => (
                Some("S.0000"),
                Some("Transaction is successful."),
                Some("00"),
            ),
            Phase::Failed | Phase::Broken | Phase::Canceled | Phase::Expired => {
                (Some(code), Some(message), Some(bank_code))
            }
            Phase::Pending | Phase::Approval | Phase::Authorized => {
                (Some("P.0001"), Some("In progress"), None)
            }
            Phase::Opened => (None, None, None),
        };
        let converted = rng.per_mille(200).then(|| {
            let currency = rng.choose(CARD_CURRENCIES);
            let digits = rng.between(1, 9_000_000);
            (Amount::new(digits.into(), currency.begateway), currency)
        });
        Self {
            code,
            message,
            bank_code,
            converted,
            fraud: rng.choose(&[None, Some(""), Some(""), Some("review")]),
            recurring: rng.choose(&[None, None, None, Some("initial"), Some("recurring")]),
            reason: (row.kind == Kind::Refund).then_some("Customer's wish"),
            language: rng.choose(&["en", "ru", "de", "ja"]),
            eight_digits: rng.per_mille(700),
            names_card: rng.per_mille(500),
            brand: !rng.per_mille(50),
        }
    }
}

pub(crate) struct Item<'a> {
    pub(crate) row: &'a Row,
    pub(crate) parent: Option<&'a Row>,
    pub(crate) details: Details,
    pub(crate) extras: Extras,
    zone: Tz,
}

impl<'a> Item<'a> {
    pub(crate) fn new(table: &'a Table, row: &'a Row, zone: Tz) -> Self {
        let details = Details::of(row);
        let extras = Extras::of(row, &details);
        Self {
            row,
            parent: table.parent(row),
            details,
            extras,
            zone,
        }
    }

    /// Writes the fields that are sent without `response_parameters`.
    pub(crate) fn write_default(&self, json: &mut Json) {
        json.open('{');
        json.number("amount", self.row.amount.digits);
        self.time(json, "created_at", Some(self.row.created));
        json.text("currency", self.row.currency.code);
        json.number("merchant_id", self.details.merchant);
        self.time(json, "paid_at", self.row.paid);
        json.number("shop_id", self.details.shop);
        json.text("status", status(self.row));
        json.text("type", kind(self.row));
        json.text("uid", &uid(self.row));
        json.close('}');
    }

    /// Writes the selected fields, in the order of the selection.
    pub(crate) fn write(&self, json: &mut Json, fields: &[Field]) {
        json.open('{');
        for field in fields {
            self.transaction(json, field);
        }
        json.close('}');
    }

    fn transaction(&self, json: &mut Json, field: &Field) {
        let (row, details, extras) = (self.row, &self.details, &self.extras);
        let name = field.name;
        match name {
            "uid" => json.text(name, &uid(row)),
            "parent_uid" => json.text_or_null(name, self.parent.map(uid).as_deref()),
            "status" => json.text(name, status(row)),
            "type" => json.text(name, kind(row)),
            "amount" => json.number(name, row.amount.digits),
            "currency" => json.text(name, row.currency.code),
            "description" => json.text_or_null(name, details.description.as_deref()),
            "tracking_id" => json.text_or_null(name, details.reference.as_deref()),
            "created_at" => self.time(json, name, Some(row.created)),
            "updated_at" => self.time(json, name, Some(row.updated)),
            "paid_at" => self.time(json, name, row.paid),
            "settled_at" | "psp_settled_at" => self.time(json, name, row.settled),
            "manually_corrected_at" => self.time(json, name, row.corrected),
            "message" | "friendly_message" => json.text_or_null(name, extras.message),
            "code" => json.text_or_null(name, extras.code),
            "language" => json.text(name, extras.language),
            "test" => json.flag(name, row.test),
            "reason" => json.text_or_null(name, extras.reason),
            "converted_amount" => match extras.converted {
                Some((amount, _)) => json.number(name, amount.digits),
                None => json.null(name),
            },
            "converted_currency" => {
                json.text_or_null(name, extras.converted.map(|(_, currency)| currency.code));
            }
            "recurring_type" => json.text_or_null(name, extras.recurring),
            "fraud" => json.text_or_null(name, extras.fraud),
            "merchant" | "shop" | "gateway" | "provider_raw" | "customer" => {
                self.object(json, field);
            }
            "method" => self.method(json, field),
            _ => json.null(name),
        }
    }

    fn object(&self, json: &mut Json, field: &Field) {
        json.open_at(field.name, '{');
        for inner in &field.inside {
            match field.name {
                "merchant" => self.company(json, inner.name, "Merchant", self.details.merchant),
                "shop" => self.company(json, inner.name, "Shop", self.details.shop),
                "gateway" => self.gateway(json, inner.name),
                "provider_raw" => self.provider_raw(json, inner.name),
                _ => self.customer(json, inner.name),
            }
        }
        json.close('}');
    }

    fn company(&self, json: &mut Json, name: &str, word: &str, id: u64) {
        match name {
            "id" => json.number(name, id),
            "enabled" => json.flag(name, true),
            "name" => json.text(name, &format!("{word} {id}")),
            "company_name" => json.text(name, &format!("{word} № {id} GmbH & Co. KG")),
            "country" => json.text(name, self.details.country),
            "business_category_id" => json.number(name, 7),
            _ => json.null(name),
        }
    }

    fn gateway(&self, json: &mut Json, name: &str) {
        match name {
            "id" => json.number(name, self.details.gateway),
            "type" => json.text(name, &format!("gw_{}", self.details.gateway)),
            "vendor" => json.text(
                name,
                if self.details.card().is_some() {
                    "gateway"
                } else {
                    "beyag"
                },
            ),
            _ => json.null(name),
        }
    }

    fn provider_raw(&self, json: &mut Json, name: &str) {
        let details = &self.details;
        match name {
            "auth_code" => json.text_or_null(name, details.auth_code.as_deref()),
            "rrn" => json.text_or_null(name, details.rrn.as_deref()),
            "ref_id" => json.text_or_null(name, details.acquirer_reference.as_deref()),
            "bank_code" => json.text_or_null(name, self.extras.bank_code),
            "message" => json.text_or_null(name, self.extras.message),
            "amount" => json.number(name, self.row.amount.digits),
            "currency" => json.text(name, self.row.currency.code),
            _ => json.null(name),
        }
    }

    fn customer(&self, json: &mut Json, name: &str) {
        let details = &self.details;
        match name {
            "id" => json.text_or_null(name, details.customer_id.as_deref()),
            "ip" => json.text_or_null(name, details.ip.as_deref()),
            "email" => json.text_or_null(name, details.email.as_deref()),
            "phone" => json.text_or_null(name, details.phone.as_deref()),
            "first_name" => json.text(name, details.first_name),
            "last_name" => json.text(name, details.last_name),
            "full_name" => json.text(
                name,
                &format!("{} {}", details.first_name, details.last_name),
            ),
            "country" => json.text(name, details.country),
            _ => json.null(name),
        }
    }

    fn method(&self, json: &mut Json, field: &Field) {
        if matches!(self.details.method, Method::Nothing) {
            json.null(field.name);
            return;
        }
        json.open_at(field.name, '{');
        for inner in &field.inside {
            let name = inner.name;
            match (name, &self.details.method) {
                ("credit_card", Method::Card(card)) => {
                    json.open_at(name, '{');
                    for part in &inner.inside {
                        self.card(json, part.name, card);
                    }
                    json.close('}');
                }
                ("type", Method::Card(_)) if self.extras.names_card => {
                    json.text(name, "credit_card");
                }
                ("type", Method::Account(kind, _)) => json.text(name, kind),
                ("alternative_account", Method::Account(_, account)) => json.text(name, account),
                _ => json.null(name),
            }
        }
        json.close('}');
    }

    fn card(&self, json: &mut Json, name: &str, card: &Card) {
        match name {
            "product" => json.text(name, &card.brand.to_uppercase()),
            "brand" => json.text_or_null(name, self.extras.brand.then_some(card.brand)),
            "first_1" => json.text(name, &card.bin.chars().take(1).collect::<String>()),
            "bin" => json.text(name, &card.bin),
            "bin_8" => {
                json.text_or_null(name, self.extras.eight_digits.then_some(&*card.bin_8));
            }
            "last_4" => json.text(name, &card.last_4),
            "holder" => json.text(name, card.holder),
            "exp_month" => json.number(name, card.month),
            "exp_year" => json.number(name, card.year),
            "issuer_country" => json.text(name, card.country),
            "token" => json.text(name, &format!("{:064x}", self.row.family)),
            "stamp" => json.text(name, &format!("{:0128x}", self.row.family)),
            _ => json.null(name),
        }
    }

    fn time(&self, json: &mut Json, name: &str, micros: Option<i64>) {
        let text = micros.map(|micros| time(micros, self.zone, true));
        json.text_or_null(name, text.as_deref());
    }
}
