//! The length of the next window, from the density of the rows in the last one.

use chrono::TimeDelta;

/// The length that would have held about `target` rows, within a factor of four of the last one.
///
/// `span` is the length of the window just read, and `rows` what it held. A window shorter than `last` (a
/// poll) with at most `target` rows says nothing about longer ones.
pub fn next_length(
    last: TimeDelta,
    span: TimeDelta,
    rows: u64,
    target: u64,
    limits: (TimeDelta, TimeDelta),
) -> TimeDelta {
    let (shortest, longest) = limits;
    if rows <= target && span < last {
        return last;
    }
    let fitting = match i32::try_from(rows) {
        Ok(0) => longest,
        Ok(rows) => {
            let target = i32::try_from(target).unwrap_or(i32::MAX);
            span.checked_mul(target)
                .map_or(longest, |scaled| scaled / rows)
        }
        Err(_) => shortest,
    };
    fitting
        .clamp(last / 4, last.checked_mul(4).unwrap_or(longest))
        .clamp(shortest, longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: (TimeDelta, TimeDelta) = (TimeDelta::seconds(1), TimeDelta::days(1));

    fn next(last: i64, span: i64, rows: u64) -> i64 {
        next_length(
            TimeDelta::seconds(last),
            TimeDelta::seconds(span),
            rows,
            1000,
            LIMITS,
        )
        .num_seconds()
    }

    #[test]
    fn follows_the_density() {
        assert_eq!(next(1000, 1000, 2000), 500);
        assert_eq!(next(1000, 1000, 500), 2000);
        assert_eq!(next(1000, 1000, 0), 4000);
        assert_eq!(next(1000, 1000, 1_000_000), 250);
    }

    #[test]
    fn stays_within_the_limits() {
        assert_eq!(next(1, 1, 1_000_000), 1);
        assert_eq!(next(80_000, 80_000, 0), 86_400);
    }

    #[test]
    fn a_short_poll_says_nothing_unless_it_was_overfull() {
        assert_eq!(next(3600, 60, 3), 3600);
        assert_eq!(next(1000, 500, 1000), 1000);
        assert_eq!(next(3600, 60, 6000), 900);
    }
}
