//! How a stream is read, by its provider and its account's settings.

use chrono::{DateTime, TimeDelta, Utc};

use super::lane::Lane;
use paysync_provider::Tier;
use paysync_provider::model::window::floor;

/// How a stream is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Windows start and end on whole units since the epoch.
    pub unit: TimeDelta,
    /// The longest window.
    pub max_window: TimeDelta,
    /// How long rows take to become visible.
    pub lag: TimeDelta,
    /// How far a poll reads back behind what is covered.
    pub overlap: TimeDelta,
    /// How much uncovered time at the head makes a poll due.
    pub poll_interval: TimeDelta,
    /// The offset of the polls in each interval since the epoch, so that accounts take turns; without it an
    /// interval begins where the last poll ended.
    pub phase: Option<TimeDelta>,
    /// How covered windows are read again.
    pub rechecks: Vec<Recheck>,
}

/// One way of reading again what is covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recheck {
    /// `rescan`, `repoll` or `audit`.
    pub lane: Lane,
    /// How far back and how often.
    pub tier: Tier,
}

impl Policy {
    /// The end of what can be wanted at `now`.
    pub fn horizon(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        floor(now - self.lag, self.unit)
    }

    /// The horizon that makes a poll due if `covered` is the end of the coverage; at most an interval later.
    pub(super) fn next_poll(&self, covered: DateTime<Utc>) -> DateTime<Utc> {
        match self.phase {
            None => covered + self.poll_interval,
            Some(phase) => floor(covered - phase, self.poll_interval) + self.poll_interval + phase,
        }
    }
}
