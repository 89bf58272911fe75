//! The streams of the report: one per time axis and payment method.

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::options::DateType;
use crate::spec::{Axis, Paging, Role, StreamSpec, Tier, TimeField};

const SECOND: TimeDelta = TimeDelta::seconds(1);
const DAY: TimeDelta = TimeDelta::days(1);

/// The time that a stream's windows filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamAxis {
    Date(DateType),
    Corrections,
}

impl StreamAxis {
    /// The first part of a stream's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Date(date_type) => date_type.as_str(),
            Self::Corrections => "manually_corrected_at",
        }
    }

    /// The stream of one payment method.
    pub(super) fn stream(self, method: &str, zone: Tz) -> StreamSpec {
        // Requests are in UTC, except calendar days.
        let field = |axis, key, zone| Some(TimeField { axis, key, zone });
        let change = StreamSpec {
            name: format!("{}/{method}", self.name()),
            role: Role::Change,
            paging: Paging::Keyset,
            axis: None,
            unit: SECOND,
            slack: SECOND,
            max_window: DAY,
            lag: TimeDelta::seconds(30),
            overlap: TimeDelta::hours(1),
            rescan: Vec::new(),
            repoll: Vec::new(),
            audit: Vec::new(),
            short_page_ends: false,
        };
        match self {
            Self::Date(DateType::Created) => StreamSpec {
                role: Role::History,
                axis: field(Axis::Created, "created_at", Tz::UTC),
                rescan: vec![Tier::new(3, 1), Tier::new(35, 24)],
                ..change
            },
            Self::Date(DateType::Paid) => StreamSpec {
                axis: field(Axis::Paid, "paid_at", Tz::UTC),
                ..change
            },
            Self::Date(DateType::Settled) => StreamSpec {
                axis: field(Axis::Settled, "settled_at", zone),
                unit: DAY,
                // Requests are widened by a day at either end, and the account's days differ from UTC's.
                slack: DAY * 2,
                max_window: DAY * 14,
                // With each new day, the settlements of the last days are read again.
                overlap: DAY * 7,
                ..change
            },
            Self::Corrections => StreamSpec {
                axis: field(Axis::Corrected, "manually_corrected_at", Tz::UTC),
                ..change
            },
        }
    }
}
