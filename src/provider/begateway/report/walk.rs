//! The streams of the report: one for each time axis and payment method.

use chrono::TimeDelta;

use super::options::DateType;
use crate::provider::{Axis, Paging, Role, StreamSpec, Tier};

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
    pub(super) fn stream(self, method: &str) -> StreamSpec {
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
                axis: Some(Axis::Created),
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
                axis: Some(Axis::Paid),
                ..change
            },
            Self::Date(DateType::Settled) => StreamSpec {
                axis: Some(Axis::Settled),
                unit: DAY,
                // A day more is asked for at either end, and the account's days are not those of UTC.
                slack: DAY * 2,
                max_window: DAY * 14,
                // Settlements of the last days are read again with each new day.
                overlap: DAY * 7,
                ..change
            },
            Self::Corrections => StreamSpec {
                axis: Some(Axis::Corrected),
                ..change
            },
        }
    }
}
