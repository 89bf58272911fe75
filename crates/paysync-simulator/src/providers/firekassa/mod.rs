//! FireKassa's `GET /api/v2/transactions`.
//!
//! Unknown filters are ignored; invalid values of known filters are refused. The bounds of the creation
//! filter are exclusive in whole seconds, and the page size is limited (neither is documented). There is no
//! total and no "more"; `page.size` is the size in use.

use std::ops::Range;

use axum::http::{Method, header};
use chrono::DateTime;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha512;

use crate::credentials::FIREKASSA_TOKEN;
use crate::merchants::details::Details;
use crate::merchants::row::{Axis, Row};
use crate::merchants::table::Table;
use crate::providers::json::Json;
use crate::providers::protocol::{Answer, Call, is_credential};
use crate::providers::row_cache::RowCache;
use crate::settings::Settings;
use item::Extras;

pub(crate) mod item;

const PATH: &str = "/api/v2/transactions";
/// Largest page size.
const MAX_PAGE_SIZE: u64 = 500;
const SECOND: i64 = 1_000_000;

/// The answer to a call; a refusal is an error.
pub(crate) fn answer(
    table: &Table,
    cache: &mut RowCache,
    settings: &Settings,
    call: &Call,
) -> Result<Answer, Answer> {
    check(settings, call)?;
    let request = Request::read(settings, call)?;
    let size = usize::try_from(request.size).unwrap_or(usize::MAX);
    let skip = usize::try_from(request.page.saturating_sub(1))
        .unwrap_or(usize::MAX)
        .saturating_mul(size);
    let mut positions: Vec<usize> = table
        .between(Axis::Created, request.created.clone())
        .filter(|&position| table.row(position).is_some_and(|row| request.matches(row)))
        .collect();
    positions.sort_by_key(|&position| {
        let row = table.row(position)?;
        Some(match request.sort {
            Sort::Id => (0, row.number),
            Sort::Amount => (row.amount.digits, row.number),
            Sort::Created => (time_key(row.created), row.number),
            Sort::Updated => (time_key(row.updated), row.number),
        })
    });
    if request.descending {
        positions.reverse();
    }
    let positions: Vec<usize> = positions.into_iter().skip(skip).take(size).collect();
    let mut json = Json::new();
    json.open('{');
    json.open_at("items", '[');
    cache.write_rows(&mut json, table, &positions, item::write);
    json.close(']');
    json.open_at("page", '{');
    json.number("number", request.page);
    json.number("size", request.size);
    json.close('}');
    json.close('}');
    Ok(Answer::page(json.finish(), positions))
}

fn time_key(micros: i64) -> u128 {
    u128::try_from(micros).unwrap_or(0)
}

fn check(settings: &Settings, call: &Call) -> Result<(), Answer> {
    if call.path != PATH {
        return Err(refuse(404, "path", "{\"error\":\"Not found\"}"));
    }
    if call.method != Method::GET {
        return Err(refuse(
            405,
            "method",
            "{\"message\":\"Method is not allowed\"}",
        ));
    }
    let unauthenticated = "{\"message\":\"Unauthenticated.\"}";
    if !call
        .bearer()
        .is_some_and(|token| is_credential(token, FIREKASSA_TOKEN))
    {
        return Err(refuse(401, "credentials", unauthenticated));
    }
    if let Some(key) = &settings.firekassa_sign_token {
        let given = call
            .headers
            .get("signature")
            .and_then(|it| it.to_str().ok());
        if given != Some(&signature(key, &signed_text(call))) {
            return Err(refuse(401, "signature", unauthenticated));
        }
    }
    if call.header(header::USER_AGENT).is_none_or(str::is_empty) {
        return Err(refuse(403, "no user agent", "error code: 1010"));
    }
    if !call.body.is_empty() {
        return Err(invalid("body", "body"));
    }
    Ok(())
}

