//! An account at work: its provider, the way to it, and how its streams want to be read.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use xxhash_rust::xxh3::xxh3_64;

use super::memory::Sizes;
use super::progress::AccountProgress;
use crate::config;
use crate::plan::{Again, Lane, Policy};
use crate::store::account::AccountState;
use crate::store::progress::stream::NewStream;
use crate::transport::Wire;
use paysync_provider::model::window::floor;
use paysync_provider::redact::{Rules, redact_text};
use paysync_provider::{Provider, Refusal, Response, Role, Spec, StreamSpec, Tier};

/// Rows that a window should hold, in parts of ten of a page, where paging is stable.
const STABLE_TARGET_TENTHS: u64 = 200;

/// The same where it shifts: one page, with room for chance.
const SHIFTING_TARGET_TENTHS: u64 = 6;

/// One account, ready to be read.
pub struct Account {
    /// Its id.
    pub id: String,
    /// Its provider.
    pub provider: Box<dyn Provider>,
    /// What the provider declares.
    pub spec: Spec,
    /// What is taken out of its items besides what always is.
    pub rules: Rules,
    /// The way to it.
    pub wire: Wire,
    /// Its streams.
    pub streams: Vec<Arc<Stream>>,
    /// Items asked for per page.
    pub page_size: u32,
    /// Windows read side by side.
    pub concurrency: usize,
    /// IANA name of its reporting zone.
    pub time_zone: String,
    /// What it has done since the start, for progress bars and pages.
    pub progress: Arc<AccountProgress>,
    /// How large its pages are of late.
    pub(crate) sizes: Sizes,
    start_from: DateTime<Utc>,
}

/// A stream and how it wants to be read.
pub struct Stream {
    /// What the provider declares.
    pub spec: StreamSpec,
    /// What the planner must know.
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
        let wire = Wire::new(
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
            sizes: Sizes::default(),
            rules: Rules::new(&settings.redact),
            start_from: settings.start_from,
            wire,
            provider,
            spec,
        }
    }

    /// What a stream starts from.
    pub fn new_stream<'a>(&self, stream: &'a Stream, state: &AccountState) -> NewStream<'a> {
        let wanted_from = match stream.spec.role {
            Role::History => self.start_from,
            // Changes made just before may not have been visible when the history was first read.
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

    /// What an error answer means. A provider may quote what it was sent, and what it says is stored,
    /// logged and shown: card numbers are cut and the account's secrets masked.
    pub fn refusal(&self, response: &Response) -> Refusal {
        let mut response = response.clone();
        // Before a long message is cut short, maybe in the middle of a secret.
        response.body = redact_text(&self.wire.mask(&response.body));
        self.provider.refusal(&response)
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

/// The provider's defaults, where the account says nothing else.
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
        again: [
            tiers(Lane::Rescan, settings.rescan.as_ref(), &stream.rescan),
            tiers(Lane::Repoll, settings.repoll.as_ref(), &stream.repoll),
            tiers(Lane::Audit, settings.audit.as_ref(), &stream.audit),
        ]
        .concat(),
    }
}

/// Each account has its own place in the poll interval, the same in every process.
fn phase(account_id: &str, poll_interval: TimeDelta) -> TimeDelta {
    let seconds = u64::try_from(poll_interval.num_seconds()).unwrap_or(0);
    let place = xxh3_64(account_id.as_bytes()) % seconds.max(1);
    TimeDelta::seconds(i64::try_from(place).unwrap_or(0))
}

/// The tiers of a lane: where the API can do it at all, the account may say when.
fn tiers(lane: Lane, setting: Option<&Vec<Tier>>, default: &[Tier]) -> Vec<Again> {
    let can = lane == Lane::Rescan || !default.is_empty();
    setting
        .filter(|_| can)
        .map_or(default, Vec::as_slice)
        .iter()
        .map(|tier| Again { lane, tier: *tier })
        .collect()
}

fn time_delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
