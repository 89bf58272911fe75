//! Counts of requests, so that a test can check rates and exclusivity.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::clock::{Clock, lock};
use super::settings::Provider;

/// A provider's requests so far.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Counts {
    /// Every request, refused and faulty ones included.
    pub requests: u64,
    /// Pages served; a page that a fault spoilt on its way counts.
    pub pages: u64,
    /// Rows on those pages.
    pub rows: u64,
    /// Requests that met a fault.
    pub faults: u64,
    /// Refused requests by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// By credential: user or token.
    pub credentials: BTreeMap<String, Use>,
}

/// How one credential is used.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Use {
    /// Requests so far.
    pub requests: u64,
    /// Requests being answered now.
    pub concurrent: u64,
    /// Most requests being answered at one moment.
    pub highest_concurrent: u64,
    /// Most requests that came in any 60 s.
    pub highest_per_minute: usize,
    #[serde(skip)]
    recent: VecDeque<Instant>,
}

/// A request that came through a door of its own, the path prefix `/~<door>`: by doors a test tells
/// processes apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The door.
    pub door: String,
    /// The provider.
    pub provider: Provider,
    /// User or token.
    pub credential: String,
    /// When it came, by the simulator's clock.
    pub began: DateTime<Utc>,
    /// When its answer was ready, or its connection gone.
    pub ended: Option<DateTime<Utc>>,
}

/// The counts of all providers, and the calls through doors.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    clock: Arc<Clock>,
    counts: Mutex<BTreeMap<Provider, Counts>>,
    calls: Mutex<Vec<Call>>,
}

impl Traffic {
    pub(crate) fn new(clock: Arc<Clock>) -> Self {
        Self {
            clock,
            ..Self::default()
        }
    }

    /// Counts a request; it ends when the visit is dropped.
    pub(crate) fn enter(
        self: &Arc<Self>,
        provider: Provider,
        credential: String,
        door: Option<String>,
    ) -> Visit {
        self.with(provider, |counts| {
            counts.requests += 1;
            let user = counts.credentials.entry(credential.clone()).or_default();
            user.requests += 1;
            user.concurrent += 1;
            user.highest_concurrent = user.highest_concurrent.max(user.concurrent);
            let now = Instant::now();
            user.recent.push_back(now);
            while user
                .recent
                .front()
                .is_some_and(|first| now.duration_since(*first) >= Duration::from_mins(1))
            {
                user.recent.pop_front();
            }
            user.highest_per_minute = user.highest_per_minute.max(user.recent.len());
        });
        let call = door.map(|door| {
            let mut calls = lock(&self.calls);
            calls.push(Call {
                door,
                provider,
                credential: credential.clone(),
                began: self.clock.now(),
                ended: None,
            });
            calls.len().saturating_sub(1)
        });
        Visit {
            traffic: Arc::clone(self),
            provider,
            credential,
            call,
        }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        lock(&self.calls).clone()
    }

    pub(crate) fn counts(&self, provider: Provider) -> Counts {
        lock(&self.counts)
            .get(&provider)
            .cloned()
            .unwrap_or_default()
    }

    fn with(&self, provider: Provider, change: impl FnOnce(&mut Counts)) {
        change(lock(&self.counts).entry(provider).or_default());
    }
}

/// A request being answered.
#[derive(Debug)]
pub(crate) struct Visit {
    traffic: Arc<Traffic>,
    provider: Provider,
    credential: String,
    /// Its place among the calls.
    call: Option<usize>,
}

impl Visit {
    pub(crate) fn page(&self, rows: usize) {
        self.traffic.with(self.provider, |counts| {
            counts.pages += 1;
            counts.rows += u64::try_from(rows).unwrap_or(0);
        });
    }

    pub(crate) fn refused(&self, why: &'static str) {
        self.traffic.with(self.provider, |counts| {
            *counts.refused.entry(why).or_default() += 1;
        });
    }

    pub(crate) fn fault(&self) {
        self.traffic
            .with(self.provider, |counts| counts.faults += 1);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(call) = self.call
            && let Some(call) = lock(&self.traffic.calls).get_mut(call)
        {
            call.ended = Some(self.traffic.clock.now());
        }
        self.traffic.with(self.provider, |counts| {
            if let Some(user) = counts.credentials.get_mut(&self.credential) {
                user.concurrent = user.concurrent.saturating_sub(1);
            }
        });
    }
}
