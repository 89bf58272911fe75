//! An account of the configuration: its provider, its client, and the policies of its streams.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use xxhash_rust::xxh3::xxh3_64;

use crate::config;
use crate::engine::page_memory::PageSizeEstimate;
use crate::engine::progress::AccountProgress;
use crate::plan::{Lane, Policy, Recheck};
use crate::store::account::AccountState;
use crate::store::progress::stream::NewStream;
use crate::transport::ProviderClient;
use paysync_provider::item::ItemContext;
use paysync_provider::model::window::floor;
use paysync_provider::redact::{Rules, redact_text};
use paysync_provider::{
    Page, PageError, Position, Provider, Refusal, Response, Role, Spec, StreamSpec, Tier,
    TimeField, wire,
};

/// Rows that a window should hold where paging is stable, in tenths of a page.
const STABLE_TARGET_TENTHS: u64 = 200;

/// The same where paging shifts: less than a page, so that most windows fit one.
const SHIFTING_TARGET_TENTHS: u64 = 6;

/// One account, ready to be read.
pub struct Account {
    /// Its id.
    pub id: String,
    /// Its provider.
    pub provider: Box<dyn Provider>,
    /// What the provider declares.
    pub spec: Spec,
    /// The installation's redaction rules, besides those that always apply.
    pub rules: Rules,
    /// The way to it.
    pub client: ProviderClient,
    /// Its streams.
    pub streams: Vec<Arc<Stream>>,
    /// Items asked for per page.
    pub page_size: u32,
    /// Windows read side by side.
    pub concurrency: usize,
    /// IANA name of its reporting zone.
    pub time_zone: String,
    /// What it has done since the process started.
    pub progress: Arc<AccountProgress>,
    /// How large its next page will be.
    pub(crate) page_size_estimate: PageSizeEstimate,
    start_from: DateTime<Utc>,
}

/// A stream and its policy.
pub struct Stream {
    /// What the provider declares.
    pub spec: StreamSpec,
    /// What the planner needs to know.
    pub policy: Policy,
}

impl Account {
    /// An account of the configuration.
    pub fn new(
        settings: &config::Account,
        provider: Box<dyn Provider>,
        client: reqwest::Client,
    ) -> Self {
        let spec = provider.spec();
        let client = ProviderClient::new(
            client,
            settings.base_url.clone(),
            settings.credentials.clone(),
            settings.timeout.unwrap_or(spec.timeout),
            settings
                .requests_per_minute
                .unwrap_or(spec.requests_per_minute),
        );
        let streams = spec.streams.iter().map(|stream| {
            Arc::new(Stream {
                spec: stream.clone(),
                policy: policy(stream, settings),
            })
        });
        Self {
            id: settings.id.clone(),
            streams: streams.collect(),
            page_size: settings
                .page_size
                .unwrap_or(spec.page_size)
                .clamp(1, spec.max_page_size),
            concurrency: usize::try_from(settings.concurrency).unwrap_or(1).max(1),
            time_zone: settings.time_zone.name().to_owned(),
            progress: Arc::default(),
            page_size_estimate: PageSizeEstimate::default(),
            rules: Rules::new(&settings.redact),
            start_from: settings.start_from,
            client,
            provider,
            spec,
        }
    }

