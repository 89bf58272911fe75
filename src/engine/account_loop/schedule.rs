//! What an account has to read: opens the windows that are due, and says which can be read now.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use crate::clock::MAX_CLOCK_SKEW;
use crate::engine::account::Stream;
use crate::engine::account_loop::in_flight::InFlightWindows;
use crate::engine::account_loop::streaks::{FailureStreaks, Pause};
use crate::engine::read::context::ReadContext;
use crate::engine::read::provider_clock::roll_back_coverage;
use crate::engine::read::window::ReadyWindow;
use crate::number::unsigned;
use crate::plan::{Goal, Lane, due_until, gaps, is_complete, next_wakeup, plan};
use crate::store::StoreError;
use crate::store::progress::stream::StreamState;
use crate::store::progress::window::OpenWindow;

/// How long other windows precede a window that failed, once its time has come.
const LONGEST_YIELD: TimeDelta = TimeDelta::minutes(1);

/// How often a suspended account or stream is tried.
const PROBE_INTERVAL: Duration = Duration::from_mins(15);

/// The longest sleep, so that changes by other processes are noticed.
const MAX_SLEEP: TimeDelta = TimeDelta::minutes(1);

/// The longest sleep while an operator or a clock is waited for, so that either is noticed soon.
const MAX_SLEEP_SUSPENDED: TimeDelta = TimeDelta::seconds(5);

/// How long an account's loop runs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RunMode {
    /// Until it is stopped.
    Daemon,
    /// Until everything wanted at `now` is covered, or no window has been read for `give_up_after`.
    Once {
        now: DateTime<Utc>,
        give_up_after: Duration,
    },
}

impl RunMode {
    /// The instant up to which the account is read.
    fn as_of(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Daemon => now,
            // A provider's clock may turn out to lag after the start.
            Self::Once { now: started, .. } => started.min(now),
        }
    }

    /// Whether nothing has been read for so long that no further window is started.
    pub(crate) fn gives_up(self, last_success: Instant) -> bool {
        match self {
            Self::Daemon => false,
            Self::Once { give_up_after, .. } => last_success.elapsed() >= give_up_after,
        }
    }
}

/// What an account has to read, and when to load the schedule again.
pub(crate) struct Schedule {
    /// Windows to read, most urgent first.
    pub(crate) ready: Vec<ReadyWindow>,
    /// Whether everything wanted is covered.
    pub(crate) complete: bool,
    /// Whether the account waits for an operator.
    pub(crate) suspended: bool,
    /// When it was loaded, by the clock it plans by.
    pub(crate) now: DateTime<Utc>,
    /// When to load it again if nothing happens before, by the same clock.
    pub(crate) next_wakeup: DateTime<Utc>,
    /// How far the database's clock, which stamps what is stored, is ahead of it.
    ahead: TimeDelta,
}

impl Schedule {
    /// Loads the account's progress, and opens windows for the gaps that are due.
    pub(super) async fn load(
        context: &ReadContext,
        mode: RunMode,
        in_flight: &InFlightWindows,
        streaks: &FailureStreaks,
    ) -> Result<Self, StoreError> {
        let (store, account) = (&context.store, &context.account);
        let state = store.account(&account.id).await?;
        let lag = account.progress.clock_lag();
        let now = context.clock.planning_time(state.now) - lag;
        let ahead = state.now - now;
        let mut states = store.streams(&account.id).await?;
        if lag > TimeDelta::zero()
            && roll_back_coverage(store, &account.id, &states, now, lag).await?
        {
            states = store.streams(&account.id).await?;
        }
        let mut schedule = Self {
            ready: Vec::new(),
            complete: true,
            suspended: state.suspended_at.is_some(),
            now,
            ahead,
            // Clocks that differ may be set right at any moment.
            next_wakeup: now
                + if ahead > MAX_CLOCK_SKEW {
                    MAX_SLEEP_SUSPENDED
                } else {
                    MAX_SLEEP
                },
        };
        let mut seconds = (0, 0);
        let probe = |since: Option<DateTime<Utc>>| Some(probe_at(since? - ahead, mode, now));
        let account_probe = probe(state.suspended_at);
        for state in states {
            let Some(stream) = account.stream(&state.stream) else {
                continue;
            };
            let goal = goal(stream, mode, now);
            let probe = probe(state.suspended_at).max(account_probe);
            if let Some(probe_at) = probe.filter(|probe_at| *probe_at > now) {
                schedule.complete = false;
                schedule.wake_up(probe_at.min(now + MAX_SLEEP_SUSPENDED));
            } else {
                schedule
                    .add_stream(context, stream, state.clone(), mode, in_flight, streaks)
                    .await?;
            }
            let until = due_until(&state.progress, &stream.policy, goal);
            add_seconds(&state, until, &mut seconds);
        }
        let mut ready = std::mem::take(&mut schedule.ready);
        ready.sort_by_key(|ready| {
            let planned = ready.window.planned;
            let yields = schedule.yields(&ready.window);
            (planned.lane, yields, Reverse(planned.window))
        });
        schedule.ready = ready;
        if account_probe.is_some() {
            // One request is enough to see whether the account has access again.
            schedule.ready.truncate(usize::from(in_flight.is_empty()));
        }
        account.progress.record_coverage(seconds.0, seconds.1);
        Ok(schedule)
    }

