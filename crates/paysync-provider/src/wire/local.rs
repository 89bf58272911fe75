//! Local times as instants.

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;

/// The longest time that clocks were ever set ahead by is a day, where the date line moved.
const LONGEST_GAP_HOURS: i64 = 25;

/// The instant of a local time: the earlier of two in autumn; in spring, what was skipped is read by
/// the offset from before.
pub fn local_instant(naive: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&naive) {
        LocalResult::Single(instant) => Some(instant.to_utc()),
        LocalResult::Ambiguous(earlier, later) => Some(earlier.min(later).to_utc()),
        LocalResult::None => (1..=LONGEST_GAP_HOURS).find_map(|hours| {
            let back = TimeDelta::hours(hours);
            let shown = naive.checked_sub_signed(back)?;
            let before = zone.from_local_datetime(&shown).latest()?;
            before.to_utc().checked_add_signed(back)
        }),
    }
}
