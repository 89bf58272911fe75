//! Counts of requests, with which tests check rates and exclusivity.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::clock::{Clock, lock};
use crate::settings::Provider;

/// The requests to a provider so far.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Counts {
    /// All requests, including refused and faulty ones.
    pub requests: u64,
    /// Pages sent, including those that a fault damaged.
    pub pages: u64,
    /// Rows of those pages.
    pub rows: u64,
    /// Requests with a fault.
    pub faults: u64,
    /// Refused requests by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// By credential: user or token.
    pub credentials: BTreeMap<String, CredentialUse>,
}

/// The requests with one credential.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CredentialUse {
    /// Requests so far.
    pub requests: u64,
    /// Requests in flight.
    pub concurrent: u64,
    /// Largest number of requests in flight.
    pub highest_concurrent: u64,
    /// Largest number of requests in any 60 s.
    pub highest_per_minute: usize,
    #[serde(skip)]
    recent: VecDeque<Instant>,
}

/// A request of a named client, with the path prefix `/~<client>`: tests distinguish processes by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The client's name.
    pub client: String,
    pub provider: Provider,
    /// User or token.
    pub credential: String,
    /// When the request arrived, by the simulator's clock.
    pub began: DateTime<Utc>,
    /// When the answer was ready or the connection closed.
    pub ended: Option<DateTime<Utc>>,
}

/// The counts of all providers, and the calls of named clients.
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

    /// Counts a request, which ends when the returned value is dropped.
    pub(crate) fn begin(
        self: &Arc<Self>,
        provider: Provider,
        credential: String,
        client: Option<String>,
    ) -> InFlight {
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
        let call = client.map(|client| {
            let mut calls = lock(&self.calls);
            calls.push(Call {
                client,
                provider,
                credential: credential.clone(),
                began: self.clock.now(),
                ended: None,
            });
            calls.len().saturating_sub(1)
        });
        InFlight {
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

/// A request in flight.
#[derive(Debug)]
pub(crate) struct InFlight {
    traffic: Arc<Traffic>,
    provider: Provider,
    credential: String,
    /// Its index among the calls.
    call: Option<usize>,
}

impl InFlight {
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

impl Drop for InFlight {
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
