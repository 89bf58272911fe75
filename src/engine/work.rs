//! One account's loop: look at the progress, open what is due, read it, look again.
//!
//! Nothing is remembered between two looks but which windows are being read: a first run, a resume
//! and an ordinary poll are the same look at the database.

use std::time::Duration;

use chrono::{DateTime, Utc};
use metrics::counter;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::account::Stream;
use super::hand::Hand;
use super::look::{Look, Ready};
use super::paging::PagingError;
use super::policy::{Directive, Failure};
use super::progress::{ACCOUNT, Totals};
use super::window::Reader;
use crate::plan::Lane;
use crate::store::StoreError;
use crate::store::progress::window::{OpenWindow, WindowFailure};
use crate::telemetry;
use crate::transport::retry;
use paysync_provider::redact::Taken;

/// How long the work goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// Until it is stopped.
    Stopped,
    /// Until everything wanted at `now` is covered, or nothing has gone forward for `give_up_after`.
    Covered {
        now: DateTime<Utc>,
        give_up_after: Duration,
    },
}

impl Until {
    /// The instant whose wants are to be met.
    pub(crate) fn as_of(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Stopped => now,
            // A clock that is found to be behind takes back what was to come by it.
            Self::Covered { now: begun, .. } => begun.min(now),
        }
    }

    /// Whether nothing has been read for so long that no window is begun any more.
    fn is_over(self, last_success: Instant) -> bool {
        match self {
            Self::Stopped => false,
            Self::Covered { give_up_after, .. } => last_success.elapsed() >= give_up_after,
        }
    }
}

/// How the work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Everything wanted is covered.
    Covered,
    /// Something could not be read in time.
    GaveUp,
    /// It was asked to stop, or the lease was lost.
    Stopped,
    /// A defect of paysync ended it.
    Crashed,
}

/// Works on an account under a lease. Ends with an error only if the database cannot be used.
pub(crate) async fn work(reader: Reader, until: Until) -> Result<Ended, StoreError> {
    register(&reader).await?;
    let mut reading = JoinSet::new();
    let mut hand = Hand::default();
    let (fetched, mut all_fetched) = mpsc::unbounded_channel();
    let mut last_success = Instant::now();
    let mut suspended = false;
    // However little patience there is, something is tried.
    let mut tried = false;
    let mut summary = Summary::new(&reader);
    loop {
        summary.tell(&reader);
        reader.note_clock();
        if reader.stop.is_cancelled() && reading.is_empty() {
            return Ok(Ended::Stopped);
        }
        let mut wake = None;
        if !reader.stop.is_cancelled() {
            let look = Look::take(&reader, until, &hand).await?;
            suspended = look.suspended;
            for Ready {
                stream,
                window,
                length,
            } in look.ready
            {
                if !has_room(
                    hand.fetching(),
                    reader.account.concurrency,
                    window.planned.lane,
                ) {
                    break;
                }
                if tried && until.is_over(last_success) {
                    break;
                }
                tried = true;
                hand.take(window.id);
                let (reader, fetched) = (reader.clone(), fetched.clone());
                reading.spawn(async move {
                    let all_fetched = || {
                        // Once the work has ended nobody wants to know.
                        let _told: Result<(), _> = fetched.send(window.id);
                    };
                    let result = reader.read(&stream, &window, length, &all_fetched).await;
                    (stream, window, result)
                });
            }
            if reading.is_empty() && matches!(until, Until::Covered { .. }) {
                if look.complete {
                    return Ok(Ended::Covered);
                }
                if until.is_over(last_success) {
                    return Ok(Ended::GaveUp);
                }
            }
            let pause = (look.wake - look.now).to_std().unwrap_or_default();
            wake = Some(match until {
                Until::Stopped => pause,
                Until::Covered { give_up_after, .. } => {
                    pause.min(give_up_after.saturating_sub(last_success.elapsed()))
                }
            });
        }
        tokio::select! {
            // What a window told is heard before its end: it may be taken up again at once.
            biased;
            Some(id) = all_fetched.recv() => hand.all_fetched(id),
            Some(read) = reading.join_next(), if !reading.is_empty() => {
                let (stream, window, result) = match read {
                    Ok(read) => read,
                    // A defect: the account's task ends with it, and is taken up again.
                    Err(error) => match error.try_into_panic() {
                        Ok(panic) => std::panic::resume_unwind(panic),
                        Err(_) => continue,
                    },
                };
                hand.put_down(window.id);
                match result {
                    Ok(()) => {
                        last_success = Instant::now();
                        if suspended {
                            reader.store.lift_suspension(&reader.account.id, false).await?;
                        }
                    }
                    Err(failure) => after_failure(&reader, &stream, &window, failure).await?,
                }
            }
            () = tokio::time::sleep(wake.unwrap_or_default()), if wake.is_some() => {}
            () = reader.stop.cancelled(), if wake.is_some() => {}
        }
    }
}

