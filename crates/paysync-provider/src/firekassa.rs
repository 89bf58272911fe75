//! FireKassa: `GET /api/v2/transactions`, deposits and withdrawals of a site; also named `VanilaPay`.
//!
//! Documentation: "Список транзакций", <https://fkassa.gitbook.io/firekassa-api-v2/transactions/list>.
//! - The documentation gives the filter by creation time two names, and the API ignores a wrong name:
//!   the names are options, and the engine checks the times of the rows.
//! - The bounds mean "after" and "before": both are widened by a second.
//! - `sort=id` puts new rows last, so page numbers do not shift inside a closed window.
//! - The server may use a smaller page than requested and reports its size, which identifies the last
//!   page.
//! - No filter goes by change: recent windows are read again, and rows that may still change are
//!   requested by id, several at once.

mod item;
mod options;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::value::RawValue;
use url::form_urlencoded;

use self::options::Options;
use crate::auth::{authorize, hmac_sha512};
use crate::error::{PageError, RecordError, SettingsError};
use crate::model::{PaymentLinks, Status, Transaction, window};
use crate::protocol::{Checkpoint, Credential, Next, Page, Position, Request, Response};
use crate::provider::{Entry, Provider, Settings};
use crate::spec::{Auth, Axis, ById, Paging, Role, Spec, StreamSpec, Tier, TimeField};
use crate::wire::{self, Object, Raw};

/// FireKassa in the table of providers.
pub const ENTRY: Entry = Entry {
    code: "firekassa",
    build: |settings| Ok(Box::new(FireKassa::new(settings)?)),
};

const PATH: &str = "/api/v2/transactions";
const STREAM: &str = "created_at";
const TOKEN: &str = "token";
const SIGN_TOKEN: &str = "sign_token";
const SECOND: TimeDelta = TimeDelta::seconds(1);
/// Ids in one request.
const BATCH: u32 = 50;

/// One account's settings.
#[derive(Debug)]
struct FireKassa {
    /// Zone of times without an offset.
    zone: Tz,
    /// Query parameters of every list request.
    filter: Vec<(String, String)>,
    /// Names of the filters for creation after and before a time.
    created_filter: [String; 2],
}

impl FireKassa {
    fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let options: Options = settings.options()?;
        Ok(Self {
            zone: settings.time_zone,
            filter: options.filter()?,
            created_filter: options.created_filter()?,
        })
    }
}

impl Provider for FireKassa {
    fn spec(&self) -> Spec {
        Spec {
            code: ENTRY.code,
            documentation: "https://fkassa.gitbook.io/firekassa-api-v2/transactions/list",
            streams: vec![StreamSpec {
                name: STREAM.to_owned(),
                role: Role::History,
                paging: Paging::Numbered,
                axis: Some(TimeField {
                    axis: Axis::Created,
                    key: "created_at",
                    zone: self.zone,
                }),
                unit: SECOND,
                slack: SECOND,
                max_window: TimeDelta::days(7),
                lag: TimeDelta::seconds(30),
                overlap: TimeDelta::hours(1),
                rescan: vec![Tier::new(3, 1), Tier::new(30, 7 * 24)],
                // An expired deposit may be paid days later.
                repoll: vec![Tier::new(14, 6), Tier::new(30, 24)],
                audit: Vec::new(),
                short_page_ends: true,
            }],
            auth: Auth::Bearer { token: TOKEN },
            credentials: &[TOKEN],
            optional_credentials: &[SIGN_TOKEN],
            page_size: 100,
            // The API documents no limit; each answer contains the size in use.
            max_page_size: 1000,
            // The API documents no figure, but calls polling every row once a minute too heavy.
            requests_per_minute: 30,
            timeout: Duration::from_mins(1),
            retry_after_floor: Duration::from_secs(1),
            by_id: Some(ById {
                batch: BATCH,
                statuses: &[Status::Pending, Status::Unknown, Status::Canceled],
            }),
            id_key: "id",
            payment_links: PaymentLinks {
                parent: false,
                group: false,
            },
            redaction: item::REDACTION,
        }
    }

    fn request(&self, at: &Position<'_>) -> Result<Request, PageError> {
        if at.stream != STREAM {
            return Err(PageError::Position("no such stream"));
        }
        let [after, before] = &self.created_filter;
        let start = date(window::floor(at.window.start(), SECOND) - SECOND);
        let end = date(window::ceil(at.window.end(), SECOND) + SECOND);
        let (page, size) = page_of(at)?;
        let mut request = Request::get(PATH).header("Accept-Language", "en");
        request.query.extend(self.filter.iter().cloned());
        Ok(request
            .query("page[number]", &page)
            .query("page[size]", &size)
            .query("sort", &"id")
            .query(after.as_str(), &start)
            .query(before.as_str(), &end))
    }

