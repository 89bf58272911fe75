//! The body of a DWH request, validated as strictly as documented.

use std::collections::BTreeSet;

use chrono::{DateTime, FixedOffset, Offset as _, TimeDelta};
use chrono_tz::Tz;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::item::{Extras, kind, status, uid};
use super::selection::{self, Field};
use crate::merchants::details::{Details, Method};
use crate::merchants::row::{Axis, Row};
use crate::settings::Settings;

/// A refusal: the reason for the request counts, and the message.
pub(crate) type Refusal = (&'static str, String);

const DAYS: i64 = 90;
/// Filters with a text value.
const TEXT_FILTERS: &[&str] = &[
    "description",
    "code",
    "fraud",
    "tracking_id",
    "gateway_id",
    "gateway_type",
    "gateway_agent_id",
    "provider_raw_rrn",
    "provider_raw_ref_id",
    "customer_id",
    "customer_ip",
    "customer_full_name",
    "customer_phone",
    "customer_email",
    "method_type",
    "method_alternative_account",
    "credit_card_product",
    "credit_card_first_1",
    "credit_card_bin",
    "credit_card_bin_8",
    "credit_card_last_4",
    "credit_card_holder",
    "credit_card_brand",
    "credit_card_sub_brand",
    "credit_card_stamp",
    "credit_card_issuer_country",
    "recipient_customer_id",
    "recipient_customer_ip",
    "recipient_customer_full_name",
    "recipient_customer_email",
    "recipient_customer_phone",
    "recipient_credit_card_product",
    "recipient_credit_card_first_1",
    "recipient_credit_card_bin",
    "recipient_credit_card_bin_8",
    "recipient_credit_card_last_4",
    "recipient_credit_card_holder",
    "recipient_credit_card_brand",
    "recipient_credit_card_sub_brand",
    "recipient_credit_card_stamp",
    "recipient_credit_card_issuer_country",
    "merchant_id",
    "shop_id",
    "uid",
    "type",
    "status",
    "amount",
    "currency",
    "recurring_type",
];
const TYPES: &[&str] = &[
    "authorization",
    "payment",
    "tokenization",
    "payout",
    "capture",
    "void",
    "refund",
    "credit",
    "chargeback",
];
const STATUSES: &[&str] = &["successful", "failed", "incomplete", "error", "pending"];

/// A valid request for a list or a count.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) limit: usize,
    pub(crate) zone: Tz,
    pub(crate) axis: Axis,
    pub(crate) date_type: &'static str,
    pub(crate) from: i64,
    pub(crate) uid_from: u128,
    /// Exclusive, microseconds.
    pub(crate) end: i64,
    /// The default fields if none.
    pub(crate) fields: Option<Vec<Field>>,
    filters: Vec<(String, BTreeSet<String>)>,
    test: bool,
    test_adds: bool,
}

impl Request {
    pub(crate) fn read(body: &Map<String, Value>, settings: &Settings) -> Result<Self, Refusal> {
        check_names(body, &["options", "filter", "response_parameters"])?;
        let none = Map::new();
        let options = match body.get("options") {
            None => &none,
            Some(value) => object(value, "Options")?,
        };
        check_names(options, &["limit", "time_zone"])?;
        let filter = match body.get("filter") {
            None => return Err(missing("Filter")),
            Some(value) => object(value, "Filter")?,
        };
        let zone: Tz = match options.get("time_zone") {
            None => Tz::Etc__UTC,
            Some(Value::String(name)) => name
                .parse()
                .map_err(|_| wrong("time zone", "Time_zone is invalid."))?,
            Some(_) => return Err(wrong("time zone", "Time_zone must be a string.")),
        };
        let start = date(filter, "date_from", zone)?;
        let end = date(filter, "date_to", zone)?;
        if end < start {
            return Err(wrong("date range", "Date_to must be after date_from."));
        }
        if end - start > TimeDelta::days(DAYS) {
            return Err(wrong(
                "date range",
                "The date range must be within 90 days.",
            ));
        }
        let (date_type, axis) = match text(filter, "date_type")? {
            None | Some("created_at") => ("created_at", Axis::Created),
            Some("paid_at") => ("paid_at", Axis::Paid),
            Some("updated_at") => ("updated_at", Axis::Updated),
            Some(_) => return Err(wrong("date type", "Date_type is invalid.")),
        };
        Ok(Self {
            limit: limit(options)?,
            zone,
            axis,
            date_type,
            from: start.timestamp_micros(),
            uid_from: uid_from(filter, settings)?,
            end: end
                .timestamp_micros()
                .saturating_add(i64::from(settings.dwh_date_to_inclusive)),
            fields: selected_fields(body)?,
            filters: filters(filter)?,
            test: test(filter)?,
            test_adds: settings.dwh_test_adds,
        })
    }

