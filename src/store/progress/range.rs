//! Windows and interval sets as PostgreSQL ranges.

use std::ops::Bound;

use chrono::{DateTime, Utc};
use sqlx::postgres::types::PgRange;

use paysync_provider::model::{IntervalSet, Window};

/// The range of a window.
pub(crate) fn of_window(window: Window) -> PgRange<DateTime<Utc>> {
    PgRange {
        start: Bound::Included(window.start()),
        end: Bound::Excluded(window.end()),
    }
}

/// The ranges of a set.
pub(crate) fn of_set(set: &IntervalSet) -> Vec<PgRange<DateTime<Utc>>> {
    set.windows().iter().copied().map(of_window).collect()
}

/// The set of ranges that paysync wrote: bounded and half-open.
pub(crate) fn to_set(ranges: &[PgRange<DateTime<Utc>>]) -> IntervalSet {
    let window = |range: &PgRange<DateTime<Utc>>| match (range.start, range.end) {
        (Bound::Included(start), Bound::Excluded(end)) => Window::new(start, end),
        _ => None,
    };
    ranges.iter().filter_map(window).collect()
}
