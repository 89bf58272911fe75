//! ConvergeGate's `GET /api/v1/payments`, as strict as <https://developer.convergegate.com/v1/>.
//!
//! Rows are sorted by the second of their creation, newest first. Rows of the same second are in another
//! order in every request, because the documentation does not define one.

use std::cmp::Reverse;
use std::ops::Range;

use axum::http::{Method, header};
use chrono::{NaiveDateTime, TimeDelta};

use crate::credentials::CONVERGEGATE_TOKEN;
use crate::merchants::details::Details;
use crate::merchants::row::{Axis, Row};
use crate::merchants::table::Table;
use crate::providers::json::Json;
use crate::providers::paging;
use crate::providers::protocol::{Answer, Call, HTML, is_credential};
use crate::providers::row_cache::RowCache;
use crate::settings::Settings;

pub(crate) mod item;

const PATH: &str = "/api/v1/payments";
const PARAMETERS: &[&str] = &[
    "offset",
    "limit",
    "created.gte",
    "created.lt",
    "updated.gte",
    "updated.lt",
    "referenceId.eq",
];

/// The answer to a call; a refusal is an error.
pub(crate) fn answer(
    table: &Table,
    cache: &mut RowCache,
    settings: &Settings,
    call: &Call,
) -> Result<Answer, Answer> {
    check(call)?;
    let query = Query::read(call)?;
    let limit = settings.page_limit(query.limit);
    let mut positions = query.page(table, call.number, limit.saturating_add(1));
    let has_more = positions.len() > limit;
    positions.truncate(limit);
    let mut json = Json::new();
    json.open('{');
    let stamp = call.now.format("%Y-%m-%dT%H:%M:%S%.3f+00:00").to_string();
    json.text("timestamp", &stamp);
    json.number("status", 200);
    json.flag("hasMore", has_more);
    json.open_at("result", '[');
    cache.write_rows(&mut json, table, &positions, |json, row| {
        item::write(json, table, row);
    });
    json.close(']');
    json.close('}');
    Ok(Answer::page(json.finish(), positions))
}

fn check(call: &Call) -> Result<(), Answer> {
    if call.header(header::USER_AGENT).is_none_or(str::is_empty) {
        return Err(Answer {
            content_type: HTML,
            ..Answer::refusal(
                403,
                "no user agent",
                "<!DOCTYPE html>\n<html><head><title>Access denied</title></head>\
                 <body>error code: 1010</body></html>\n"
                    .to_owned(),
            )
        });
    }
    if call.path != PATH {
        return Err(refuse(call, 404, "path", "No endpoint for this path", None));
    }
    if call.method != Method::GET {
        return Err(refuse(
            call,
            405,
            "method",
            "Request method not supported",
            None,
        ));
    }
    if !call
        .bearer()
        .is_some_and(|token| is_credential(token, CONVERGEGATE_TOKEN))
    {
        return Err(refuse(call, 401, "credentials", "Unauthorized", None));
    }
    if !call.admits_json() {
        return Err(refuse(
            call,
            406,
            "accept",
            "No acceptable representation",
            None,
        ));
    }
    if !call.body.is_empty() {
        return Err(refuse(call, 400, "body", "A body is not expected", None));
    }
    Ok(())
}

/// The parameters of a listing; times are microseconds, ranges half open.
struct Query {
    offset: usize,
    limit: usize,
    created: Range<i64>,
    updated: Option<Range<i64>>,
    reference: Option<String>,
}

