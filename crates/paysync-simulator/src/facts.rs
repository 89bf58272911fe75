//! The particulars of a row: cards, wallets, customers, references, texts.
//!
//! Drawn from the row's salts in a fixed order, so that a page and the ledger see the same.

use std::ops::RangeInclusive;

use super::dice::Dice;
use super::world::Row;

/// A payment card as a provider shows it.
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

/// What was paid with.
#[derive(Debug, Clone)]
pub(crate) enum Method {
    Card(Card),
    /// A named method and the account in it, which is no card.
    Account(&'static str, String),
    /// The provider says nothing about it.
    Nothing,
}

/// Everything about a row that never changes.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
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
    /// `Some("")` is a text that the provider sends empty.
    pub(crate) description: Option<String>,
    pub(crate) rrn: Option<String>,
    pub(crate) arn: Option<String>,
    pub(crate) auth_code: Option<String>,
    /// The acquirer's reference.
    pub(crate) acquirer_reference: Option<String>,
    pub(crate) merchant: u64,
    pub(crate) shop: u64,
    pub(crate) gateway: u64,
    /// What provider files draw their own particulars from.
    pub(crate) extra: Dice,
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
/// Of 20, those that make a payment one from a named account.
const ACCOUNT_DIES: RangeInclusive<u64> = 14..=18;
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

impl Facts {
    pub(crate) fn of(row: &Row) -> Self {
        let mut family = Dice::new(row.family);
        let mut own = Dice::new(row.salt);
        let (first_name, last_name, holder) = family.pick(NAMES);
        let customer = family.below(CUSTOMERS);
        let country = family.pick(COUNTRIES);
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
            _ => Some(format!("{} {}", own.pick(DESCRIPTIONS), own.below(100_000))),
        };
        let reached = with_card && !row.phase.is_open();
        let rrn = own.digits(12);
        let arn = format!("7{}", own.digits(22));
        let auth_code = own.digits(6);
        let acquirer_reference = format!("ref-{:016x}", own.roll());
        let good = reached && !row.phase.is_bad();
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

/// Whether the row was paid from a named account, without drawing everything else.
pub(crate) fn has_account(row: &Row) -> bool {
    let mut family = Dice::new(row.family);
    // As `Facts::of` begins.
    family.pick(NAMES);
    family.below(CUSTOMERS);
    family.pick(COUNTRIES);
    ACCOUNT_DIES.contains(&family.below(20))
}

fn method(dice: &mut Dice, holder: &'static str) -> Method {
    match dice.below(20) {
        drawn if ACCOUNT_DIES.contains(&drawn) => {
            let (name, account) = dice.pick(ACCOUNTS);
            Method::Account(name, account.to_owned())
        }
        0..=13 => {
            let (brand, bin_8) = dice.pick(CARDS);
            Method::Card(Card {
                brand,
                bin: bin_8.chars().take(6).collect(),
                bin_8: bin_8.to_owned(),
                last_4: dice.digits(4),
                country: dice.pick(COUNTRIES),
                holder,
                month: dice.between(1, 12),
                year: dice.between(2027, 2032),
            })
        }
        _ => Method::Nothing,
    }
}

fn ip(dice: &mut Dice) -> String {
    if dice.per_mille(200) {
        format!("2001:db8::{:x}", dice.between(1, 0xffff))
    } else {
        format!("192.0.2.{}", dice.between(1, 254))
    }
}

/// The text, or nothing if it is empty: the ledger's reading of an empty text.
pub(crate) fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{Facts, Method, has_account};
    use crate::world::Row;

    #[test]
    fn the_short_way_to_the_method_agrees_with_the_long_one() {
        let rows = (0..1_000).map(|family| Row {
            family,
            ..Row::default()
        });
        let told: Vec<bool> = rows.clone().map(|row| has_account(&row)).collect();
        let drawn: Vec<bool> = rows
            .map(|row| matches!(Facts::of(&row).method, Method::Account(..)))
            .collect();
        assert_eq!(told, drawn);
        assert!(told.contains(&true) && told.contains(&false));
    }
}
