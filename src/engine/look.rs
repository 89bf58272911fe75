//! A look at an account's progress: opens what is due and says what can be read now.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::account::Stream;
use super::hand::Hand;
use super::window::Reader;
use super::work::Until;
use crate::clock::WORST_SKEW;
use crate::plan::{Goal, due_until, gaps, is_complete, next_look, plan};
use crate::store::StoreError;
use crate::store::progress::stream::StreamState;
use crate::store::progress::window::OpenWindow;

/// How often what waits for an operator is tried again.
const PROBE_INTERVAL: Duration = Duration::from_mins(15);

/// The longest sleep, so that what another process changed is noticed.
const LONGEST_SLEEP: TimeDelta = TimeDelta::minutes(1);

/// The longest sleep of what waits for an operator or a clock, so that either is noticed soon.
const LONGEST_WAIT: TimeDelta = TimeDelta::seconds(5);

/// A window that can be read now.
pub(crate) struct Ready {
    pub(crate) stream: Arc<Stream>,
    pub(crate) window: OpenWindow,
    /// The stream's window length, to adapt from.
    pub(crate) length: TimeDelta,
}

/// What a look found.
pub(crate) struct Look {
    /// Windows to read, most urgent first.
    pub(crate) ready: Vec<Ready>,
    /// Whether everything wanted is covered.
    pub(crate) complete: bool,
    /// Whether the account waits for an operator.
    pub(crate) suspended: bool,
    /// When it was taken, by the clock it plans by.
    pub(crate) now: DateTime<Utc>,
    /// When to look again if nothing happens before, by the same clock.
    pub(crate) wake: DateTime<Utc>,
    /// How far the database's clock, which stamps what is stored, is ahead of it.
    ahead: TimeDelta,
}

impl Look {
    /// Looks, and opens windows for the gaps that are due.
    pub(crate) async fn take(
        reader: &Reader,
        until: Until,
        hand: &Hand,
    ) -> Result<Self, StoreError> {
        let account = &reader.account;
        let state = reader.store.account(&account.id).await?;
        let behind = account.progress.behind();
        let now = reader.clock.agreed(state.now) - behind;
        let ahead = state.now - now;
        let mut states = reader.store.streams(&account.id).await?;
        if behind > TimeDelta::zero() && reader.take_back(&states, now, behind).await? {
            states = reader.store.streams(&account.id).await?;
        }
        let mut look = Self {
            ready: Vec::new(),
            complete: true,
            suspended: state.suspended_at.is_some(),
            now,
            ahead,
            // Clocks that differ may be set right at any moment.
            wake: now
                + if ahead > WORST_SKEW {
                    LONGEST_WAIT
                } else {
                    LONGEST_SLEEP
                },
        };
        let mut seconds = (0, 0);
        let waits = |since: Option<DateTime<Utc>>| Some(probe_at(since? - ahead, until, now));
        let account_waits = waits(state.suspended_at);
        for state in states {
            let Some(stream) = account.stream(&state.stream) else {
                continue;
            };
            let goal = goal(stream, until, now);
            let probe = waits(state.suspended_at).max(account_waits);
            if let Some(probe_at) = probe.filter(|probe_at| *probe_at > now) {
                look.complete = false;
                look.wake = look.wake.min(probe_at).min(now + LONGEST_WAIT);
            } else {
                look.stream(reader, stream, state.clone(), until, hand)
                    .await?;
            }
            let until = due_until(&state.progress, &stream.policy, goal);
            observe(&state, until, &mut seconds);
        }
        look.ready.sort_by_key(|ready| {
            (
                ready.window.planned.lane,
                std::cmp::Reverse(ready.window.planned.window),
            )
        });
        if account_waits.is_some() {
            // One request is enough to see whether the account is let in again.
            look.ready.truncate(usize::from(hand.is_empty()));
        }
        account.progress.coverage(seconds.0, seconds.1);
        Ok(look)
    }

    /// One stream: opens what is due, and finds what can be read.
    async fn stream(
        &mut self,
        reader: &Reader,
        stream: &Arc<Stream>,
        mut state: StreamState,
        until: Until,
        hand: &Hand,
    ) -> Result<(), StoreError> {
        let now = self.now;
        let goal = goal(stream, until, now);
        let to_fetch = |window: &&OpenWindow| !hand.has_fetched_all(window.id);
        let taken = state.open.iter().filter(to_fetch).count();
        let room = reader.account.concurrency.saturating_sub(taken);
        // What becomes due again while a sync goes on is the next one's: else it might never end.
        let due = until.as_of(now);
        let plan = plan(&state.progress, &stream.policy, goal, due, room);
        if !plan.open.is_empty() || !plan.begin.is_empty() {
            let wanted_until = due_until(&state.progress, &stream.policy, goal);
            let opened = reader
                .store
                .open(&reader.lease, &state.stream, wanted_until, &plan)
                .await?;
            state
                .progress
                .open
                .extend(opened.iter().map(|window| window.planned));
            state.open.extend(opened);
        }
        self.complete &= plan.begin.iter().all(|pass| pass.remaining.is_empty())
            && is_complete(&state.progress, &stream.policy, goal);
        if state.open.is_empty() {
            self.wake = self
                .wake
                .min(next_look(&state.progress, &stream.policy))
                .max(now + stream_pause(stream));
        }
        for window in state.open {
            match window.retry_at.map(|retry_at| retry_at - self.ahead) {
                _ if hand.holds(window.id) => {}
                Some(retry_at) if retry_at > now => self.wake = self.wake.min(retry_at),
                _ => self.ready.push(Ready {
                    stream: stream.clone(),
                    window,
                    length: state.progress.length,
                }),
            }
        }
        Ok(())
    }
}

/// A look finds nothing new sooner than one unit of the stream's time.
fn stream_pause(stream: &Stream) -> TimeDelta {
    stream.policy.unit.min(TimeDelta::seconds(1))
}

fn goal(stream: &Stream, until: Until, now: DateTime<Utc>) -> Goal {
    Goal {
        horizon: stream.policy.horizon(until.as_of(now)),
        eager: matches!(until, Until::Covered { .. }),
    }
}

/// When to probe what waits for an operator since `suspended_at`.
fn probe_at(suspended_at: DateTime<Utc>, until: Until, now: DateTime<Utc>) -> DateTime<Utc> {
    let interval = match until {
        Until::Stopped => PROBE_INTERVAL,
        Until::Covered { give_up_after, .. } => PROBE_INTERVAL.min(give_up_after / 3),
    };
    let interval = TimeDelta::from_std(interval).unwrap_or(TimeDelta::MAX);
    // A clock that jumped back must not delay the probe for longer than its interval.
    (suspended_at + interval).min(now + interval)
}

/// Adds the stream's seconds wanted and left.
fn observe(state: &StreamState, until: DateTime<Utc>, seconds: &mut (u64, u64)) {
    let progress = &state.progress;
    let gap = gaps(progress, until).length().num_seconds();
    let reading: i64 = progress
        .open
        .iter()
        .filter(|open| open.lane.fills())
        .map(|open| open.window.length().num_seconds())
        .sum();
    let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
    seconds.0 += unsigned((until - progress.wanted_from).num_seconds());
    seconds.1 += unsigned(gap + reading);
}
