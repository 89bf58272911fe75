//! One account's loop: load the schedule, start the windows that are due, react to how they end.
//!
//! The only state kept between two rounds is which windows are in flight and which failed in a row: a first run, a resume and an
//! ordinary poll all load the same schedule from the database.

mod in_flight;
mod reaction;
pub(super) mod schedule;
mod streaks;
mod summary;

use metrics::counter;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{Instrument as _, Span, error_span};

use crate::engine::failure::Failure;
use crate::engine::read::audit::audit_window;
use crate::engine::read::context::ReadContext;
use crate::engine::read::observer;
use crate::engine::read::repoll::repoll_window;
use crate::engine::read::window::{ReadyWindow, read_window};
use crate::plan::Lane;
use crate::store::StoreError;
use crate::store::progress::window::OpenWindow;
use crate::telemetry::{self, SPANS};
use in_flight::InFlightWindows;
use paysync_provider::redact::RedactionCounts;
use reaction::on_failure;
use schedule::{RunMode, Schedule};
use streaks::FailureStreaks;
use summary::Summary;

/// How the work on an account ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything wanted is covered.
    Covered,
    /// Something could not be read in time, or a defect of paysync ended it.
    GaveUp,
    /// Another process holds the account.
    NotLeased,
    /// An operator paused it.
    Paused,
    /// It was asked to stop, or the lease was lost.
    Stopped,
}

/// A window whose read has ended.
type Finished = (OpenWindow, Result<(), Failure>);

/// Reads an account's windows under a lease. Ends with an error only if the database cannot be used.
pub(crate) async fn run_account(
    context: ReadContext,
    mode: RunMode,
) -> Result<Outcome, StoreError> {
    register(&context).await?;
    let mut tasks = JoinSet::new();
    let mut in_flight = InFlightWindows::default();
    let mut streaks = FailureStreaks::default();
    let (fetched, mut all_fetched) = mpsc::unbounded_channel();
    let mut last_success = Instant::now();
    let mut suspended = false;
    // Something is tried even if the time to give up after is zero.
    let mut tried = false;
    let mut summary = Summary::new(&context.account.progress);
    loop {
        summary.log_if_due(&context.account.progress);
        observer::record_clock_skew(&context);
        if context.held.stop.is_cancelled() && tasks.is_empty() {
            return Ok(Outcome::Stopped);
        }
        let mut pause = None;
        if !context.held.stop.is_cancelled() {
            let schedule = Schedule::load(&context, mode, &in_flight, &streaks).await?;
            suspended = schedule.suspended;
            for ready in schedule.ready {
                let lane = ready.window.planned.lane;
                if !has_room(in_flight.fetching(), context.account.concurrency, lane)
                    || (tried && mode.gives_up(last_success))
                {
                    break;
                }
                tried = true;
                in_flight.start(ready.window.id);
                spawn_read(&mut tasks, &context, ready, &fetched);
            }
            if tasks.is_empty() && matches!(mode, RunMode::Once { .. }) {
                if schedule.complete {
                    return Ok(Outcome::Covered);
                }
                if mode.gives_up(last_success) {
                    return Ok(Outcome::GaveUp);
                }
            }
            let until_wakeup = schedule.next_wakeup - schedule.now;
            let until_wakeup = until_wakeup.to_std().unwrap_or_default();
            pause = Some(match mode {
                RunMode::Daemon => until_wakeup,
                RunMode::Once { give_up_after, .. } => {
                    until_wakeup.min(give_up_after.saturating_sub(last_success.elapsed()))
                }
            });
        }
        tokio::select! {
            // A window's message is received before its end: its id may be started again at once.
            biased;
            Some(id) = all_fetched.recv() => in_flight.fetched(id),
            Some(finished) = tasks.join_next(), if !tasks.is_empty() => {
                let (window, result): Finished = match finished {
                    Ok(finished) => finished,
                    // A defect: it ends the account's task, which is started again.
                    Err(error) => match error.try_into_panic() {
                        Ok(panic) => std::panic::resume_unwind(panic),
                        Err(_) => continue,
                    },
                };
                in_flight.finish(window.id);
                match result {
                    Ok(()) => {
                        last_success = Instant::now();
                        streaks.record_success(&window.stream);
                        if suspended {
                            context.store.lift_suspension(&context.account.id, false).await?;
                        }
                    }
                    Err(failure) => {
                        let span = window_span(&window);
                        if on_failure(&context, &window, failure).instrument(span).await? {
                            streaks.record_failure(&window.stream);
                        }
                    }
                }
            }
            () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            () = context.held.stop.cancelled(), if pause.is_some() => {}
        }
    }
}

async fn register(context: &ReadContext) -> Result<(), StoreError> {
    let account = &context.account;
    let state = context.store.account(&account.id).await?;
    // Counters start at zero: an alert cannot use a metric that is not there.
    observer::count_redactions(account, RedactionCounts::default());
    for stream in &account.streams {
        counter!(telemetry::RETRIES, "account" => account.id.clone(), "stream" => stream.spec.name.clone()).increment(0);
        let stream = account.new_stream(stream, &state);
        context.store.register_stream(&account.id, &stream).await?;
    }
    Ok(())
}

/// Live windows may use one place more, so that a backfill never fills them all.
fn has_room(fetching: usize, concurrency: usize, lane: Lane) -> bool {
    fetching < concurrency || (lane == Lane::Live && fetching == concurrency)
}

/// Reads a window in a task of its own, which sends the window's id when all its pages are fetched.
fn spawn_read(
    tasks: &mut JoinSet<Finished>,
    context: &ReadContext,
    ready: ReadyWindow,
    fetched: &UnboundedSender<i64>,
) {
    let (context, fetched) = (context.clone(), fetched.clone());
    let span = window_span(&ready.window);
    let read = async move {
        let window = &ready.window;
        let result = match window.planned.lane {
            Lane::Live | Lane::Rescan | Lane::Backfill => {
                let all_fetched = || {
                    // The loop may have ended.
                    let _sent: Result<(), _> = fetched.send(window.id);
                };
                read_window(&context, &ready, &all_fetched).await
            }
            Lane::Repoll => repoll_window(&context, window).await,
            Lane::Audit => audit_window(&context, window).await,
        };
        (ready.window, result)
    };
    tasks.spawn(read.instrument(span));
}

/// The identifiers of a window in the log, inside the span of its account.
fn window_span(window: &OpenWindow) -> Span {
    let planned = &window.planned;
    error_span!(
        target: SPANS,
        "window",
        stream.name = %window.stream,
        lane = planned.lane.as_str(),
        window.start = %planned.window.start(),
        window.end = %planned.window.end(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backfill_leaves_room_for_the_live_lane() {
        assert!(has_room(1, 2, Lane::Backfill));
        assert!(!has_room(2, 2, Lane::Backfill));
        assert!(has_room(2, 2, Lane::Live));
        assert!(!has_room(3, 2, Lane::Live));
    }
}
