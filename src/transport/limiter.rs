//! The request budget of an account: at most n requests in any 60 s, spread evenly, with a small burst.
//!
//! A pure token bucket (generic cell rate algorithm); the caller sleeps. Times are offsets from a start
//! that the caller chooses, so that tests need no clock.

use std::time::Duration;

/// A minute with a margin: a request may take longer to arrive than later ones.
const MINUTE: Duration = Duration::from_millis(60_500);

/// Rate above which there is no limit: spreading requests would only cost time.
const UNLIMITED: u32 = 60_000;

/// A token bucket.
#[derive(Debug)]
pub struct Limiter {
    /// Time between requests after the burst.
    interval: Duration,
    /// How far ahead of that rate requests may run.
    burst: Duration,
    /// When the next request is due by the rate alone.
    due: Duration,
    /// End of a pause that the provider asked for.
    not_before: Duration,
}

impl Limiter {
    /// A bucket for at most `per_minute` requests in any 60 s, with a burst of a tenth of them.
    pub fn new(per_minute: u32) -> Self {
        let per_minute = per_minute.max(1);
        let burst = (per_minute / 10).max(1);
        let interval = if per_minute >= UNLIMITED {
            Duration::ZERO
        } else {
            // A burst and the minute after it must not exceed the limit together.
            MINUTE / (per_minute + 1 - burst)
        };
        Self {
            interval,
            burst: interval * (burst - 1),
            due: Duration::ZERO,
            not_before: Duration::ZERO,
        }
    }

    /// Reserves a slot; returns when its request may be sent, at or after `now`.
    pub fn reserve(&mut self, now: Duration) -> Duration {
        let start = self.due.max(now);
        self.due = start + self.interval;
        start
            .saturating_sub(self.burst)
            .max(now)
            .max(self.not_before)
    }

    /// Holds all requests back until `until`; afterwards there is no burst.
    pub fn pause(&mut self, until: Duration) {
        self.not_before = self.not_before.max(until);
        self.due = self.due.max(until + self.burst);
    }

    /// Takes over from a process that sent its last request at `now - idle` or earlier and may have used its
    /// whole budget.
    pub fn take_over(&mut self, now: Duration, idle: Duration) {
        let used = now + self.burst + self.interval;
        self.due = self.due.max(used.saturating_sub(idle));
    }

    /// End of the current pause.
    pub const fn paused_until(&self) -> Duration {
        self.not_before
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_is_spread() {
        let mut limiter = Limiter::new(60);
        let times: Vec<u128> = (0..9)
            .map(|_| limiter.reserve(Duration::ZERO).as_millis())
            .collect();
        assert_eq!(times[..6], [0; 6]);
        assert_eq!(times[6..], [1100, 2200, 3300]);
    }

    #[test]
    fn a_pause_holds_everything_back() {
        let mut limiter = Limiter::new(600);
        limiter.pause(Duration::from_secs(3));
        let first = limiter.reserve(Duration::from_secs(1));
        let second = limiter.reserve(Duration::from_secs(1));
        assert_eq!(first, Duration::from_secs(3));
        assert!(second > first);
    }

    #[test]
    fn a_budget_that_was_taken_over_has_what_is_left_of_it() {
        let at = |idle| {
            let mut limiter = Limiter::new(60);
            limiter.take_over(Duration::from_mins(5), Duration::from_secs(idle));
            let sent = (0..7).map(|_| limiter.reserve(Duration::from_mins(5)).as_secs() - 300);
            sent.collect::<Vec<_>>()
        };
        assert_eq!(at(0), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(at(3), [0, 0, 0, 1, 2, 3, 4]);
        assert_eq!(at(3600), [0, 0, 0, 0, 0, 0, 1]);
    }

    proptest! {
        #[test]
        fn any_minute_holds_at_most_the_limit_whoever_sends(
            per_minute in 1u32..200,
            steps in proptest::collection::vec((0u64..3000, proptest::bool::weighted(0.05), 0u64..9000), 1..400),
        ) {
            let mut limiter = Limiter::new(per_minute);
            let mut now = Duration::ZERO;
            let mut sent: Vec<Duration> = Vec::new();
            for (gap, dies, idle) in steps {
                now += Duration::from_millis(gap);
                if dies {
                    // A process that died sends no more requests.
                    sent.retain(|at| *at <= now);
                    now += Duration::from_millis(idle);
                    limiter = Limiter::new(per_minute);
                    limiter.take_over(now, Duration::from_millis(idle));
                }
                sent.push(limiter.reserve(now));
            }
            sent.sort_unstable();
            for (index, start) in sent.iter().enumerate() {
                let within = sent[index..].iter().take_while(|at| **at < *start + Duration::from_mins(1)).count();
                prop_assert!(within <= usize::try_from(per_minute).unwrap(), "{within} in a minute from {start:?}");
            }
        }

        #[test]
        fn any_minute_holds_at_most_the_limit(
            per_minute in 1u32..200,
            gaps in proptest::collection::vec(0u64..5000, 1..500),
        ) {
            let mut limiter = Limiter::new(per_minute);
            let mut now = Duration::ZERO;
            let mut sent: Vec<Duration> = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                let at = limiter.reserve(now);
                prop_assert!(at >= now);
                sent.push(at);
            }
            sent.sort_unstable();
            for (index, start) in sent.iter().enumerate() {
                let within = sent[index..].iter().take_while(|at| **at < *start + Duration::from_mins(1)).count();
                prop_assert!(within <= usize::try_from(per_minute).unwrap(), "{within} in a minute from {start:?}");
            }
        }
    }
}
