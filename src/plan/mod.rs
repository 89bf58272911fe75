//! Decides which windows to read next: pure functions of (progress, policy, now).
//!
//! There is no watermark. A first run, an ordinary poll, a resume, a backfill and an earlier
//! `start_from` are one path: close the gaps of the coverage.

mod lane;
mod length;
mod policy;
#[cfg(test)]
mod tests;

use chrono::{DateTime, TimeDelta, Utc};

pub use lane::Lane;
pub use length::next_length;
pub use policy::{Policy, Recheck};

use paysync_provider::model::window::{ceil, floor};
use paysync_provider::model::{IntervalSet, Window};

/// Windows younger than this are read in the live lane.
const LIVE_AGE: TimeDelta = TimeDelta::days(1);

/// The smallest window when the rest of a history is divided among windows that are read side by side: the larger
/// of this and a quarter of a window.
const MIN_SHARE: TimeDelta = TimeDelta::hours(1);

/// The length of an audit's windows.
const AUDIT_LENGTH: TimeDelta = TimeDelta::days(1);

/// What of a stream has been read, and its open windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// First instant that must be covered.
    pub wanted_from: DateTime<Utc>,
    /// What closed windows have covered.
    pub coverage: IntervalSet,
    /// Open windows: begun, and not read to their end.
    pub open: Vec<Planned>,
    /// How long the next window should be.
    pub length: TimeDelta,
    /// Passes over the tiers of age.
    pub passes: Vec<Pass>,
}

/// A window to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// The window.
    pub window: Window,
    /// Why it is read.
    pub lane: Lane,
    /// The tier of a lane that rechecks: its `within`.
    pub tier: Option<TimeDelta>,
}

/// The latest pass over a tier of age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// How it rechecks.
    pub lane: Lane,
    /// The tier: its `within`.
    pub within: TimeDelta,
    /// When the pass began.
    pub started_at: DateTime<Utc>,
    /// What it has not read yet.
    pub remaining: IntervalSet,
}

/// How far to read, and whether small gaps are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Goal {
    /// The end of what is wanted, on a whole unit.
    pub horizon: DateTime<Utc>,
    /// Whether less than a poll interval at the head is due as well.
    pub eager: bool,
}

impl Progress {
    /// The open windows that fill gaps.
    pub fn filling(&self) -> impl Iterator<Item = Window> {
        let open = self.open.iter().filter(|open| open.lane.fills());
        open.map(|open| open.window)
    }
}

impl Pass {
    fn is_of(&self, recheck: &Recheck) -> bool {
        (self.lane, self.within) == (recheck.lane, recheck.tier.within)
    }
}

/// What to do next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Windows to open, most urgent first.
    pub open: Vec<Planned>,
    /// Passes that begin now, with what they have to read.
    pub begin: Vec<Pass>,
}

/// Instants that are wanted, and neither covered nor in an open window.
pub fn gaps(progress: &Progress, horizon: DateTime<Utc>) -> IntervalSet {
    let wanted = Window::new(progress.wanted_from, horizon);
    let wanted: IntervalSet = wanted.into_iter().collect();
    let uncovered = wanted.without(&progress.coverage);
    uncovered.without(&progress.filling().collect())
}

/// At most `room` windows to open now, and the passes to begin.
pub fn plan(
    progress: &Progress,
    policy: &Policy,
    goal: Goal,
    now: DateTime<Utc>,
    room: usize,
) -> Plan {
    let mut plan = Plan::default();
    let gaps = due_gaps(progress, policy, goal);
    let live_from = goal.horizon - LIVE_AGE;
    let length = share(&gaps, progress, room);
    plan.open
        .extend(cut(&gaps, progress, policy, live_from, length).take(room));

    for recheck in &policy.rechecks {
        let Recheck { lane, tier } = *recheck;
        let begin = |remaining| Pass {
            lane,
            within: tier.within,
            started_at: now,
            remaining,
        };
        let open = progress.open.iter();
        let open = open.filter(|open| (open.lane, open.tier) == (lane, Some(tier.within)));
        let open: IntervalSet = open.map(|open| open.window).collect();
        let is_opened = |remaining: &IntervalSet| remaining.without(&open).is_empty();
        let remaining = match progress.passes.iter().find(|pass| pass.is_of(recheck)) {
            // Windows of the last pass that wait are carried over.
            Some(pass) if pass.started_at + tier.every <= now && is_opened(&pass.remaining) => {
                let young = Window::new(goal.horizon - tier.within, goal.horizon);
                let covered = young.map(|young| progress.coverage.within(young));
                let mut todo = covered.unwrap_or_default();
                pass.remaining
                    .windows()
                    .iter()
                    .for_each(|left| todo.add(*left));
                let pass = begin(todo);
                plan.begin.push(pass.clone());
                pass.remaining
            }
            Some(pass) => pass.remaining.clone(),
            // The first reading of the history is the first pass.
            None => {
                plan.begin.push(begin(IntervalSet::default()));
                continue;
            }
        };
        let todo = remaining.without(&open);
        let room = room.saturating_sub(plan.open.len());
        // Rows requested by id are few: their windows only bound the search for them.
        let (length, longest) = match lane {
            Lane::Repoll => (tier.within, tier.within),
            Lane::Audit => (AUDIT_LENGTH, AUDIT_LENGTH),
            _ => (progress.length, policy.max_window),
        };
        let windows = pieces(&todo, length, policy.unit, longest).take(room);
        plan.open.extend(windows.map(|window| Planned {
            window,
            lane,
            tier: Some(tier.within),
        }));
    }
    plan.open.sort_by_key(|planned| planned.lane);
    plan
}

