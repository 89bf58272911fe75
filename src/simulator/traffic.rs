//! Counts of requests, so that a test can check rates and exclusivity.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::clock::lock;
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

/// The counts of all providers.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    counts: Mutex<BTreeMap<Provider, Counts>>,
}

impl Traffic {
    /// Counts a request; it ends when the visit is dropped.
    pub(crate) fn enter(self: &Arc<Self>, provider: Provider, credential: String) -> Visit {
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
        Visit {
            traffic: Arc::clone(self),
            provider,
            credential,
        }
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
        self.traffic.with(self.provider, |counts| {
            if let Some(user) = counts.credentials.get_mut(&self.credential) {
                user.concurrent = user.concurrent.saturating_sub(1);
            }
        });
    }
}