    fn page<'r>(&self, at: &Position<'_>, response: &'r Response) -> Result<Page<'r>, PageError> {
        let envelope: Envelope<'_> = wire::envelope(response)?;
        let items = wire::items(envelope.items, "items")?;
        let info = Object::of(envelope.page);
        let (page, asked) = page_of(at)?;
        if number(&info, "number").is_some_and(|number| number != page) {
            let problem = "the page number differs from the requested one";
            return Err(PageError::Cursor(problem));
        }
        let reported = number(&info, "size").and_then(|size| u32::try_from(size).ok());
        let reported = reported.filter(|size| *size > 0);
        let size = reported.unwrap_or(asked);
        let rows = u32::try_from(items.len()).unwrap_or(u32::MAX);
        let next = if at.checkpoint.is_some() && size != asked {
            // With another size, only page 1 starts at the same row.
            more(1, size)
        } else if rows == 0 || (reported.is_some() && rows < size) {
            Next::End
        } else {
            more(page.saturating_add(1), size)
        };
        Ok(Page {
            items,
            next,
            count: None,
        })
    }

    /// Without the account's filters, which could hide a requested row.
    fn request_by_id(&self, ids: &[String]) -> Result<Request, PageError> {
        Ok(Request::get(PATH)
            .header("Accept-Language", "en")
            .query("filter[id]", &ids.join(","))
            .query("page[number]", &1)
            .query("page[size]", &ids.len())
            .query("sort", &"id"))
    }

    fn items_by_id<'r>(&self, response: &'r Response) -> Result<Vec<&'r RawValue>, PageError> {
        let envelope: Envelope<'_> = wire::envelope(response)?;
        wire::items(envelope.items, "items")
    }

    fn normalize(&self, item: &str) -> Result<Transaction, RecordError> {
        item::normalize(item, self.zone)
    }

    /// A site may have a second secret, besides the bearer token, that signs requests.
    fn authenticate(&self, credential: &Credential, request: Request) -> Request {
        let request = authorize(self.spec().auth, credential, request);
        match credential.expose(SIGN_TOKEN) {
            "" => request,
            secret => {
                let signature = signature(secret, &request);
                request.header("Signature", signature)
            }
        }
    }

    fn error_message(&self, body: &Object<'_>) -> Option<String> {
        message(body)
    }
}

/// The page number, and the page size that it refers to.
fn page_of(at: &Position<'_>) -> Result<(u64, u32), PageError> {
    let default = at.page_size.max(1);
    match at.checkpoint {
        None => Ok((1, default)),
        Some(Checkpoint::Page { page, size }) => Ok((*page, size.unwrap_or(default))),
        Some(_) => Err(PageError::Position("not a page number")),
    }
}

fn more(page: u64, size: u32) -> Next {
    let size = Some(size);
    Next::More(Checkpoint::Page { page, size })
}

fn number(page: &Object<'_>, key: &str) -> Option<u64> {
    page.text(key)?.parse().ok()
}

