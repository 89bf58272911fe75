//! What the simulator is told: the providers, their history, their life and their habits.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// A simulated API; its `slug` is the path prefix and the ledger's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Provider {
    /// `GET /api/v1/payments`.
    Convergegate,
    /// `POST /api/v2/transactions/list`.
    BegatewayDwh,
    /// `POST /api/reports`.
    BegatewayReport,
    /// `POST /v1/operations/get`.
    Ecommpay,
    /// `GET /api/v2/transactions`.
    Firekassa,
}

impl Provider {
    /// Every simulated API.
    pub const ALL: [Self; 5] = [
        Self::Convergegate,
        Self::BegatewayDwh,
        Self::BegatewayReport,
        Self::Ecommpay,
        Self::Firekassa,
    ];

    /// The provider's name in paths and configurations.
    pub fn slug(self) -> &'static str {
        match self {
            Self::Convergegate => "convergegate",
            Self::BegatewayDwh => "begateway_dwh",
            Self::BegatewayReport => "begateway_report",
            Self::Ecommpay => "ecommpay",
            Self::Firekassa => "firekassa",
        }
    }

    /// The provider of that name.
    pub fn by_slug(slug: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|provider| provider.slug() == slug)
    }

    pub(crate) fn position(self) -> u8 {
        match self {
            Self::Convergegate => 0,
            Self::BegatewayDwh => 1,
            Self::BegatewayReport => 2,
            Self::Ecommpay => 3,
            Self::Firekassa => 4,
        }
    }

    pub(crate) fn is_begateway(self) -> bool {
        matches!(self, Self::BegatewayDwh | Self::BegatewayReport)
    }

    /// Whether the API says which rows are tests.
    pub(crate) fn marks_tests(self) -> bool {
        self.is_begateway()
    }
}

/// Rows that are inserted and changed after every page that was served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BetweenPages {
    /// New rows, created "now".
    pub insert: u32,
    /// Rows of the page just served that are updated "now", so that they leave a closed window.
    pub update: u32,
}

/// Everything that can be chosen before the simulator starts.
#[derive(Debug, Clone)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own for something that a provider leaves open"
)]
pub struct Settings {
    /// Rows of history per provider.
    pub rows: u64,
    /// Equal seeds give equal histories.
    pub seed: u64,
    /// Start of the history.
    pub from: DateTime<Utc>,
    /// End of the history, exclusive: the moment of the start.
    pub until: DateTime<Utc>,
    /// Every so-manieth row of the history has changed once more at its end; 0 for none.
    pub changed: u32,
    /// How many rows of the history share one creation instant, in its middle.
    pub burst: u32,
    /// New rows per second and provider while the simulator runs.
    pub rate: u32,
    /// Changes of existing rows per minute and provider while the simulator runs.
    pub churn: u32,
    /// How many of 1000 requests are answered with a fault.
    pub fail_per_mille: u32,
    /// Time that every answer takes.
    pub latency: Duration,
    /// Most rows of a page, below what the API itself allows.
    pub page_cap: Option<u32>,
    /// Bytes of written rows that are kept per provider, so that reading them again costs next to nothing.
    pub keep: usize,
    /// Rows that change while a client reads.
    pub between_pages: BetweenPages,
    /// A clock that stands still here until it is moved; else the machine's.
    pub now: Option<DateTime<Utc>>,
    /// DWH: `date_to` is inclusive (undocumented).
    pub dwh_date_to_inclusive: bool,
    /// DWH: an installation of 2023, which knows no `uid_from`, `uid_to` and `next_uid`.
    pub dwh_without_uids: bool,
    /// DWH: `test = true` shows test rows besides the others instead of alone (undocumented).
    pub dwh_test_adds: bool,
    /// ECommPay: signatures sort paths as plain text instead of in natural order.
    pub ecommpay_lexical: bool,
    /// FireKassa: the sign token; without one, signatures are neither asked for nor checked.
    pub firekassa_sign_token: Option<String>,
    /// FireKassa: the creation filter that works, `create_at` (`start`, `end`) or `created_at`
    /// (`min`, `max`); the other is ignored.
    pub firekassa_created_filter: String,
}

impl Settings {
    /// 10 000 rows in the `days` before `now`, without life and faults.
    pub fn new(now: DateTime<Utc>, days: u32) -> Self {
        Self {
            rows: 10_000,
            seed: 1,
            from: now - TimeDelta::days(i64::from(days)),
            until: now,
            changed: 0,
            burst: 0,
            rate: 0,
            churn: 0,
            fail_per_mille: 0,
            latency: Duration::ZERO,
            page_cap: None,
            keep: 0,
            between_pages: BetweenPages::default(),
            now: None,
            dwh_date_to_inclusive: false,
            dwh_without_uids: false,
            dwh_test_adds: false,
            ecommpay_lexical: false,
            firekassa_sign_token: None,
            firekassa_created_filter: "create_at".to_owned(),
        }
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let now = "2026-03-01T12:00:00Z".parse().unwrap();
        Self {
            rows: 1_000,
            now: Some(now),
            ..Self::new(now, 30)
        }
    }
}
