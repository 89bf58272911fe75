//! The settings of the simulator: history, changes, faults, and undocumented behaviour of providers.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// A simulated API.
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
    pub const ALL: [Self; 5] = [
        Self::Convergegate,
        Self::BegatewayDwh,
        Self::BegatewayReport,
        Self::Ecommpay,
        Self::Firekassa,
    ];

    /// The provider's code in configurations, paths and ledgers.
    pub fn slug(self) -> &'static str {
        match self {
            Self::Convergegate => "convergegate",
            Self::BegatewayDwh => "begateway_dwh",
            Self::BegatewayReport => "begateway_report",
            Self::Ecommpay => "ecommpay",
            Self::Firekassa => "firekassa",
        }
    }

    pub fn by_slug(slug: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|provider| provider.slug() == slug)
    }

    pub(crate) fn ordinal(self) -> u8 {
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

    /// Whether items contain a test flag.
    pub(crate) fn marks_tests(self) -> bool {
        self.is_begateway()
    }
}

/// Rows that are inserted and changed after every page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BetweenPages {
    /// Number of new rows, created "now".
    pub insert: u32,
    /// Number of rows of the page that are updated "now", so that they leave a closed window.
    pub update: u32,
}

#[derive(Debug, Clone)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent choices that the documentation of a provider leaves open"
)]
pub struct Settings {
    /// Rows of history per provider.
    pub rows: u64,
    /// Equal seeds give equal histories.
    pub seed: u64,
    /// Start of the history.
    pub from: DateTime<Utc>,
    /// End of the history, exclusive: when the simulator starts.
    pub until: DateTime<Utc>,
    /// Every Nth row of the history has changed once more at its end; 0 for none.
    pub changed: u32,
    /// Rows that are created at the same instant, in the middle of the history.
    pub burst: u32,
    /// New rows per second and provider while the simulator runs.
    pub rate: u32,
    /// Changes of existing rows per minute and provider while the simulator runs.
    pub churn: u32,
    /// Requests of 1000 that are answered with a fault.
    pub fail_per_mille: u32,
    /// Delay of every answer.
    pub latency: Duration,
    /// Largest page size, if below the API's own.
    pub page_cap: Option<u32>,
    /// Bytes of rendered rows to cache per provider.
    pub keep: usize,
    pub between_pages: BetweenPages,
    /// A fixed time, which only tests move; the machine's clock if none.
    pub now: Option<DateTime<Utc>>,
    /// DWH: `date_to` is inclusive (undocumented).
    pub dwh_date_to_inclusive: bool,
    /// DWH: an installation of 2023, without `uid_from`, `uid_to` and `next_uid`.
    pub dwh_without_uids: bool,
    /// DWH: `test = true` lists test rows with the others instead of alone (undocumented).
    pub dwh_test_adds: bool,
    /// ECommPay: signatures sort paths in lexical instead of natural order.
    pub ecommpay_lexical: bool,
    /// FireKassa: the sign token; if none, signatures are not checked.
    pub firekassa_sign_token: Option<String>,
    /// FireKassa: the creation filter in use, `create_at` (`start`, `end`) or `created_at` (`min`,
    /// `max`); the other is ignored.
    pub firekassa_created_filter: String,
}

impl Settings {
    /// 10 000 rows in the `days` before `now`, without changes and faults.
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

    /// A page size of an API, within `page_cap`.
    pub(crate) fn page_limit(&self, size: usize) -> usize {
        let cap = self.page_cap.and_then(|cap| usize::try_from(cap).ok());
        cap.map_or(size, |cap| size.min(cap))
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
