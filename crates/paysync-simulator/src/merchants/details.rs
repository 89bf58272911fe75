//! The details of a row: cards, wallets, customers, references, texts.
//!
//! Derived from the row's salts in a fixed order, so that pages and the ledger agree.

use std::ops::RangeInclusive;

use crate::merchants::row::Row;
use crate::random::Rng;

/// A masked payment card.
#[derive(Debug, Clone)]
pub(crate) struct Card {
    pub(crate) brand: &'static str,
    pub(crate) bin: String,
    pub(crate) bin_8: String,
    pub(crate) last_4: String,
    pub(crate) country: &'static str,
    pub(crate) holder: &'static str,
    pub(crate) month: u64,
    pub(crate) year: u64,
}

/// A payment method.
#[derive(Debug, Clone)]
pub(crate) enum Method {
    Card(Card),
    /// A named method other than a card, and its account.
    Account(&'static str, String),
    /// Not sent by the provider.
    Nothing,
}

/// The properties of a row that never change.
#[derive(Debug, Clone)]
pub(crate) struct Details {
    pub(crate) method: Method,
    pub(crate) customer_id: Option<String>,
    pub(crate) first_name: &'static str,
    pub(crate) last_name: &'static str,
    pub(crate) email: Option<String>,
    pub(crate) phone: Option<String>,
    pub(crate) ip: Option<String>,
    pub(crate) country: &'static str,
    /// The merchant's own reference.
    pub(crate) reference: Option<String>,
    /// `Some("")` if the provider sends an empty string.
    pub(crate) description: Option<String>,
    pub(crate) rrn: Option<String>,
    pub(crate) arn: Option<String>,
    pub(crate) auth_code: Option<String>,
    /// The acquirer's reference.
    pub(crate) acquirer_reference: Option<String>,
    pub(crate) merchant: u64,
    pub(crate) shop: u64,
    pub(crate) gateway: u64,
    /// The source of the details that only one provider has.
    pub(crate) extra: Rng,
}

const CARDS: &[(&str, &str)] = &[
    ("visa", "42424242"),
    ("visa", "40000012"),
    ("visa", "45717360"),
    ("master", "55555555"),
    ("master", "52000082"),
    ("maestro", "67596498"),
    ("amex", "37828224"),
];
const ACCOUNTS: &[(&str, &str)] = &[
    ("sepa", "DE89 3704 0044 0532 0130 00"),
    ("pix", "cliente+42@pix.example"),
    ("erip", "МТС 375291234567"),
    ("wallet", "79344344444"),
    ("crypto", "TQSZsABz2vNizCA26HKEEyoybdeZmCpvP6"),
];
const NAMES: &[(&str, &str, &str)] = &[
    ("John", "Smith", "JOHN SMITH"),
    ("Zoë", "Müller", "ZOE MUELLER"),
    ("Иван", "Иванов", "IVAN IVANOV"),
    ("美咲", "佐藤", "MISAKI SATO"),
    ("Aoife", "O'Brien", "AOIFE O'BRIEN"),
    ("José", "Núñez", "JOSE NUNEZ"),
];
const CUSTOMERS: u64 = 5_000;
/// Of 20, the draws that give a payment a named account.
const ACCOUNT_DRAWS: RangeInclusive<u64> = 14..=18;
const COUNTRIES: &[&str] = &["DE", "GB", "CY", "JP", "KW", "BY", "US", "IT"];
const DESCRIPTIONS: &[&str] = &[
    "Order",
    "Заказ №",
    "注文",
    "Commande n° « été »",
    "Bestellung \"Größe L\" \\ 2",
    "Coffee ☕ and 🍰, table",
    "Line one\nline two,\ttab",
    "مدفوعات",
];

impl Details {
    pub(crate) fn of(row: &Row) -> Self {
        let mut family = Rng::new(row.family);
        let mut own = Rng::new(row.salt);
        let (first_name, last_name, holder) = family.choose(NAMES);
        let customer = family.below(CUSTOMERS);
        let country = family.choose(COUNTRIES);
        let method = method(&mut family, holder);
        let with_card = matches!(method, Method::Card(_));
        let email = (!family.per_mille(150)).then(|| format!("customer{customer}@shop.example"));
        let phone = family.per_mille(400).then(|| format!("+3579{customer:07}"));
        let ip = (!family.per_mille(100)).then(|| ip(&mut family));
        let customer_id = (!family.per_mille(200)).then(|| format!("customer_{customer}"));
        let reference = (!family.per_mille(80)).then(|| format!("order-{}", family.digits(8)));
        let merchant = family.between(360, 369);
        let shop = merchant.saturating_mul(10).saturating_add(family.below(3));
        let gateway = family.between(3_400, 3_409);
        let description = match own.below(10) {
            0 => None,
            1 => Some(String::new()),
            _ => Some(format!(
                "{} {}",
                own.choose(DESCRIPTIONS),
                own.below(100_000)
            )),
        };
        let reached = with_card && !row.phase.is_open();
        let rrn = own.digits(12);
        let arn = format!("7{}", own.digits(22));
        let auth_code = own.digits(6);
        let acquirer_reference = format!("ref-{:016x}", own.next_u64());
        let good = reached && !row.phase.is_unsuccessful();
        Self {
            method,
            customer_id,
            first_name,
            last_name,
            email,
            phone,
            ip,
            country,
            reference,
            description,
            rrn: reached.then_some(rrn),
            arn: (good && row.settled.is_some()).then_some(arn),
            auth_code: good.then_some(auth_code),
            acquirer_reference: (!row.phase.is_open()).then_some(acquirer_reference),
            merchant,
            shop,
            gateway,
            extra: own,
        }
    }