    /// What the database needs to know of a stream before its first read.
    pub fn new_stream<'a>(&self, stream: &'a Stream, state: &AccountState) -> NewStream<'a> {
        let wanted_from = match stream.spec.role {
            Role::History => self.start_from,
            // Changes made just before the first read of the history may not have been visible to it.
            Role::Change => state.first_seen_at - stream.policy.lag - stream.policy.overlap,
        };
        NewStream {
            stream: &stream.spec.name,
            role: stream.spec.role.as_str(),
            wanted_from: floor(wanted_from, stream.policy.unit),
            expected_lag: stream.policy.lag + stream.policy.poll_interval + stream.policy.unit,
            length: stream.policy.max_window.min(TimeDelta::days(1)),
        }
    }

    /// What an error answer means. Its message is stored, logged and shown, and may quote the request: card
    /// numbers are cut and the account's secrets masked.
    pub fn refusal(&self, response: &Response) -> Refusal {
        self.provider.refusal(&self.redacted(response))
    }

    /// Reads a page. If the answer has none, the error says what the provider says in its place.
    pub fn page<'r>(
        &self,
        at: &Position<'_>,
        response: &'r Response,
    ) -> Result<Page<'r>, PageError> {
        self.provider.page(at, response).map_err(|error| {
            let PageError::Missing(field) = error else {
                return error;
            };
            let redacted = self.redacted(response);
            match wire::said(&redacted, |body| self.provider.error_message(body)) {
                Some(message) => PageError::Refused { field, message },
                None => error,
            }
        })
    }

    /// First, as a long message is truncated, maybe in the middle of a secret.
    fn redacted(&self, response: &Response) -> Response {
        Response {
            body: self.redact_message(&response.body),
            ..response.clone()
        }
    }

    /// A text that may quote the provider, with card numbers cut and the account's secrets masked.
    pub(crate) fn redact_message(&self, text: &str) -> String {
        redact_text(&self.client.mask(text))
    }

    /// What reading an item of a page takes; `axis` is the time that the page's window filters.
    pub(crate) fn item_context(&self, axis: Option<TimeField>, lossy: bool) -> ItemContext<'_> {
        ItemContext {
            provider: &*self.provider,
            spec: &self.spec,
            rules: &self.rules,
            axis,
            lossy,
        }
    }

    /// The stream of this name.
    pub fn stream(&self, name: &str) -> Option<&Arc<Stream>> {
        self.streams.iter().find(|stream| stream.spec.name == name)
    }

    /// Rows that a window of the stream should hold.
    pub fn target_rows(&self, stream: &Stream) -> u64 {
        let tenths = match stream.spec.paging {
            paysync_provider::Paging::Shifting => SHIFTING_TARGET_TENTHS,
            _ => STABLE_TARGET_TENTHS,
        };
        (u64::from(self.page_size) * tenths / 10).max(1)
    }
}

/// The account's settings, or else the provider's defaults.
fn policy(stream: &StreamSpec, settings: &config::Account) -> Policy {
    let or = |setting: Option<Duration>, default: TimeDelta| setting.map_or(default, time_delta);
    Policy {
        unit: stream.unit,
        max_window: or(settings.max_window, stream.max_window)
            .min(stream.max_window)
            .max(stream.unit),
        lag: or(settings.lag, stream.lag),
        overlap: or(settings.overlap, stream.overlap),
        poll_interval: time_delta(settings.poll_interval),
        phase: Some(phase(&settings.id, time_delta(settings.poll_interval))),
        rechecks: [
            tiers(Lane::Rescan, settings.rescan.as_ref(), &stream.rescan),
            tiers(Lane::Repoll, settings.repoll.as_ref(), &stream.repoll),
            tiers(Lane::Audit, settings.audit.as_ref(), &stream.audit),
        ]
        .concat(),
    }
}

/// The account's place in the poll interval, the same in every process.
fn phase(account_id: &str, poll_interval: TimeDelta) -> TimeDelta {
    let seconds = u64::try_from(poll_interval.num_seconds()).unwrap_or(0);
    let place = xxh3_64(account_id.as_bytes()) % seconds.max(1);
    TimeDelta::seconds(i64::try_from(place).unwrap_or(0))
}

/// The tiers of a lane, by the account's setting if the API can do it at all.
fn tiers(lane: Lane, setting: Option<&Vec<Tier>>, default: &[Tier]) -> Vec<Recheck> {
    let can = lane == Lane::Rescan || !default.is_empty();
    setting
        .filter(|_| can)
        .map_or(default, Vec::as_slice)
        .iter()
        .map(|tier| Recheck { lane, tier: *tier })
        .collect()
}

fn time_delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