/// The path below the base URL and the query, as sent.
fn signed_text(call: &Call) -> String {
    if call.query.is_empty() {
        call.path.clone()
    } else {
        format!("{}?{}", call.path, call.query)
    }
}

/// Lower-case hexadecimal HMAC-SHA512.
fn signature(key: &str, text: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha512>::new_from_slice(key.as_bytes()) else {
        return String::new();
    };
    mac.update(text.as_bytes());
    let digest = mac.finalize().into_bytes();
    digest.iter().fold(String::new(), |mut text, byte| {
        for nibble in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(nibble.into(), 16));
        }
        text
    })
}

#[derive(Debug, Clone, Copy)]
enum Sort {
    Id,
    Amount,
    Created,
    Updated,
}

/// A valid request; times are microseconds, amounts hundredths.
struct Request {
    page: u64,
    size: u64,
    sort: Sort,
    descending: bool,
    created: Range<i64>,
    amount: (Option<u128>, Option<u128>),
    texts: Vec<(String, String)>,
}

impl Request {
    fn read(settings: &Settings, call: &Call) -> Result<Self, Answer> {
        let cap = settings.page_cap.map_or(MAX_PAGE_SIZE, u64::from);
        let mut request = Self {
            page: 1,
            size: 20_u64.min(cap),
            sort: Sort::Id,
            descending: true,
            created: i64::MIN..i64::MAX,
            amount: (None, None),
            texts: Vec::new(),
        };
        let (start, end) = match settings.firekassa_created_filter.as_str() {
            "created_at" => ("filter[created_at][min]", "filter[created_at][max]"),
            _ => ("filter[create_at][start]", "filter[create_at][end]"),
        };
        for (name, value) in call.parameters() {
            let positive = || {
                let number = value.parse().ok().filter(|number| *number > 0);
                number.ok_or_else(|| invalid("number", &name))
            };
            match name.as_str() {
                "page[number]" => request.page = positive()?,
                "page[size]" => request.size = positive()?.min(cap),
                "sort" => {
                    let field = value.strip_prefix('-');
                    request.descending = field.is_some();
                    request.sort = match field.unwrap_or(&value) {
                        "id" => Sort::Id,
                        "amount" => Sort::Amount,
                        "created_at" => Sort::Created,
                        "updated_at" => Sort::Updated,
                        _ => return Err(invalid("sort", &name)),
                    };
                }
                bound if bound == start => {
                    request.created.start = second(&value, &name)?.saturating_add(SECOND);
                }
                bound if bound == end => request.created.end = second(&value, &name)?,
                "filter[amount][min]" => request.amount.0 = Some(cents(&value, &name)?),
                "filter[amount][max]" => request.amount.1 = Some(cents(&value, &name)?),
                "filter[action]" if !["deposit", "withdrawal"].contains(&value.as_str()) => {
                    return Err(invalid("filter value", &name));
                }
                "filter[type]" if !["site", "invoice", "registry"].contains(&value.as_str()) => {
                    return Err(invalid("filter value", &name));
                }
                "filter[id]" | "filter[order_id]" | "filter[account]" | "filter[action]"
                | "filter[method]" | "filter[type]" => request.texts.push((name, value)),
                _ => {}
            }
        }
        request.created.end = request.created.end.max(request.created.start);
        Ok(request)
    }

    fn matches(&self, row: &Row) -> bool {
        let amount = row.amount.digits;
        if self.amount.0.is_some_and(|least| amount <= least)
            || self.amount.1.is_some_and(|most| amount >= most)
        {
            return false;
        }
        if self.texts.is_empty() {
            return true;
        }
        let details = Details::of(row);
        let extras = Extras::of(row, &details);
        self.texts.iter().all(|(name, wanted)| match name.as_str() {
            "filter[id]" => wanted.split(',').any(|id| id.trim() == item::id(row)),
            "filter[order_id]" => details.reference.as_ref() == Some(wanted),
            "filter[account]" => details.customer_id.as_ref() == Some(wanted),
            "filter[action]" => item::action(row) == wanted,
            "filter[method]" => extras.method == wanted,
            _ => extras.kind == Some(wanted.as_str()),
        })
    }
}