    /// Whether the row matches every filter, except the dates.
    pub(crate) fn matches(&self, row: &Row) -> bool {
        let test = row.test == self.test || (self.test && self.test_adds);
        if !test || self.filters.is_empty() {
            return test;
        }
        let details = Details::of(row);
        let extras = Extras::of(row, &details);
        self.filters.iter().all(|(name, wanted)| {
            let one = |value: Option<&str>| value.is_some_and(|value| wanted.contains(value));
            let part = |value: Option<&str>| {
                value.is_some_and(|value| wanted.iter().any(|part| value.contains(part.as_str())))
            };
            let card = details.card();
            match name.as_str() {
                "uid" => part(Some(&uid(row))),
                "type" => one(Some(kind(row))),
                "status" => one(Some(status(row))),
                "currency" => one(Some(row.currency.code)),
                "amount" => one(Some(&row.amount.digits.to_string())),
                "merchant_id" => one(Some(&details.merchant.to_string())),
                "shop_id" => one(Some(&details.shop.to_string())),
                "gateway_id" => one(Some(&details.gateway.to_string())),
                "gateway_type" => one(Some(&format!("gw_{}", details.gateway))),
                "description" => part(details.description.as_deref()),
                "tracking_id" => part(details.reference.as_deref()),
                "provider_raw_rrn" => part(details.rrn.as_deref()),
                "provider_raw_ref_id" => part(details.acquirer_reference.as_deref()),
                "code" => one(extras.code),
                "fraud" => one(extras.fraud),
                "recurring_type" => one(Some(extras.recurring.unwrap_or("null"))),
                "customer_id" => one(details.customer_id.as_deref()),
                "customer_ip" => one(details.ip.as_deref()),
                "customer_email" => part(details.email.as_deref()),
                "method_type" => one(match details.method {
                    Method::Card(_) => Some("credit_card"),
                    Method::Account(..) => Some("alternative"),
                    Method::Nothing => None,
                }),
                "credit_card_brand" => one(card.map(|card| card.brand)),
                "credit_card_bin" => one(card.map(|card| &*card.bin)),
                "credit_card_last_4" => one(card.map(|card| &*card.last_4)),
                _ => false,
            }
        })
    }
}

/// The fields that `response_parameters` selects.
pub(crate) fn selected_fields(body: &Map<String, Value>) -> Result<Option<Vec<Field>>, Refusal> {
    match body.get("response_parameters") {
        None => Ok(None),
        Some(Value::String(text)) => selection::parse(text)
            .map(Some)
            .map_err(|message| ("response parameters", message)),
        Some(_) => Err(wrong(
            "response parameters",
            "Response_parameters must be a string.",
        )),
    }
}

/// Refuses undocumented names.
pub(crate) fn check_names(map: &Map<String, Value>, names: &[&str]) -> Result<(), Refusal> {
    match map.keys().find(|key| !names.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(("unknown parameter", format!("{key} is unknown."))),
    }
}

