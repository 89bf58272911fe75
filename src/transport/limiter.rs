//! The request budget of an account: at most n requests in any 60 s, spread, with a small burst.
//!
//! A pure token bucket (the generic cell rate algorithm); callers sleep for what it says. Times are
//! offsets from a start that the caller chooses, so that tests need no clock.

use std::time::Duration;

/// Requests per minute above which spreading them would only cost time.
const UNLIMITED: u32 = 60_000;

/// A token bucket.
#[derive(Debug)]
pub struct Limiter {
    /// Time between requests once the burst is used up.
    interval: Duration,
    /// How far ahead of that rhythm requests may run.
    burst: Duration,
    /// When the next request would be due by the rhythm alone.
    due: Duration,
    /// No request before this, after the provider asked to wait.
    not_before: Duration,
}

impl Limiter {
    /// A bucket for at most `per_minute` requests in any 60 s, with a burst of a tenth of them.
    pub fn new(per_minute: u32) -> Self {
        let per_minute = per_minute.max(1);
        if per_minute >= UNLIMITED {
            return Self::with(Duration::ZERO, Duration::ZERO);
        }
        let burst = (per_minute / 10).max(1);
        // A burst and a minute of the rhythm after it must not pass the limit together.
        // Rounded up: a nanosecond too short would let one request too many through.
        let interval =
            Duration::from_mins(1) / (per_minute + 1 - burst).max(1) + Duration::from_nanos(1);
        Self::with(interval, interval * (burst - 1))
    }

    const fn with(interval: Duration, burst: Duration) -> Self {
        Self {
            interval,
            burst,
            due: Duration::ZERO,
            not_before: Duration::ZERO,
        }
    }

    /// Takes a place and says when its request may be sent, at or after `now`.
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

    /// Until when requests are held back.
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
        assert_eq!(times[6..], [1090, 2181, 3272]);
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

    proptest! {
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
