//! The streams of the report: one for each time axis and payment method.

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::options::DateType;
use crate::{Axis, Paging, Role, Shown, StreamSpec, Tier};

const SECOND: TimeDelta = TimeDelta::seconds(1);
const DAY: TimeDelta = TimeDelta::days(1);

/// What a stream goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walk {
    Date(DateType),
    Corrections,
}

impl Walk {
    /// The first part of a stream's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Date(date_type) => date_type.as_str(),
            Self::Corrections => "manually_corrected_at",
        }
    }

    /// How the rows of a payment method are walked.
    pub(super) fn stream(self, method: &str, zone: Tz) -> StreamSpec {
        // All but days are asked for in UTC.
        let shown = |axis, key| {
            Some(Shown {
                axis,
                key,
                zone: Tz::UTC,
            })
        };
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
                axis: shown(Axis::Created, "created_at"),
                rescan: vec![
                    Tier {
                        within: DAY * 3,
                        every: TimeDelta::hours(1),
                    },
                    Tier {
                        within: DAY * 35,
                        every: DAY,
                    },
                ],
                ..change
            },
            Self::Date(DateType::Paid) => StreamSpec {
                axis: shown(Axis::Paid, "paid_at"),
                ..change
            },
            Self::Date(DateType::Settled) => StreamSpec {
                axis: Some(Shown {
                    axis: Axis::Settled,
                    key: "settled_at",
                    zone,
                }),
                unit: DAY,
                // A day more is asked for at either end, and the account's days are not those of UTC.
                slack: DAY * 2,
                max_window: DAY * 14,
                // Settlements of the last days are read again with each new day.
                overlap: DAY * 7,
                ..change
            },
            Self::Corrections => StreamSpec {
                axis: shown(Axis::Corrected, "manually_corrected_at"),
                ..change
            },
        }
    }
}