    pub(crate) fn card(&self) -> Option<&Card> {
        match &self.method {
            Method::Card(card) => Some(card),
            Method::Account(..) | Method::Nothing => None,
        }
    }
}

/// Whether the row has a named account, without the cost of all details.
pub(crate) fn has_account(row: &Row) -> bool {
    let mut family = Rng::new(row.family);
    // The same draws as at the start of `Details::of`.
    family.choose(NAMES);
    family.below(CUSTOMERS);
    family.choose(COUNTRIES);
    ACCOUNT_DRAWS.contains(&family.below(20))
}

fn method(rng: &mut Rng, holder: &'static str) -> Method {
    match rng.below(20) {
        drawn if ACCOUNT_DRAWS.contains(&drawn) => {
            let (name, account) = rng.choose(ACCOUNTS);
            Method::Account(name, account.to_owned())
        }
        0..=13 => {
            let (brand, bin_8) = rng.choose(CARDS);
            Method::Card(Card {
                brand,
                bin: bin_8.chars().take(6).collect(),
                bin_8: bin_8.to_owned(),
                last_4: rng.digits(4),
                country: rng.choose(COUNTRIES),
                holder,
                month: rng.between(1, 12),
                year: rng.between(2027, 2032),
            })
        }
        _ => Method::Nothing,
    }
}

fn ip(rng: &mut Rng) -> String {
    if rng.per_mille(200) {
        format!("2001:db8::{:x}", rng.between(1, 0xffff))
    } else {
        format!("192.0.2.{}", rng.between(1, 254))
    }
}

/// None for an empty text.
pub(crate) fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{Details, Method, has_account};
    use crate::merchants::row::Row;

    #[test]
    fn has_account_agrees_with_the_details() {
        let rows = (0..1_000).map(|family| Row {
            family,
            ..Row::default()
        });
        let short: Vec<bool> = rows.clone().map(|row| has_account(&row)).collect();
        let full: Vec<bool> = rows
            .map(|row| matches!(Details::of(&row).method, Method::Account(..)))
            .collect();
        assert_eq!(short, full);
        assert!(short.contains(&true) && short.contains(&false));
    }
}
