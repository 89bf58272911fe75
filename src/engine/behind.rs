//! A provider whose clock is behind: what it will yet date into the past is no past there.
//!
//! Rows carry the provider's times. If its clock is set back by an hour, the rows of the next hour are
//! dated into an hour that may be covered already. So nothing counts as covered, and nothing is
//! planned, that is still to come by the clock of its last answer. A clock that is ahead needs no
//! care: its rows are read when their time has come.

use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use super::progress::SILENCE;
use super::window::Reader;
use crate::clock::WORST_SKEW;
use crate::store::StoreError;
use crate::store::progress::stream::StreamState;
use paysync_provider::model::Window;

/// A date that is older than this is a proxy's mistake: waiting for it would help nobody.
const OLDEST: TimeDelta = TimeDelta::hours(6);

/// Dates are whole seconds, and seconds pass on the way: smaller changes are none.
const ROUGHLY: TimeDelta = TimeDelta::seconds(2);

/// How far behind to take a provider whose answer is dated `measured` before it was asked for, known
/// so far as `known`.
fn taken_as(known: TimeDelta, measured: TimeDelta) -> TimeDelta {
    if measured <= WORST_SKEW || measured > OLDEST {
        TimeDelta::zero()
    } else if (known - ROUGHLY - measured).abs() <= ROUGHLY {
        known
    } else {
        measured + ROUGHLY
    }
}

impl Reader {
    /// Notes the date of an answer.
    pub(super) fn note_date(&self, date: Option<DateTime<Utc>>, requested_at: DateTime<Utc>) {
        let Some(date) = date else { return };
        let progress = &self.account.progress;
        let behind = taken_as(progress.behind(), requested_at - date);
        progress.set_behind(behind);
        let told =
            (behind > TimeDelta::zero()).then(|| progress.notice("the provider's clock", SILENCE));
        if let Some(times) = told.flatten() {
            warn!(
                account.id = %self.account.id, seconds = behind.num_seconds(), times,
                hint = "tell the provider; new rows are read by its clock: late, but none is lost",
                "the provider's clock is behind the database's"
            );
        }
    }

    /// Takes back what was read or begun beyond the provider's `now`. Whether there was any.
    pub(super) async fn take_back(
        &self,
        states: &[StreamState],
        now: DateTime<Utc>,
        behind: TimeDelta,
    ) -> Result<bool, StoreError> {
        let mut taken = false;
        for state in states {
            let covered = state.progress.coverage.end().filter(|end| *end > now);
            let begun = state.open.iter().map(|open| open.planned.window.end());
            let Some(reach) = begun.chain(covered).max().filter(|end| *end > now) else {
                continue;
            };
            // The clock was set back after the last reading at the latest; what was made since is
            // dated from here on.
            let from = covered.map_or(now, |end| end - behind).min(now);
            if let Some(span) = Window::new(from, reach) {
                self.store
                    .forget_coverage(&self.account.id, Some(&state.stream), span)
                    .await?;
                taken = true;
            }
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_changes_are_none_and_old_dates_a_mistake() {
        let seconds = TimeDelta::seconds;
        let taken = |known, measured| taken_as(seconds(known), seconds(measured)).num_seconds();
        assert_eq!(taken(0, 1), 0);
        assert_eq!(taken(0, 20), 0);
        assert_eq!(taken(0, 3600), 3602);
        for measured in 3598..=3602 {
            assert_eq!(taken(3602, measured), 3602, "{measured}");
        }
        assert_eq!(taken(3602, 3603), 3605);
        assert_eq!(taken(3602, 3000), 3002);
        assert_eq!(taken(3602, 0), 0);
        assert_eq!(taken(0, 7 * 3600), 0);
    }
}