    /// Opens the windows of a stream that are due, and adds those that can be read.
    async fn add_stream(
        &mut self,
        context: &ReadContext,
        stream: &Arc<Stream>,
        mut state: StreamState,
        mode: RunMode,
        in_flight: &InFlightWindows,
        streaks: &FailureStreaks,
    ) -> Result<(), StoreError> {
        let now = self.now;
        let goal = goal(stream, mode, now);
        let waiting = state.open.iter().filter(|window| self.waits(window));
        let pause = streaks.pause(&state.stream, waiting.count());
        let (room, only_live) = self.room(context, &state, in_flight, pause);
        // Windows that become due again while a sync runs are left to the next one: else it might never end.
        let due = mode.as_of(now);
        let mut plan = plan(&state.progress, &stream.policy, goal, due, room);
        plan.open
            .retain(|planned| !only_live || planned.lane == Lane::Live);
        if !plan.open.is_empty() || !plan.begin.is_empty() {
            let wanted_until = due_until(&state.progress, &stream.policy, goal);
            let (store, lease) = (&context.store, &context.held.lease);
            let opened = store.open(lease, &state.stream, wanted_until, &plan);
            let opened = opened.await?;
            let planned = opened.iter().map(|window| window.planned);
            state.progress.open.extend(planned);
            state.open.extend(opened);
        }
        self.complete &= plan.begin.iter().all(|pass| pass.remaining.is_empty())
            && is_complete(&state.progress, &stream.policy, goal);
        if state.open.is_empty() {
            // Nothing new is due sooner than one unit of the stream's time.
            let soonest = now + stream.policy.unit.min(TimeDelta::seconds(1));
            self.wake_up(next_wakeup(&state.progress, &stream.policy));
            self.next_wakeup = self.next_wakeup.max(soonest);
        }
        let ready = |window| ReadyWindow {
            stream: stream.clone(),
            window,
            length: state.progress.length,
        };
        if let Some(pause) = pause {
            self.wake_up(now + TimeDelta::from_std(pause.left).unwrap_or(MAX_SLEEP));
            let is_tried = state.open.iter().any(|it| in_flight.contains(it.id));
            let next = state.open.into_iter().min_by_key(|window| {
                let is_live = window.planned.lane == Lane::Live;
                (pause.is_live_next && !is_live, window.retry_at)
            });
            let next = next.filter(|_| !is_tried && pause.left.is_zero());
            self.ready.extend(next.map(ready));
            return Ok(());
        }
        for window in state.open {
            match window.retry_at.map(|retry_at| retry_at - self.ahead) {
                _ if in_flight.contains(window.id) => {}
                Some(retry_at) if retry_at > now => self.wake_up(retry_at),
                _ => self.ready.push(ready(window)),
            }
        }
        Ok(())
    }

    /// Whether a window waits for its next try.
    fn waits(&self, window: &OpenWindow) -> bool {
        let retry_at = window.retry_at.map(|retry_at| retry_at - self.ahead);
        retry_at.is_some_and(|retry_at| retry_at > self.now)
    }

    /// Whether a window failed, and other windows precede it for now.
    fn yields(&self, window: &OpenWindow) -> bool {
        let retry_at = window.retry_at.map(|retry_at| retry_at - self.ahead);
        retry_at.is_some_and(|retry_at| retry_at + LONGEST_YIELD > self.now)
    }

    /// How many windows of a stream may be opened, and whether only live ones.
    fn room(
        &self,
        context: &ReadContext,
        state: &StreamState,
        in_flight: &InFlightWindows,
        pause: Option<Pause>,
    ) -> (usize, bool) {
        if let Some(pause) = pause {
            // One window is tried at a time: one that is open, unless none is as urgent as a new one.
            let is_urgent =
                pause.is_live_next && !state.open.iter().any(|it| it.planned.lane == Lane::Live);
            let is_tried = state.open.iter().any(|it| in_flight.contains(it.id));
            let may_open =
                !is_tried && pause.left.is_zero() && (is_urgent || state.open.is_empty());
            return (usize::from(may_open), is_urgent);
        }
        // A window that waits for its next try takes no place.
        let takes_place = |window: &&OpenWindow| {
            !in_flight.is_fetched(window.id)
                && (in_flight.contains(window.id) || !self.yields(window))
        };
        let taken: Vec<&OpenWindow> = state.open.iter().filter(takes_place).collect();
        let room = context.account.concurrency.saturating_sub(taken.len());
        // Live windows keep a place of their own.
        let is_live_taken = taken.iter().any(|it| it.planned.lane == Lane::Live);
        match room {
            0 if is_live_taken => (0, true),
            0 => (1, true),
            _ => (room, false),
        }
    }

    /// Loads the schedule again no later than this.
    fn wake_up(&mut self, at: DateTime<Utc>) {
        self.next_wakeup = self.next_wakeup.min(at);
    }
}

fn goal(stream: &Stream, mode: RunMode, now: DateTime<Utc>) -> Goal {
    Goal {
        horizon: stream.policy.horizon(mode.as_of(now)),
        eager: matches!(mode, RunMode::Once { .. }),
    }
}

/// When to try what was suspended at `suspended_at`.
fn probe_at(suspended_at: DateTime<Utc>, mode: RunMode, now: DateTime<Utc>) -> DateTime<Utc> {
    let interval = match mode {
        RunMode::Daemon => PROBE_INTERVAL,
        RunMode::Once { give_up_after, .. } => PROBE_INTERVAL.min(give_up_after / 3),
    };
    let interval = TimeDelta::from_std(interval).unwrap_or(TimeDelta::MAX);
    // A clock that jumped back must not delay the probe for longer than its interval.
    (suspended_at + interval).min(now + interval)
}

/// Adds the seconds that a stream wants, and those it does not cover.
fn add_seconds(state: &StreamState, until: DateTime<Utc>, seconds: &mut (u64, u64)) {
    let progress = &state.progress;
    let gap = gaps(progress, until).length().num_seconds();
    let open = progress.filling().map(|open| open.length().num_seconds());
    seconds.0 += unsigned((until - progress.wanted_from).num_seconds());
    seconds.1 += unsigned(gap + open.sum::<i64>());
}
