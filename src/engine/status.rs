//! What operators ask: how is each account, and what is to be done.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::supervisor::Engine;
use crate::store::StoreError;
use crate::store::health::StreamHealth;

/// This much later than expected, a stream with nothing else to do is failing: nobody reads it.
const STALE_SECONDS: i64 = 15 * 60;

/// The answer of `status --json` and `/status.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Whether no account fails or waits for an operator.
    pub healthy: bool,
    /// The program's version.
    pub version: &'static str,
    /// The accounts, by id.
    pub accounts: Vec<AccountStatus>,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountStatus {
    /// Its id.
    pub id: String,
    /// Code of its provider.
    pub provider: String,
    /// How it is.
    pub state: State,
    /// What an operator can do.
    pub hint: Option<String>,
    /// Its streams, by name.
    pub streams: Vec<StreamStatus>,
}

/// How an account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Everything wanted is covered.
    Ok,
    /// Older history is still being read.
    Backfilling,
    /// Something keeps failing, or nobody reads it.
    Failing,
    /// It waits for an operator.
    Suspended,
    /// An operator stopped it.
    Paused,
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamStatus {
    /// Its name.
    pub stream: String,
    /// `history` or `change`.
    pub role: String,
    /// Now minus the newest covered instant.
    pub lag_seconds: i64,
    /// The oldest covered instant.
    pub covered_from: Option<DateTime<Utc>>,
    /// End of the newest covered instant.
    pub covered_until: Option<DateTime<Utc>>,
    /// Time wanted and neither covered nor being read.
    pub gap_seconds: i64,
    /// Windows being read.
    pub open_windows: i64,
    /// Items in quarantine; in the table and the metrics, not in the JSON.
    #[serde(skip)]
    pub quarantined_items: i64,
    /// What last went wrong.
    pub last_error: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Engine {
    /// How the accounts of this configuration are; what is no longer configured is not told.
    pub async fn status(&self) -> Result<Status, StoreError> {
        let mut health = self.store.health().await?;
        health.retain(|stream| {
            let account = self
                .accounts
                .iter()
                .find(|account| account.id == stream.account_id);
            account.is_some_and(|account| account.stream(&stream.stream).is_some())
        });
        Ok(Status::of(health))
    }
}

impl Status {
    /// The status that these streams add up to.
    fn of(health: Vec<StreamHealth>) -> Self {
        let mut accounts: Vec<AccountStatus> = Vec::new();
        for stream in health {
            let state = state(&stream);
            match accounts.last_mut() {
                Some(account) if account.id == stream.account_id => {
                    if state.severity() > account.state.severity() {
                        account.state = state;
                        account.hint = hint(&stream, state);
                    }
                    account.streams.push(stream.into());
                }
                _ => accounts.push(AccountStatus {
                    id: stream.account_id.clone(),
                    provider: stream.provider.clone(),
                    state,
                    hint: hint(&stream, state),
                    streams: vec![stream.into()],
                }),
            }
        }
        let healthy = !accounts
            .iter()
            .any(|account| matches!(account.state, State::Failing | State::Suspended));
        Self {
            healthy,
            version: env!("CARGO_PKG_VERSION"),
            accounts,
        }
    }
}

impl State {
    /// The worst stream tells how the account is.
    const fn severity(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Backfilling => 1,
            Self::Failing => 2,
            Self::Suspended => 3,
            Self::Paused => 4,
        }
    }

    /// The word in the JSON and in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Backfilling => "backfilling",
            Self::Failing => "failing",
            Self::Suspended => "suspended",
            Self::Paused => "paused",
        }
    }
}

fn state(stream: &StreamHealth) -> State {
    if stream.paused {
        State::Paused
    } else if stream.suspended_reason.is_some() {
        State::Suspended
    } else if stream.last_error.is_some() {
        State::Failing
    } else if stream.gap_seconds > 0 || stream.open_windows > 0 || stream.covered_until.is_none() {
        State::Backfilling
    } else if stream.lag_seconds > stream.expected_lag_seconds + STALE_SECONDS {
        State::Failing
    } else {
        State::Ok
    }
}

fn hint(stream: &StreamHealth, state: State) -> Option<String> {
    match state {
        State::Paused => Some("paysync resume starts it again".to_owned()),
        State::Failing if stream.last_error.is_none() => {
            Some("nothing was read lately: is paysync run running?".to_owned())
        }
        _ => stream.hint.clone(),
    }
}

impl From<StreamHealth> for StreamStatus {
    fn from(stream: StreamHealth) -> Self {
        let hint = hint(&stream, state(&stream));
        Self {
            stream: stream.stream,
            role: stream.role,
            lag_seconds: stream.lag_seconds,
            covered_from: stream.covered_from,
            covered_until: stream.covered_until,
            gap_seconds: stream.gap_seconds,
            open_windows: stream.open_windows,
            quarantined_items: stream.quarantined_items,
            last_error: stream.last_error,
            hint,
        }
    }
}