/// `2020-01-01T00:00:00+03:00`; an unencoded plus arrives as a blank and is refused.
fn second(text: &str, name: &str) -> Result<i64, Answer> {
    DateTime::parse_from_rfc3339(text)
        .ok()
        .filter(|_| text.len() == 25 && text.as_bytes().get(10) == Some(&b'T'))
        .map(|time| time.timestamp_micros())
        .ok_or_else(|| invalid("time format", name))
}

fn cents(text: &str, name: &str) -> Result<u128, Answer> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    Some(format!("{whole}{fraction:0<2}"))
        .filter(|_| fraction.len() <= 2)
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| invalid("number", name))
}

fn invalid(why: &'static str, name: &str) -> Answer {
    let mut json = Json::new();
    json.open('{');
    json.text("message", "The given data was invalid");
    json.open_at("errors", '{');
    json.raw(name, "[\"The value is invalid\"]");
    json.close('}');
    json.close('}');
    Answer::refusal(422, why, json.finish())
}

fn refuse(status: u16, why: &'static str, body: &str) -> Answer {
    Answer::refusal(status, why, body.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::http::{Method, header};

    use crate::provider_state::ProviderState;
    use crate::providers::protocol::{Answer, Call};
    use crate::settings::{BetweenPages, Provider, Settings};

    fn call(query: &str) -> Call {
        let mut call = Call::test(Method::GET, &format!("{}?{query}", super::PATH), "");
        call.set(header::AUTHORIZATION, "Bearer simulator-token");
        call
    }

    fn ids(answer: &Answer) -> Vec<String> {
        let value = answer.value();
        let items = value["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["id"].to_string().trim_matches('"').to_owned())
            .collect()
    }

    fn read_all(state: &mut ProviderState, settings: &Settings, query: &str) -> Vec<String> {
        let mut all = Vec::new();
        for number in 1.. {
            let query = format!("{query}&page%5Bnumber%5D={number}&page%5Bsize%5D=90");
            let page = ids(&state.answer(settings, &call(&query)));
            if page.is_empty() {
                break;
            }
            all.extend(page);
        }
        all
    }

    #[test]
    fn new_rows_shift_the_default_order_but_not_the_ascending_one() {
        let settings = Settings {
            between_pages: BetweenPages {
                insert: 2,
                update: 1,
            },
            ..Settings::for_tests()
        };
        let mut state = ProviderState::new(Provider::Firekassa, &settings);
        let closed = "filter%5Bcreate_at%5D%5Bend%5D=2026-03-01T15:00:00%2B03:00";
        let ascending = read_all(&mut state, &settings, &format!("sort=id&{closed}"));
        assert!(ascending.is_sorted());
        let unique: BTreeSet<_> = ascending.iter().collect();
        assert_eq!((ascending.len(), unique.len()), (1_000, 1_000));
        let descending = read_all(&mut state, &settings, "sort=-id");
        let unique: BTreeSet<_> = descending.iter().collect();
        assert!(unique.len() < descending.len());
    }

    #[test]
    fn unknown_filters_are_ignored_and_invalid_values_refused() {
        let settings = Settings::for_tests();
        let mut state = ProviderState::new(Provider::Firekassa, &settings);
        let start = "2026-02-20T00:00:00%2B03:00";
        let right = format!("filter%5Bcreate_at%5D%5Bstart%5D={start}");
        let wrong = format!("filter%5Bcreated_at%5D%5Bmin%5D={start}");
        assert!(read_all(&mut state, &settings, &right).len() < 500);
        assert_eq!(read_all(&mut state, &settings, &wrong).len(), 1_000);
        let other = Settings {
            firekassa_created_filter: "created_at".to_owned(),
            ..Settings::for_tests()
        };
        assert!(read_all(&mut state, &other, &wrong).len() < 500);
        for query in [
            "filter%5Bcreate_at%5D%5Bstart%5D=2026-02-20T00:00:00+03:00",
            "filter%5Bcreate_at%5D%5Bstart%5D=2026-02-20",
            "page%5Bsize%5D=0",
            "filter%5Baction%5D=refund",
            "sort=nothing",
        ] {
            assert_eq!(state.answer(&settings, &call(query)).status, 422, "{query}");
        }
        let mut stranger = call("");
        stranger.set(header::AUTHORIZATION, "Bearer other");
        assert_eq!(state.answer(&settings, &stranger).status, 401);
    }

    #[test]
    fn the_page_size_is_limited_and_reported() {
        let settings = Settings {
            page_cap: Some(30),
            ..Settings::for_tests()
        };
        let mut state = ProviderState::new(Provider::Firekassa, &settings);
        let value = state.answer(&settings, &call("page%5Bsize%5D=100")).value();
        assert_eq!(value["page"]["size"], 30);
        let items = value["items"].as_array().unwrap();
        assert_eq!(items.len(), 30);
        assert!(items.iter().any(|item| item["id"].is_string()));
        assert!(items.iter().any(|item| item["id"].is_u64()));
        assert!(items[0]["amount"].is_string());
        assert!(items[0]["created_at"].as_str().unwrap().ends_with("+03:00"));
        let wanted = ids(&state.answer(&settings, &call("")))[..2].join(",");
        let query = format!("filter%5Bid%5D={wanted}");
        assert_eq!(ids(&state.answer(&settings, &call(&query))).len(), 2);
    }

    #[test]
    fn the_ledger_agrees_with_the_items() {
        let settings = Settings::for_tests();
        let mut state = ProviderState::new(Provider::Firekassa, &settings);
        let value = state.answer(&settings, &call("page%5Bsize%5D=500")).value();
        let ledger = state.ledger(0, usize::MAX);
        let mut late = 0;
        for item in value["items"].as_array().unwrap() {
            let id = item["id"].to_string();
            let line = ledger
                .iter()
                .find(|line| id.trim_matches('"') == line.provider_transaction_id)
                .unwrap();
            for (name, amount) in [
                ("amount", &line.amount),
                ("payment_amount", &line.paid_amount),
                ("commission", &line.fee),
            ] {
                let sent = item[name].as_str().unwrap();
                let sent = sent.trim_end_matches('0').trim_end_matches('.');
                assert_eq!(Some(sent), amount.as_deref());
            }
            assert_eq!(item["status"], line.provider_status.as_str());
            let created: chrono::DateTime<chrono::Utc> =
                item["created_at"].as_str().unwrap().parse().unwrap();
            let told: chrono::DateTime<chrono::Utc> =
                line.created_at.as_deref().unwrap().parse().unwrap();
            assert_eq!(created, told);
            late += usize::from(line.paid_amount != line.amount && line.status == "succeeded");
        }
        assert!(late > 0);
    }

    #[test]
    fn signatures_are_checked_if_a_sign_token_is_set() {
        let text = "/api/v2/transactions?filter%5Baction%5D=deposit&page%5Bnumber%5D=1";
        let expected = "4e11ff5656037f64688c8ad5b25ed104b65dbd23d0f95278fefe560a37e17ec0\
                        d927e22543260597c536bd04edec618dc527f212f58fbf71ad235517df046353";
        assert_eq!(super::signature("sign-token", text), expected);
        let settings = Settings {
            firekassa_sign_token: Some("sign-token".to_owned()),
            ..Settings::for_tests()
        };
        let mut state = ProviderState::new(Provider::Firekassa, &settings);
        let mut call = call("filter%5Baction%5D=deposit&page%5Bnumber%5D=1");
        assert_eq!(state.answer(&settings, &call).refused, Some("signature"));
        call.headers.insert("signature", expected.parse().unwrap());
        assert_eq!(state.answer(&settings, &call).status, 200);
    }
}