/// When a stream that has nothing to open or read should be planned again.
pub fn next_wakeup(progress: &Progress, policy: &Policy) -> DateTime<Utc> {
    let covered = progress
        .coverage
        .end()
        .unwrap_or(progress.wanted_from)
        .max(progress.wanted_from);
    // The horizon moves by whole units.
    let poll = ceil(policy.next_poll(covered), policy.unit) + policy.lag;
    let passes = policy.rechecks.iter().filter_map(|recheck| {
        let pass = progress.passes.iter().find(|pass| pass.is_of(recheck))?;
        Some(pass.started_at + recheck.tier.every)
    });
    passes.fold(poll, DateTime::min)
}

/// Whether nothing is left to read up to the goal.
pub fn is_complete(progress: &Progress, policy: &Policy, goal: Goal) -> bool {
    // A tier that is no longer configured has nothing to do.
    let is_wanted = |pass: &&Pass| policy.rechecks.iter().any(|recheck| pass.is_of(recheck));
    let mut passes = progress.passes.iter().filter(is_wanted);
    progress.open.is_empty()
        && gaps(progress, goal.horizon).is_empty()
        && passes.all(|pass| pass.remaining.is_empty())
}

/// The end of what is due: the horizon, or the start of a head that is too short for a poll.
pub fn due_until(progress: &Progress, policy: &Policy, goal: Goal) -> DateTime<Utc> {
    let gaps = gaps(progress, goal.horizon);
    early_head(&gaps, progress, policy, goal).map_or(goal.horizon, |head| head.start())
}

/// The gaps that are due.
fn due_gaps(progress: &Progress, policy: &Policy, goal: Goal) -> IntervalSet {
    let mut gaps = gaps(progress, goal.horizon);
    if let Some(head) = early_head(&gaps, progress, policy, goal) {
        gaps.remove(head);
    }
    gaps
}

/// The newest gap, if it continues what is read and is shorter than a poll interval.
fn early_head(
    gaps: &IntervalSet,
    progress: &Progress,
    policy: &Policy,
    goal: Goal,
) -> Option<Window> {
    let head = gaps.windows().last().copied()?;
    let continues = progress.coverage.end() == Some(head.start())
        || progress.filling().any(|open| open.end() == head.start());
    let is_early = !goal.eager
        && head.end() == goal.horizon
        && continues
        && head.end() < policy.next_poll(head.start());
    is_early.then_some(head)
}

/// The gaps as windows, newest first. A window that follows what is read already starts earlier by the
/// overlap, for rows that the provider showed late; it stays out of the gap before, whose window does the same.
fn cut<'a>(
    gaps: &'a IntervalSet,
    progress: &'a Progress,
    policy: &'a Policy,
    live_from: DateTime<Utc>,
    length: TimeDelta,
) -> impl Iterator<Item = Planned> + 'a {
    let read = read(progress);
    pieces(gaps, length, policy.unit, policy.max_window)
        .flat_map(move |window| {
            let before = |read: &&Window| read.end() == window.start();
            let Some(before) = read.windows().iter().find(before) else {
                return [Some(window), None];
            };
            // Where the overlap makes a window too long, its newer part is a window of its own.
            let room = (policy.max_window - policy.overlap).max(policy.unit);
            let part = floor(window.start() + room, policy.unit).max(window.start() + policy.unit);
            let newer = Window::new(part, window.end());
            let start = floor(window.start() - policy.overlap, policy.unit)
                .max(before.start())
                .max(progress.wanted_from)
                .max(window.end().min(part) - policy.max_window)
                .min(window.start());
            [newer, Window::new(start, window.end().min(part))]
        })
        .flatten()
        .map(move |window| Planned {
            window,
            lane: if window.end() > live_from {
                Lane::Live
            } else {
                Lane::Backfill
            },
            tier: None,
        })
}

/// The length of the next windows: less towards the end of the gaps, so that the last windows are read side by
/// side.
fn share(gaps: &IntervalSet, progress: &Progress, room: usize) -> TimeDelta {
    let left: TimeDelta = gaps.windows().iter().map(Window::length).sum();
    let readers = i32::try_from(room + progress.open.len()).unwrap_or(i32::MAX);
    let least = MIN_SHARE.max(progress.length / 4);
    progress.length.min((left / readers.max(1)).max(least))
}

/// What is covered or in an open window: the provider may show more rows there since.
fn read(progress: &Progress) -> IntervalSet {
    let mut read = progress.coverage.clone();
    progress.filling().for_each(|open| read.add(open));
    read
}

/// Windows of about `length` that tile a set, newest first. A rest of less than half a window joins the last
/// one.
fn pieces(
    set: &IntervalSet,
    length: TimeDelta,
    unit: TimeDelta,
    longest: TimeDelta,
) -> impl Iterator<Item = Window> + '_ {
    let length = length.min(longest).max(unit);
    set.windows().iter().rev().flat_map(move |gap| {
        let mut end = gap.end();
        std::iter::from_fn(move || {
            let left = end - gap.start();
            let start = if left <= length || (left <= length + length / 2 && left <= longest) {
                gap.start()
            } else {
                floor(end - length, unit).max(gap.start())
            };
            let window = Window::new(start, end)?;
            end = start;
            Some(window)
        })
    })
}
