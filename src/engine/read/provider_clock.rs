//! A provider's clock that lags behind the database's.
//!
//! Rows carry the provider's times. If its clock is set back by an hour, the rows of the next hour get times
//! of an hour that may be covered already. So the planner's now is the provider's, and coverage beyond it is
//! rolled back. A clock that is ahead needs no care: its rows are read when their time has come.

use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use crate::clock::MAX_CLOCK_SKEW;
use crate::engine::account::Account;
use crate::engine::progress::LOG_INTERVAL;
use crate::store::progress::stream::StreamState;
use crate::store::{Store, StoreError};
use paysync_provider::model::Window;

/// A date older than this is a proxy's mistake, which no wait makes right.
const MAX_LAG: TimeDelta = TimeDelta::hours(6);

/// Dates are whole seconds, and a request takes seconds: changes up to this size are ignored.
const TOLERANCE: TimeDelta = TimeDelta::seconds(2);

/// How far the provider's clock lags, if an answer is dated `measured` before its request was sent and the
/// estimate so far is `known`.
fn estimate_lag(known: TimeDelta, measured: TimeDelta) -> TimeDelta {
    if measured <= MAX_CLOCK_SKEW || measured > MAX_LAG {
        TimeDelta::zero()
    } else if (known - TOLERANCE - measured).abs() <= TOLERANCE {
        known
    } else {
        measured + TOLERANCE
    }
}

/// Updates the estimate by the date of an answer.
pub(super) fn record_date(
    account: &Account,
    date: Option<DateTime<Utc>>,
    requested_at: DateTime<Utc>,
) {
    let Some(date) = date else { return };
    let progress = &account.progress;
    let lag = estimate_lag(progress.clock_lag(), requested_at - date);
    progress.set_clock_lag(lag);
    if lag > TimeDelta::zero()
        && let Some(times) = progress.record_event("the provider's clock", LOG_INTERVAL)
    {
        warn!(
            seconds = lag.num_seconds(),
            times,
            hint =
                "report it to the provider; until then new rows are read late, and no row is lost",
            "the provider's clock is behind the database's"
        );
    }
}

/// Rolls back the coverage and the open windows beyond `now` by the provider's clock. Whether there were any.
pub(crate) async fn roll_back_coverage(
    store: &Store,
    account_id: &str,
    states: &[StreamState],
    now: DateTime<Utc>,
    clock_lag: TimeDelta,
) -> Result<bool, StoreError> {
    let mut rolled_back = false;
    for state in states {
        let covered = state.progress.coverage.end().filter(|end| *end > now);
        let open = state.open.iter().map(|open| open.planned.window.end());
        let Some(reach) = open.chain(covered).max().filter(|end| *end > now) else {
            continue;
        };
        // Rows created since the clock was set back can have times from this instant on.
        let from = covered.map_or(now, |end| end - clock_lag).min(now);
        if let Some(span) = Window::new(from, reach) {
            store
                .forget_coverage(account_id, Some(&state.stream), span)
                .await?;
            rolled_back = true;
        }
    }
    Ok(rolled_back)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_changes_and_old_dates_are_ignored() {
        let seconds = TimeDelta::seconds;
        let lag = |known, measured| estimate_lag(seconds(known), seconds(measured)).num_seconds();
        assert_eq!(lag(0, 1), 0);
        assert_eq!(lag(0, 20), 0);
        assert_eq!(lag(0, 3600), 3602);
        for measured in 3598..=3602 {
            assert_eq!(lag(3602, measured), 3602, "{measured}");
        }
        assert_eq!(lag(3602, 3603), 3605);
        assert_eq!(lag(3602, 3000), 3002);
        assert_eq!(lag(3602, 0), 0);
        assert_eq!(lag(0, 7 * 3600), 0);
    }
}
