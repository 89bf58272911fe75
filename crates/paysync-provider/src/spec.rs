//! What a provider declares about itself.

use std::ops::RangeInclusive;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::model::{Status, Window};

/// What the engine must know of a provider.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The `provider` of an account.
    pub code: &'static str,
    /// Link to the API's documentation page.
    pub documentation: &'static str,
    /// Ways of walking the account's transactions.
    pub streams: Vec<StreamSpec>,
    /// How a request proves who asks.
    pub auth: Auth,
    /// Keys an account's `credentials` must have.
    pub credentials: &'static [&'static str],
    /// Keys it may have besides.
    pub optional_credentials: &'static [&'static str],
    /// Items asked for per page, unless the account says otherwise.
    pub page_size: u32,
    /// The most the API allows.
    pub max_page_size: u32,
    /// Requests in any 60 s, unless the account says otherwise; at most 60 where nothing is documented.
    pub requests_per_minute: u32,
    /// Time allowed for one answer, unless the account says otherwise.
    pub timeout: Duration,
    /// The shortest wait after a 429.
    pub retry_after_floor: Duration,
    /// How rows can be asked for by id; none where the API cannot.
    pub by_id: Option<ById>,
    /// Key of an item that holds the provider's id of the row: it tells which row an item belongs to
    /// before it is read, and if it cannot be.
    pub id_key: &'static str,
    /// Which keys of an item the redaction must know.
    pub redaction: Redaction,
}

/// One way of walking an account's transactions along one time axis.
#[derive(Debug, Clone)]
pub struct StreamSpec {
    /// Its name, unique within the provider.
    pub name: String,
    /// From when on it must be covered.
    pub role: Role,
    /// How its pages behave.
    pub paging: Paging,
    /// Which of an item's times the window filters, if items show it.
    pub axis: Option<Shown>,
    /// The smallest step of the API's time filter: windows start and end on it and are not cut finer.
    pub unit: TimeDelta,
    /// How far outside a window the API may rightly answer, because the request was widened.
    pub slack: TimeDelta,
    /// The longest window the API takes, or that is wise to ask for.
    pub max_window: TimeDelta,
    /// How long rows take to become visible; 30 s where nothing is documented.
    pub lag: TimeDelta,
    /// How far each poll reads back behind what is covered; 10 min to 1 h where nothing is documented.
    pub overlap: TimeDelta,
    /// When to read old windows again: seldom, where another stream or this one should show every
    /// change; often, where none does.
    pub rescan: Vec<Tier>,
    /// When to ask again, by id, for rows that are not final; empty where the API cannot.
    pub repoll: Vec<Tier>,
    /// When to compare the provider's count with the rows held; empty where the API cannot count.
    pub audit: Vec<Tier>,
    /// Whether a page with fewer items than asked for is the last one.
    pub short_page_ends: bool,
}

impl StreamSpec {
    /// The times that an answer for this window may rightly show.
    pub fn right_times(&self, window: Window) -> RangeInclusive<DateTime<Utc>> {
        (window.start() - self.slack)..=(window.end() + self.slack)
    }
}

/// From when on a stream must be covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// From the account's `start_from`. Its time may be one of change, where the API has no other.
    History,
    /// From the moment the account was first seen: it shows changes to older rows.
    Change,
}

impl Role {
    /// The word in the `role` column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Change => "change",
        }
    }
}

/// How the pages of a window behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    /// Pages follow the provider's cursor; deep paging is safe.
    Keyset,
    /// Page numbers over a stable order inside a closed window.
    Numbered,
    /// Offsets over an order that moves: windows are split until one page holds them.
    Shifting,
}

/// A time that a stream's windows filter, and where items show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The column it becomes.
    pub axis: Axis,
    /// Key of an item that holds it.
    pub key: &'static str,
    /// The zone of times that carry none.
    pub zone: Tz,
}

/// A time of a transaction that a stream's windows filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// `created_at`
    Created,
    /// `updated_at`
    Updated,
    /// `updated_at` of rows that were corrected: one without it does not belong there.
    Corrected,
    /// `paid_at`
    Paid,
    /// `settled_at`
    Settled,
}

/// How a request proves who asks; the fields name keys of `credentials`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// HTTP Basic.
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
    /// The provider's `seal` does it.
    Signed,
}

/// How rows can be asked for by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ById {
    /// Ids in one request, at most.
    pub batch: u32,
    /// Statuses that may still change.
    pub statuses: &'static [Status],
}

/// Re-reads what is younger than `within`, once per `every`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// How far back.
    pub within: TimeDelta,
    /// How often.
    pub every: TimeDelta,
}

/// Which keys of an item the redaction must know. Keys are compared as they are written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Redaction {
    /// Identifiers, amounts and times: digits stay exact even where they look like a card number.
    pub exact: &'static [&'static str],
    /// Keys known to hold card numbers: always cut.
    pub cards: &'static [&'static str],
    /// Keys dropped with their value, besides those dropped for every provider.
    pub dropped: &'static [&'static str],
}