fn date(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

/// Lower-case hexadecimal HMAC-SHA512 of path, query and body as they are sent. The path is the API's
/// own: a path in `base_url` belongs to a proxy, which removes it.
fn signature(secret: &str, request: &Request) -> String {
    let mut text = request.path.to_owned();
    if !request.query.is_empty() {
        text.push('?');
        let mut query = form_urlencoded::Serializer::new(String::new());
        text.push_str(&query.extend_pairs(&request.query).finish());
    }
    text.push_str(request.body.as_deref().unwrap_or_default());
    let hmac = hmac_sha512(secret, &text);
    let nibbles = hmac.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = nibbles.filter_map(|nibble| char::from_digit(nibble.into(), 16));
    digits.collect()
}

/// `{"error":"…"}`, or `{"message":"…","errors":{"field":["…"]}}`.
fn message(body: &Object<'_>) -> Option<String> {
    let headline = [body.text("error"), body.text("message")];
    let errors = body.object("errors");
    let parts = headline.into_iter().flatten();
    wire::joined(parts.chain(wire::field_errors(&errors)), "; ")
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Envelope<'a> {
    #[serde(borrow)]
    items: Option<wire::Items<'a>>,
    /// The page that the server returned.
    page: Raw<'a>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use secrecy::{ExposeSecret as _, SecretString};
    use serde_json::{Value, json};

    use super::*;
    use crate::model::Window;

    fn provider(options: Value) -> FireKassa {
        FireKassa::new(&Settings {
            time_zone: Tz::UTC,
            options,
        })
        .unwrap()
    }

    fn at(checkpoint: Option<&Checkpoint>) -> Position<'_> {
        let instant = |millis| DateTime::from_timestamp_millis(millis).unwrap();
        Position {
            stream: STREAM,
            window: Window::new(instant(1_704_067_200_500), instant(1_704_067_260_000)).unwrap(),
            checkpoint,
            page_size: 100,
        }
    }

    fn page(checkpoint: Option<&Checkpoint>, rows: usize, info: &Value) -> Result<Next, PageError> {
        let body = json!({"items": vec![json!({}); rows], "page": info});
        provider(json!({}))
            .page(&at(checkpoint), &Response::json(&body))
            .map(|page| page.next)
    }

    fn checkpoint(page: u64, size: u32) -> Checkpoint {
        Checkpoint::Page {
            page,
            size: Some(size),
        }
    }

    #[test]
    fn both_bounds_are_widened_and_filters_pass_through() {
        let provider = provider(json!({
            "filter": {"action": "deposit", "amount": {"min": 10}},
            "created_filter": ["filter[created_at][min]", "filter[created_at][max]"],
        }));
        let query: Vec<String> = provider
            .request(&at(Some(&checkpoint(3, 20))))
            .unwrap()
            .query
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            query,
            [
                "filter[action]=deposit",
                "filter[amount][min]=10",
                "page[number]=3",
                "page[size]=20",
                "sort=id",
                "filter[created_at][min]=2023-12-31T23:59:59+00:00",
                "filter[created_at][max]=2024-01-01T00:01:01+00:00",
            ]
        );
        let offset = Checkpoint::Offset {
            offset: 1,
            last_id: None,
        };
        assert!(provider.request(&at(Some(&offset))).is_err());
    }

    #[test]
    fn the_reported_size_identifies_the_last_page() {
        let info = |number: u64, size: u32| json!({"number": number, "size": size});
        let next = |page, size| Ok(Next::More(checkpoint(page, size)));
        // The server's own limit is 20.
        assert_eq!(page(None, 20, &info(1, 20)), next(2, 20));
        let second = checkpoint(2, 20);
        assert_eq!(page(Some(&second), 19, &info(2, 20)), Ok(Next::End));
        assert_eq!(page(Some(&second), 0, &info(2, 20)), Ok(Next::End));
        assert_eq!(
            page(Some(&second), 20, &json!({"number": "2", "size": "20"})),
            next(3, 20)
        );
        // Without a size, only an empty page is the last one.
        assert_eq!(page(None, 7, &Value::Null), next(2, 100));
        assert_eq!(page(None, 7, &info(1, 0)), next(2, 100));
        assert_eq!(page(None, 0, &Value::Null), Ok(Next::End));
    }

    #[test]
    fn another_size_restarts_at_page_1_and_another_number_is_an_error() {
        let second = checkpoint(2, 100);
        assert_eq!(
            page(Some(&second), 20, &json!({"number": 2, "size": 20})),
            Ok(Next::More(checkpoint(1, 20)))
        );
        assert!(matches!(
            page(Some(&second), 20, &json!({"number": 1, "size": 100})),
            Err(PageError::Cursor(_))
        ));
    }

    #[test]
    fn checkpoints_are_stored_with_their_size() {
        let stored = serde_json::to_string(&checkpoint(3, 20)).unwrap();
        assert_eq!(stored, r#"{"page":3,"size":20}"#);
        let loaded: Checkpoint = serde_json::from_str(&stored).unwrap();
        assert_eq!(loaded, checkpoint(3, 20));
        let plain: Checkpoint = serde_json::from_str(r#"{"page":3}"#).unwrap();
        assert_eq!(page_of(&at(Some(&plain))).unwrap(), (3, 100));
    }

    #[test]
    fn a_sign_token_signs_the_query_as_it_is_sent() {
        let mut request = Request::get("/api/v2/transactions")
            .query("filter[action]", &"deposit")
            .query("page[number]", &1);
        assert_eq!(
            signature("sign-token", &request),
            "4e11ff5656037f64688c8ad5b25ed104b65dbd23d0f95278fefe560a37e17ec0\
             d927e22543260597c536bd04edec618dc527f212f58fbf71ad235517df046353"
        );
        request.query.clear();
        let bare = signature("sign-token", &request);
        request.body = Some("{}".to_owned());
        assert_ne!(signature("sign-token", &request), bare);
    }

    #[test]
    fn the_signature_is_sent_only_with_a_sign_token() {
        let authenticated = |parts: &[(&str, &str)]| {
            let parts: BTreeMap<String, SecretString> = parts
                .iter()
                .map(|(name, value)| ((*name).to_owned(), SecretString::from(*value)))
                .collect();
            let provider = provider(json!({}));
            let request = provider.request(&at(None)).unwrap();
            provider.authenticate(&Credential::new(parts), request)
        };
        let plain = authenticated(&[("token", "t")]);
        assert_eq!(plain.authorization.unwrap().expose_secret(), "Bearer t");
        assert_eq!(plain.headers, [("Accept-Language", "en".to_owned())]);
        let signed = authenticated(&[("token", "t"), ("sign_token", "s")]);
        assert_eq!(signed.authorization.unwrap().expose_secret(), "Bearer t");
        let (name, value) = signed.headers.last().unwrap();
        assert_eq!((*name, value.len()), ("Signature", 128));
    }

    /// The transport writes the same text into the URL that the signature covers.
    #[test]
    fn plus_signs_and_brackets_are_encoded() {
        let request = provider(json!({})).request(&at(None)).unwrap();
        let mut url = url::Url::parse("https://host.example/api/v2/transactions").unwrap();
        url.query_pairs_mut().extend_pairs(&request.query);
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&request.query)
            .finish();
        assert_eq!(url.query(), Some(query.as_str()));
        assert!(
            query.contains("filter%5Bcreate_at%5D%5Bstart%5D=2023-12-31T23%3A59%3A59%2B00%3A00&")
        );
    }
}