impl Query {
    fn read(call: &Call) -> Result<Self, Answer> {
        let parameters = call.parameters();
        for (at, (name, _)) in parameters.iter().enumerate() {
            if !PARAMETERS.contains(&name.as_str()) {
                return Err(invalid(call, "unknown parameter", name));
            }
            if parameters.iter().take(at).any(|(other, _)| other == name) {
                return Err(invalid(call, "repeated parameter", name));
            }
        }
        let value = |name: &str| {
            let found = parameters.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.as_str())
        };
        let number = |name: &'static str, default: usize, allowed: Range<usize>| match value(name) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .ok()
                .filter(|number| allowed.contains(number))
                .ok_or_else(|| invalid(call, "number out of range", name)),
        };
        let time = |name: &'static str| match value(name) {
            None => Ok(None),
            Some(text) => second(text)
                .map(Some)
                .ok_or_else(|| invalid(call, "time format", name)),
        };
        // Engine specification 1.0.341: without a start, only the last 24 hours are listed.
        let day_ago = (call.now - TimeDelta::hours(24)).timestamp_micros();
        let created =
            time("created.gte")?.unwrap_or(day_ago)..time("created.lt")?.unwrap_or(i64::MAX);
        let updated = match (time("updated.gte")?, time("updated.lt")?) {
            (None, None) => None,
            (start, end) => Some(start.unwrap_or(i64::MIN)..end.unwrap_or(i64::MAX)),
        };
        Ok(Self {
            offset: number("offset", 0, 0..1_000_001)?,
            limit: number("limit", 50, 1..1_001)?,
            created,
            updated,
            reference: value("referenceId.eq").map(str::to_owned),
        })
    }

    /// Up to `count` positions from the offset; the request's `number` orders rows of the same second.
    fn page(&self, table: &Table, number: u64, count: usize) -> Vec<usize> {
        let positions = self.newest_first(table);
        paging::newest(
            table,
            Axis::Created,
            positions,
            number,
            (self.offset, count),
        )
    }

    /// Positions of the rows that match the filters, by creation descending.
    fn newest_first<'a>(&'a self, table: &'a Table) -> Box<dyn Iterator<Item = usize> + 'a> {
        let named = |row: &Row| {
            self.reference
                .as_ref()
                .is_none_or(|wanted| Details::of(row).reference.as_ref() == Some(wanted))
        };
        let row_at = |position: &usize| table.row(*position);
        match &self.updated {
            None => Box::new(
                table
                    .between(Axis::Created, self.created.clone())
                    .rev()
                    .filter(move |position| row_at(position).is_some_and(named)),
            ),
            Some(updated) => {
                let mut positions: Vec<usize> = table
                    .between(Axis::Updated, updated.clone())
                    .filter(|position| {
                        row_at(position)
                            .is_some_and(|row| self.created.contains(&row.created) && named(row))
                    })
                    .collect();
                positions.sort_unstable_by_key(|position| {
                    Reverse(row_at(position).map(|row| row.created))
                });
                Box::new(positions.into_iter())
            }
        }
    }
}

/// Exactly `YYYY-MM-DDTHH:MM:SS`, in UTC.
fn second(text: &str) -> Option<i64> {
    let parsed = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").ok()?;
    (text.len() == 19).then(|| parsed.and_utc().timestamp_micros())
}

fn invalid(call: &Call, why: &'static str, field: &str) -> Answer {
    refuse(call, 400, why, "Validation failed", Some(field))
}

