//! Windows of a stream that failed one after the other, with none read to its end in between.
//!
//! As long as others are read, however many wait, a stream goes on. When many in a row have failed, the provider is
//! away: then the stream waits as one and tries one window per pause, so that an outage does not fill the ledger.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::transport::retry;

/// Failures in a row after which a stream waits as one.
pub(super) const MAX_FAILURES: u32 = 16;

/// The streams of an account whose last windows failed.
#[derive(Debug, Default)]
pub(super) struct FailureStreaks(BTreeMap<String, Streak>);

#[derive(Debug)]
struct Streak {
    failures: u32,
    /// When the next window may be tried.
    until: Instant,
}

/// How a stream waits as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pause {
    /// What is left of it.
    pub(super) left: Duration,
    /// Whether a live window is tried next; else the one that was not tried for the longest time.
    pub(super) is_live_next: bool,
}

impl FailureStreaks {
    pub(super) fn record_success(&mut self, stream: &str) {
        self.0.remove(stream);
    }

    pub(super) fn record_failure(&mut self, stream: &str) {
        let failures = self.0.get(stream).map_or(0, |streak| streak.failures) + 1;
        let pause = retry::window_backoff(failures.saturating_sub(MAX_FAILURES));
        let until = Instant::now() + retry::jittered(pause);
        self.0.insert(stream.to_owned(), Streak { failures, until });
    }

    /// The pause of a stream, of which so many windows wait; none if it goes on.
    pub(super) fn pause(&self, stream: &str, waiting: usize) -> Option<Pause> {
        let Some(known) = self.0.get(stream) else {
            // A process that starts does not know what failed before: one window shows it.
            let many = usize::try_from(MAX_FAILURES).is_ok_and(|many| waiting >= many);
            return many.then_some(Pause {
                left: Duration::ZERO,
                is_live_next: true,
            });
        };
        (known.failures >= MAX_FAILURES).then(|| Pause {
            left: known.until.saturating_duration_since(Instant::now()),
            is_live_next: known.failures.is_multiple_of(2),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stream_waits_as_one_after_failures_in_a_row() {
        let mut streaks = FailureStreaks::default();
        for _ in 1..MAX_FAILURES {
            streaks.record_failure("a");
            assert_eq!(streaks.pause("a", 40), None);
        }
        streaks.record_failure("a");
        let first = streaks.pause("a", 1).unwrap();
        assert!(first.left <= retry::window_backoff(0), "{first:?}");
        streaks.record_failure("a");
        let second = streaks.pause("a", 1).unwrap();
        assert_ne!(first.is_live_next, second.is_live_next);
        assert_eq!(streaks.pause("b", 15), None);
        tokio::time::sleep(retry::window_backoff(1)).await;
        assert_eq!(streaks.pause("a", 1).unwrap().left, Duration::ZERO);
        streaks.record_success("a");
        assert_eq!(streaks.pause("a", 15), None);
        // A process that starts tries one at once, but one at a time.
        assert_eq!(streaks.pause("a", 16).unwrap().left, Duration::ZERO);
    }
}
