//! A provider's declaration of its streams, limits, credentials and redaction keys.

use std::ops::RangeInclusive;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::model::{PaymentLinks, Status, Window};

/// A provider's properties that the engine depends on.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The `provider` of an account.
    pub code: &'static str,
    /// Link to the API's documentation page.
    pub documentation: &'static str,
    /// The streams: each one lists the account's transactions along one time axis.
    pub streams: Vec<StreamSpec>,
    /// Authentication scheme.
    pub auth: Auth,
    /// Keys that an account's `credentials` must have.
    pub credentials: &'static [&'static str],
    /// Further keys that `credentials` may have.
    pub optional_credentials: &'static [&'static str],
    /// Default number of items per page.
    pub page_size: u32,
    /// Largest number of items per page that the API allows.
    pub max_page_size: u32,
    /// Default number of requests in any 60 s; at most 60 where the API documents no limit.
    pub requests_per_minute: u32,
    /// Default time limit for one answer.
    pub timeout: Duration,
    /// The shortest wait after a 429.
    pub retry_after_floor: Duration,
    /// Requests for rows by id; none if the API has none.
    pub by_id: Option<ById>,
    /// Key of an item that holds the provider's id of the row. It identifies the row of an item that
    /// is not parsed yet or cannot be parsed.
    pub id_key: &'static str,
    /// Which columns say that rows are one payment.
    pub payment_links: PaymentLinks,
    /// Keys of an item that the redaction treats specially.
    pub redaction: Redaction,
}

/// One list of an account's transactions along one time axis.
#[derive(Debug, Clone)]
pub struct StreamSpec {
    /// Name, unique within the provider.
    pub name: String,
    /// Where coverage starts.
    pub role: Role,
    /// Paging scheme.
    pub paging: Paging,
    /// The item's time that the window filters, if items contain it.
    pub axis: Option<TimeField>,
    /// Resolution of the API's time filter: windows start and end on multiples of it.
    pub unit: TimeDelta,
    /// How far outside a window correct rows may lie, because the request widens its bounds.
    pub slack: TimeDelta,
    /// Longest window that the API accepts or answers in reasonable time.
    pub max_window: TimeDelta,
    /// How long rows take to become visible; 30 s where the API documents nothing.
    pub lag: TimeDelta,
    /// How far each poll reads back before the end of coverage; 10 min to 1 h where the API documents
    /// nothing.
    pub overlap: TimeDelta,
    /// When to read old windows again: rarely if this or another stream lists changes, often if none
    /// does.
    pub rescan: Vec<Tier>,
    /// When to request rows that are not final again, by id; empty if the API cannot.
    pub repoll: Vec<Tier>,
    /// When to compare the provider's count with the stored rows; empty if the API cannot count.
    pub audit: Vec<Tier>,
    /// Whether a page with fewer items than requested is the last one.
    pub short_page_ends: bool,
}

impl StreamSpec {
    /// The times that rows of this window may have.
    pub fn accepted_times(&self, window: Window) -> RangeInclusive<DateTime<Utc>> {
        (window.start() - self.slack)..=(window.end() + self.slack)
    }
}

/// Where a stream's coverage starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// At the account's `start_from`. The axis may be a time of change if the API has no other.
    History,
    /// When the account was added: the stream lists changes to older rows.
    Change,
}

impl Role {
    /// The value of the `role` column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Change => "change",
        }
    }
}

/// How the pages of a window follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    /// By the provider's cursor: any number of pages is safe.
    Keyset,
    /// By page number, in an order that is stable inside a closed window.
    Numbered,
    /// By offset, in an order that shifts: windows are split until one page holds them.
    Shifting,
}

/// The field of an item that holds the time that a stream's windows filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeField {
    /// Which time it is.
    pub axis: Axis,
    /// Key of an item.
    pub key: &'static str,
    /// Zone of times without an offset.
    pub zone: Tz,
}

/// A transaction's time that a stream's windows filter, by its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// `created_at`
    Created,
    /// `updated_at`
    Updated,
    /// `updated_at` of manually corrected rows: a row without it does not belong to the stream.
    Corrected,
    /// `paid_at`
    Paid,
    /// `settled_at`
    Settled,
}

/// Authentication scheme; the fields are keys of `credentials`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Basic`.
    Basic {
        /// Key of the user name.
        user: &'static str,
        /// Key of the password.
        password: &'static str,
    },
    /// `Authorization: Bearer`.
    Bearer {
        /// Key of the token.
        token: &'static str,
    },
    /// [`Provider::authenticate`](crate::Provider::authenticate) signs the request.
    Signed,
}

/// Requests for rows by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ById {
    /// Largest number of ids in one request.
    pub batch: u32,
    /// Statuses of rows that may still change.
    pub statuses: &'static [Status],
}

/// Rows up to the age `within` are read again once per `every`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// Largest age.
    pub within: TimeDelta,
    /// Time between two readings.
    pub every: TimeDelta,
}

impl Tier {
    /// Rows up to `days` old are read again every `hours`.
    pub const fn new(days: i64, hours: i64) -> Self {
        Self {
            within: TimeDelta::days(days),
            every: TimeDelta::hours(hours),
        }
    }
}

/// Keys of an item that the redaction treats specially; compared case-sensitively.
#[derive(Debug, Clone, Copy, Default)]
pub struct Redaction {
    /// Identifiers, amounts and times: never masked, even if the digits look like a card number.
    pub exact: &'static [&'static str],
    /// Keys that hold card numbers: masked even if the check digit is wrong.
    pub cards: &'static [&'static str],
    /// Keys dropped with their value, in addition to those dropped for every provider.
    pub dropped: &'static [&'static str],
    /// Columns of a transaction that are made of `exact` keys.
    pub exact_columns: &'static [&'static str],
}