fn refuse(
    call: &Call,
    status: u16,
    why: &'static str,
    message: &str,
    field: Option<&str>,
) -> Answer {
    let error = match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        _ => "Not Acceptable",
    };
    let mut json = Json::new();
    json.open('{');
    json.text(
        "timestamp",
        &call.now.format("%Y-%m-%dT%H:%M:%S%.3f+00:00").to_string(),
    );
    json.number("status", status);
    json.text("error", error);
    json.text("message", message);
    json.text("path", &call.path);
    if let Some(field) = field {
        json.open_at("errors", '[');
        json.open('{');
        json.raw("codes", "[]");
        json.raw("arguments", "[]");
        json.text("defaultMessage", why);
        json.text("objectName", "paymentsRequest");
        json.text("field", field);
        json.flag("bindingFailure", false);
        json.close('}');
        json.close(']');
    }
    json.close('}');
    Answer::refusal(status, why, json.finish())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::http::{Method, header};

    use crate::provider_state::ProviderState;
    use crate::providers::protocol::{Answer, Call};
    use crate::settings::{BetweenPages, Provider, Settings};

    const ALL: &str = "created.gte=2020-01-01T00:00:00";

    fn get(state: &mut ProviderState, settings: &Settings, query: &str) -> Answer {
        let mut call = call(query);
        call.number = state.next_request();
        state.answer(settings, &call)
    }

    fn call(query: &str) -> Call {
        let mut call = Call::test(Method::GET, &format!("/api/v1/payments?{query}"), "");
        call.set(header::AUTHORIZATION, "Bearer simulator-token");
        call
    }

    fn ids(answer: &Answer) -> Vec<String> {
        let value = answer.value();
        let rows = value["result"].as_array().unwrap();
        rows.iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Pages by offset until `hasMore` is false.
    fn read_all(
        state: &mut ProviderState,
        settings: &Settings,
        query: &str,
        limit: usize,
    ) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let query = format!("{query}&limit={limit}&offset={}", all.len());
            let answer = get(state, settings, &query);
            all.extend(ids(&answer));
            if answer.value()["hasMore"] == false {
                return all;
            }
        }
    }

    fn unique(ids: &[String]) -> usize {
        ids.iter().collect::<BTreeSet<_>>().len()
    }

    #[test]
    fn every_row_is_listed_once_newest_first() {
        let settings = Settings::for_tests();
        let mut state = ProviderState::new(Provider::Convergegate, &settings);
        let all = read_all(&mut state, &settings, ALL, 1_000);
        assert_eq!((all.len(), unique(&all)), (1_000, 1_000));
        let value = get(&mut state, &settings, &format!("{ALL}&limit=1000")).value();
        let times: Vec<_> = value["result"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["created"].as_str().unwrap().to_owned())
            .collect();
        assert!(times.is_sorted_by(|one, next| one >= next));
        assert!(times.iter().all(|time| time.len() == 19));
        assert!(value["result"][0].get("updated").is_none());
    }

    #[test]
    fn rows_of_the_same_second_are_in_another_order_in_every_request() {
        let settings = Settings {
            rows: 300,
            burst: 300,
            ..Settings::for_tests()
        };
        let mut state = ProviderState::new(Provider::Convergegate, &settings);
        let query = format!("{ALL}&limit=1000");
        let first = ids(&get(&mut state, &settings, &query));
        let second = ids(&get(&mut state, &settings, &query));
        assert_ne!(first, second);
        assert_eq!(
            first.iter().collect::<BTreeSet<_>>(),
            second.iter().collect::<BTreeSet<_>>()
        );
        // So offset paging lists some rows twice and others never.
        assert!(unique(&read_all(&mut state, &settings, ALL, 50)) < 300);
    }

    #[test]
    fn a_row_that_leaves_a_closed_window_makes_the_next_page_skip_one() {
        let settings = Settings {
            between_pages: BetweenPages {
                insert: 0,
                update: 3,
            },
            ..Settings::for_tests()
        };
        let mut state = ProviderState::new(Provider::Convergegate, &settings);
        let before: BTreeSet<_> = state
            .ledger(0, usize::MAX)
            .into_iter()
            .map(|row| row.provider_transaction_id)
            .collect();
        let query = format!("{ALL}&updated.gte=2026-01-01T00:00:00&updated.lt=2026-03-01T11:59:59");
        let seen: BTreeSet<_> = read_all(&mut state, &settings, &query, 100)
            .into_iter()
            .collect();
        assert!(seen.len() < before.len() - 10, "{}", seen.len());
    }

    #[test]
    fn bounds_are_half_open_and_the_start_defaults_to_a_day_ago() {
        let settings = Settings::for_tests();
        let mut state = ProviderState::new(Provider::Convergegate, &settings);
        let split = "2026-02-14T08:30:00";
        let older = read_all(
            &mut state,
            &settings,
            &format!("{ALL}&created.lt={split}"),
            1_000,
        );
        let newer = read_all(
            &mut state,
            &settings,
            &format!("created.gte={split}"),
            1_000,
        );
        assert_eq!(older.len() + newer.len(), 1_000);
        let day = read_all(
            &mut state,
            &settings,
            "created.lt=2030-01-01T00:00:00",
            1_000,
        );
        let explicit = read_all(
            &mut state,
            &settings,
            "created.gte=2026-02-28T12:00:00",
            1_000,
        );
        assert_eq!(
            day.iter().collect::<BTreeSet<_>>(),
            explicit.iter().collect::<BTreeSet<_>>()
        );
        assert!(!day.is_empty() && day.len() < 200);
        // The default hides updates of older payments.
        let updated = "updated.gte=2020-01-01T00:00:00";
        assert!(read_all(&mut state, &settings, updated, 1_000).len() < 200);
    }

    #[test]
    fn invalid_requests_are_refused() {
        let settings = Settings::for_tests();
        let mut state = ProviderState::new(Provider::Convergegate, &settings);
        for (query, why) in [
            ("limit=0", "number out of range"),
            ("limit=1001", "number out of range"),
            ("offset=1000001", "number out of range"),
            ("offset=-1", "number out of range"),
            ("created.gte=2026-01-01", "time format"),
            ("created.gte=2026-01-01T00:00:00Z", "time format"),
            ("created.gte=2026-01-01T00:00:00.000", "time format"),
            ("created.gte=2026-01-01T00%3A00", "time format"),
            ("created.gt=2026-01-01T00:00:00", "unknown parameter"),
            ("state=PENDING", "unknown parameter"),
            ("limit=1&limit=2", "repeated parameter"),
        ] {
            let answer = get(&mut state, &settings, query);
            assert_eq!((answer.status, answer.refused), (400, Some(why)), "{query}");
            assert!(answer.value()["errors"][0]["field"].is_string());
        }
        let mut agentless = call(ALL);
        agentless.headers.remove(header::USER_AGENT);
        let answer = state.answer(&settings, &agentless);
        assert_eq!(answer.status, 403);
        assert!(answer.body.contains("error code: 1010"));
        let mut stranger = call(ALL);
        stranger.set(header::AUTHORIZATION, "Bearer wrong");
        let answer = state.answer(&settings, &stranger);
        assert_eq!(answer.status, 401);
        assert_eq!(answer.value()["path"], "/api/v1/payments");
        let mut post = call(ALL);
        post.method = Method::POST;
        assert_eq!(state.answer(&settings, &post).status, 405);
    }

    #[test]
    fn the_ledger_agrees_with_the_items() {
        let settings = Settings::for_tests();
        let mut state = ProviderState::new(Provider::Convergegate, &settings);
        state.touch(50, settings.until.timestamp_micros());
        let answer = get(&mut state, &settings, &format!("{ALL}&limit=1000"));
        let items = answer.value();
        let ledger = state.ledger(0, usize::MAX);
        let (mut parents, mut errors) = (0, 0);
        for item in items["result"].as_array().unwrap() {
            let line = ledger
                .iter()
                .find(|line| item["id"] == line.provider_transaction_id.as_str())
                .unwrap();
            assert_eq!(item["state"], line.provider_status.as_str());
            assert_eq!(item["paymentType"], line.provider_kind.as_str());
            let parent = item["parentPaymentId"].as_str();
            parents += usize::from(parent.is_some());
            assert_eq!(
                parent.filter(|parent| item["id"] != *parent),
                line.parent_transaction_id.as_deref()
            );
            let account = item["paymentMethodDetails"]["customerAccountNumber"].as_str();
            if let Some(bin) = &line.card_bin {
                assert!(account.unwrap().starts_with(&format!("{bin}*")));
                assert!(account.unwrap().len() >= 12);
            }
            if line.error_code.is_some() {
                errors += 1;
                assert_eq!(item["errorCode"].as_str(), line.error_code.as_deref());
            }
        }
        assert!(parents > 20 && errors > 20);
    }
}
