//! Delays between tries, as pure functions.

use std::time::Duration;

use backoff::{BackoffBuilder as _, ExponentialBuilder};
use chrono::{DateTime, Utc};

use crate::number::{milliseconds, unsigned};

/// The longest delay that a provider may ask for; a longer one is a mistake.
pub const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// Upper bounds of the delays before the second to fourth try of a request within a run.
pub fn request_backoff() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(500))
        .with_max_times(3)
        .build()
}

/// Upper bound of the delay before a window that failed `failures` times is read again: up to minutes.
pub fn window_backoff(failures: u32) -> Duration {
    let longest = Duration::from_mins(15);
    let delays = ExponentialBuilder::new()
        .with_min_delay(Duration::from_secs(5))
        .with_max_delay(longest)
        .without_max_times();
    let failures = usize::try_from(failures.min(8)).unwrap_or_default();
    delays.build().nth(failures).unwrap_or(longest)
}

/// Upper bound of the delay before the database is tried again after `failures` failed attempts.
pub fn database_backoff(failures: u32) -> Duration {
    Duration::from_millis(250 << failures.min(6)).min(Duration::from_secs(10))
}

/// Full jitter: a random part of the delay, so that clients that failed together do not retry together.
pub fn jittered(bound: Duration) -> Duration {
    Duration::from_millis(fastrand::u64(0..=unsigned(milliseconds(bound))))
}

/// The delay that a `Retry-After` header asks for, in seconds or as a date; at most [`LONGEST_WAIT`].
pub fn retry_after(header: &str, now: DateTime<Utc>) -> Option<Duration> {
    let header = header.trim();
    let wait = if let Ok(seconds) = header.parse::<u64>() {
        Duration::from_secs(seconds)
    } else {
        let date = DateTime::<Utc>::from(httpdate::parse_http_date(header).ok()?);
        (date - now).to_std().unwrap_or(Duration::ZERO)
    };
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_cap() {
        let seconds: Vec<u64> = (0..10)
            .map(|failures| window_backoff(failures).as_secs())
            .collect();
        assert_eq!(seconds, [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]);
        assert_eq!(window_backoff(u32::MAX).as_secs(), 900);
        let millis: Vec<u128> = (0..8)
            .map(|tries| database_backoff(tries).as_millis())
            .collect();
        assert_eq!(millis, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        let millis: Vec<u128> = request_backoff().map(|delay| delay.as_millis()).collect();
        assert_eq!(millis, [500, 1000, 2000]);
    }

    #[test]
    fn jitter_stays_below_the_bound() {
        let bound = Duration::from_millis(20);
        let delays: Vec<Duration> = (0..1000).map(|_| jittered(bound)).collect();
        assert!(delays.iter().all(|delay| *delay <= bound));
        assert!(
            delays.iter().any(|delay| *delay < bound / 2)
                && delays.iter().any(|delay| *delay > bound / 2)
        );
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = DateTime::from_timestamp(1_445_412_420, 0).unwrap();
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("0", now), Some(Duration::ZERO));
        assert_eq!(
            retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now),
            Some(Duration::from_mins(1))
        );
        assert_eq!(
            retry_after("Wed, 21 Oct 2015 07:26:00 GMT", now),
            Some(Duration::ZERO)
        );
        for (far, wait) in [
            ("18446744073709551615", Some(LONGEST_WAIT)),
            ("Fri, 21 Oct 2095 07:28:00 GMT", Some(LONGEST_WAIT)),
            ("184467440737095516150", None),
            ("-1", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(far, now), wait, "{far}");
        }
    }
}