/// A line a minute that says what was read, also where nothing changed.
struct Summary {
    told: Instant,
    before: Totals,
}

/// How often.
const SUMMARY_INTERVAL: Duration = Duration::from_mins(1);

impl Summary {
    fn new(reader: &Reader) -> Self {
        Self {
            told: Instant::now(),
            before: reader.account.progress.totals(),
        }
    }

    fn tell(&mut self, reader: &Reader) {
        if self.told.elapsed() < SUMMARY_INTERVAL {
            return;
        }
        let totals = reader.account.progress.totals();
        let read = totals.since(self.before);
        *self = Self {
            told: Instant::now(),
            before: totals,
        };
        if read.pages > 0 {
            info!(
                account.id = %reader.account.id, windows = read.windows, pages = read.pages,
                records.items = read.items, records.written = read.written, records.unchanged = read.unchanged,
                records.quarantined = read.quarantined, "read in the last minute"
            );
        }
    }
}

/// Live windows may use one place more, so that a backfill never fills them all.
fn has_room(fetching: usize, concurrency: usize, lane: Lane) -> bool {
    fetching < concurrency || (lane == Lane::Live && fetching == concurrency)
}

async fn register(reader: &Reader) -> Result<(), StoreError> {
    let account = &reader.account;
    let state = reader.store.account(&account.id).await?;
    // Zero is told too: an alert cannot be made of what is not there.
    for (what, none) in Taken::default().by_kind() {
        counter!(telemetry::REDACTIONS, "account" => account.id.clone(), "what" => what)
            .increment(none);
    }
    for stream in &account.streams {
        counter!(telemetry::RETRIES, "account" => account.id.clone(), "stream" => stream.spec.name.clone()).increment(0);
        reader
            .store
            .register_stream(&account.id, &account.new_stream(stream, &state))
            .await?;
    }
    Ok(())
}

/// Does what the table of errors says.
async fn after_failure(
    reader: &Reader,
    stream: &Stream,
    window: &OpenWindow,
    failure: Failure,
) -> Result<(), StoreError> {
    let directive = failure.directive_in(window.planned.lane);
    let (message, hint) = (failure.to_string(), failure.hint());
    let failures = u32::try_from(window.failures).unwrap_or(u32::MAX);
    let pause = match directive {
        Directive::Stop | Directive::GiveUpLease => {
            reader.stop.cancel();
            return Ok(());
        }
        Directive::Replan => return Ok(()),
        Directive::WaitForDatabase => match failure {
            Failure::Store(error) => return Err(error),
            _ => Duration::ZERO,
        },
        // What is suspended waits for its probe anyway.
        Directive::SuspendAccount | Directive::SuspendStream | Directive::GiveUpPass => {
            Duration::ZERO
        }
        Directive::Restart
            if matches!(failure, Failure::Paging(PagingError::RowsMoved)) && failures < 3 =>
        {
            Duration::ZERO
        }
        Directive::Retry | Directive::Throttle | Directive::Restart => failure
            .long_wait()
            .unwrap_or_else(|| retry::jittered(retry::between_runs(failures))),
    };
    let account = &reader.account;
    let subject = match directive {
        Directive::SuspendAccount => ACCOUNT,
        _ => stream.spec.name.as_str(),
    };
    let told = account.progress.trouble(subject, &message, hint);
    let trouble = WindowFailure {
        error: &message,
        hint,
        pause,
        restart: directive == Directive::Restart,
    };
    let (store, lease) = (&reader.store, &reader.lease);
    if directive == Directive::GiveUpPass {
        store.give_up_pass(lease, window, trouble).await?;
    } else {
        store.fail_window(lease, window.id, trouble).await?;
    }
    match directive {
        Directive::SuspendAccount => store.suspend_account(lease, &message, hint).await?,
        Directive::SuspendStream => {
            let stream = &stream.spec.name;
            store.suspend_stream(lease, stream, &message, hint).await?;
        }
        _ => {}
    }
    let Some(times) = told else { return Ok(()) };
    macro_rules! line {
        ($level:ident, $message:literal) => {
            $level!(
                account.id = %account.id, stream.name = %stream.spec.name,
                lane = window.planned.lane.as_str(), window.start = %window.planned.window.start(),
                window.end = %window.planned.window.end(), error = %message, hint, times,
                retry_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX), $message
            )
        };
    }
    match directive {
        Directive::SuspendAccount => line!(error, "the account is suspended"),
        Directive::SuspendStream => line!(error, "the stream is suspended"),
        Directive::GiveUpPass => line!(
            warn,
            "a pass over old windows is given up until it is due again"
        ),
        _ => line!(warn, "reading a window failed"),
    }
    Ok(())
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
