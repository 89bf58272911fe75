//! Times.

use chrono::{
    DateTime, Datelike as _, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, SubsecRound as _,
    TimeDelta, TimeZone as _, Utc,
};
use chrono_tz::Tz;

use super::object::Object;
use super::text::scalar_text;
use crate::error::RecordError;

impl Object<'_> {
    /// An instant in whole microseconds, from ISO 8601 with `T` or a blank, with or without seconds, fraction and
    /// offset. `zone` applies to times without an offset. The day 0000-00-00, as some databases write none, is none.
    pub fn instant(
        &self,
        field: &'static str,
        zone: Tz,
    ) -> Result<Option<DateTime<Utc>>, RecordError> {
        let text = scalar_text(self.raw(field), RecordError::Time(field))?;
        let instant = |text: String| parse_instant(&text, zone).ok_or(RecordError::Time(field));
        text.filter(|text| !text.starts_with("0000-00-00"))
            .map(instant)
            .transpose()
    }
}

/// Parses the formats of [`Object::instant`]; a date alone means its first instant.
pub fn parse_instant(text: &str, zone: Tz) -> Option<DateTime<Utc>> {
    let with_offset = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%#z"))
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z"))
        // Java and JavaScript leave out seconds that are zero.
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M%#z"))
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M%#z"));
    if let Ok(instant) = with_offset {
        return in_range(instant.to_utc());
    }
    let naive = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f"))
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M"))
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M"))
        .or_else(|_| {
            NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|date| date.and_time(NaiveTime::MIN))
        })
        .ok()?;
    in_range(local_instant(naive, zone)?)
}

/// The years that PostgreSQL and RFC 3339 both represent.
fn in_range(instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let is_in_range = (1..=9999).contains(&instant.year());
    is_in_range.then(|| instant.trunc_subsecs(6))
}

/// The longest gap in local time was a day, where the date line moved.
const LONGEST_GAP_HOURS: i64 = 25;

/// The instant of a local time: the earlier of two if clocks were set back; a time that was skipped is
/// read with the offset before the gap.
fn local_instant(naive: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn instant_of(text: &str, zone: Tz) -> Option<String> {
        parse_instant(text, zone)
            .map(|instant| instant.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
    }

    #[test]
    fn times_are_read_in_every_common_form() {
        let utc = Tz::UTC;
        for text in [
            "2018-08-01T08:28:47+00:00",
            "2018-08-01T08:28:47Z",
            "2018-08-01 08:28:47",
            "2018-08-01T08:28:47",
            "2018-08-01T11:28:47+03:00",
            "2018-08-01T11:28:47+0300",
            "2018-08-01 11:28:47+03:00",
        ] {
            assert_eq!(
                instant_of(text, utc).as_deref(),
                Some("2018-08-01T08:28:47Z"),
                "{text}"
            );
        }
        assert_eq!(
            instant_of("2025-09-01T09:02:22.552859857", utc).as_deref(),
            Some("2025-09-01T09:02:22.552859Z")
        );
        assert_eq!(
            instant_of("2024-06-01", chrono_tz::Europe::Vilnius).as_deref(),
            Some("2024-05-31T21:00:00Z")
        );
        for text in [
            "2018-08-01T08:28",
            "2018-08-01 08:28",
            "2018-08-01T08:28Z",
            "2018-08-01T11:28+03:00",
            "2018-08-01 11:28+0300",
        ] {
            let expected = Some("2018-08-01T08:28:00Z");
            assert_eq!(instant_of(text, utc).as_deref(), expected, "{text}");
        }
        for text in [
            "soon",
            "2018-08-01T08",
            "2024-13-01T00:00:00Z",
            "2024-02-30",
            "0000-01-01T00:00:00Z",
            "1700000000",
        ] {
            assert_eq!(instant_of(text, utc), None, "{text}");
        }
    }

    #[test]
    fn the_day_that_is_none_is_none() {
        for (item, expected) in [
            ("0000-00-00", Ok(None)),
            ("0000-00-00 00:00:00", Ok(None)),
            ("0000-00-01", Err(RecordError::Time("at"))),
        ] {
            let item = format!("{{\"at\":\"{item}\"}}");
            let item = Object::parse(&item).unwrap();
            assert_eq!(item.instant("at", Tz::UTC), expected);
        }
    }

    #[test]
    fn local_times_are_read_at_clock_changes() {
        let vilnius = chrono_tz::Europe::Vilnius;
        assert_eq!(
            instant_of("2024-03-31 03:30:00", vilnius).as_deref(),
            Some("2024-03-31T01:30:00Z")
        );
        assert_eq!(
            instant_of("2024-10-27 03:30:00", vilnius).as_deref(),
            Some("2024-10-27T00:30:00Z")
        );
    }
}