pub(crate) fn object<'a>(value: &'a Value, name: &str) -> Result<&'a Map<String, Value>, Refusal> {
    value
        .as_object()
        .ok_or_else(|| ("parameter type", format!("{name} must be an object.")))
}

pub(crate) fn missing(name: &str) -> Refusal {
    ("missing parameter", format!("{name} is required."))
}

fn wrong(why: &'static str, message: &str) -> Refusal {
    (why, message.to_owned())
}

fn limit(options: &Map<String, Value>) -> Result<usize, Refusal> {
    match options.get("limit") {
        None => Ok(100),
        Some(value) => value
            .as_u64()
            .filter(|limit| (1..=1000).contains(limit))
            .and_then(|limit| usize::try_from(limit).ok())
            .ok_or_else(|| wrong("limit", "Limit must be an integer from 1 to 1000.")),
    }
}

fn text<'a>(map: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Refusal> {
    match map.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(("parameter type", format!("{name} must be a string."))),
    }
}

/// `YYYY-MM-DDThh:mm:ss±hh:mm` in the zone's offset, with an optional fraction, as in the cursor.
fn date(
    filter: &Map<String, Value>,
    name: &str,
    zone: Tz,
) -> Result<DateTime<FixedOffset>, Refusal> {
    let label = match name {
        "date_from" => "Date_from",
        _ => "Date_to",
    };
    let given = text(filter, name)?.ok_or_else(|| missing(label))?;
    let numeric_offset = given
        .len()
        .checked_sub(6)
        .and_then(|at| given.get(at..))
        .is_some_and(|offset| offset.starts_with(['+', '-']));
    let parsed = DateTime::parse_from_rfc3339(given)
        .ok()
        .filter(|_| numeric_offset && given.as_bytes().get(10) == Some(&b'T'))
        .ok_or_else(|| ("time format", format!("{label} is invalid.")))?;
    if parsed.with_timezone(&zone).offset().fix() != *parsed.offset() {
        return Err(("time zone", format!("{label} doesn't match time_zone.")));
    }
    Ok(parsed)
}

fn uid_from(filter: &Map<String, Value>, settings: &Settings) -> Result<u128, Refusal> {
    match text(filter, "uid_from")? {
        Some(text) if !settings.dwh_without_uids => Uuid::parse_str(text)
            .ok()
            .filter(|_| text.len() == 36)
            .map(|uid| uid.as_u128())
            .ok_or_else(|| wrong("uid_from", "Uid_from is invalid.")),
        _ => Ok(0),
    }
}

fn test(filter: &Map<String, Value>) -> Result<bool, Refusal> {
    match filter.get("test") {
        None => Ok(false),
        Some(value) => value
            .as_bool()
            .ok_or_else(|| wrong("parameter type", "Test must be a boolean.")),
    }
}

fn filters(filter: &Map<String, Value>) -> Result<Vec<(String, BTreeSet<String>)>, Refusal> {
    let mut filters = Vec::new();
    for (name, value) in filter {
        match name.as_str() {
            "date_from" | "date_to" | "date_type" | "uid_from" | "test" => continue,
            "shop_business_category_id" if value.is_u64() => continue,
            name if TEXT_FILTERS.contains(&name) => {}
            _ => return Err(("unknown parameter", format!("{name} is unknown."))),
        }
        let given = text(filter, name)?.unwrap_or_default();
        let wanted: BTreeSet<String> = given.split(',').map(|one| one.trim().to_owned()).collect();
        let allowed = match name.as_str() {
            "type" => TYPES,
            "status" => STATUSES,
            "method_type" => &["credit_card", "alternative"],
            "recurring_type" => &["recurring", "initial", "null"],
            _ => &[],
        };
        if !allowed.is_empty() && !wanted.iter().all(|one| allowed.contains(&one.as_str())) {
            return Err(("filter value", format!("{name} is invalid.")));
        }
        filters.push((name.clone(), wanted));
    }
    Ok(filters)
}
