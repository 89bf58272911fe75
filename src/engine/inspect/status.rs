//! The state of each account and stream, and what an operator can do.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::engine::account::Account;
use crate::store::inspect::health::{Minute, QuarantineReason, StreamCoverage, StreamHealth};
use crate::store::{Store, StoreError};
use paysync_provider::model::format::duration;
use paysync_provider::model::{IntervalSet, Window};

/// The time over which the pace of a backfill is measured.
const PACE_SECONDS: i64 = 600;

/// Polls that a ready process may miss in a row.
const MAX_MISSED_POLLS: i32 = 5;

/// A stream with nothing else to do that is this much later than expected is failing: no process reads it.
pub(super) const STALE_SECONDS: i64 = 15 * 60;

/// The answer of `status --json` and `/status.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Whether no account fails or waits for an operator.
    pub healthy: bool,
    /// The program's version.
    pub version: &'static str,
    /// The database's clock when the status was loaded.
    pub generated_at: DateTime<Utc>,
    /// The accounts, by id.
    pub accounts: Vec<AccountStatus>,
    /// What was read in each minute of the last hour, oldest first, by all processes.
    pub last_hour: Vec<Minute>,
    /// Why items are in quarantine, the most recent reasons first.
    pub quarantine: Vec<QuarantineReason>,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountStatus {
    /// Its id.
    pub id: String,
    /// Code of its provider.
    pub provider: String,
    /// Its state.
    pub state: State,
    /// What an operator can do.
    pub hint: Option<String>,
    /// Its streams, by name.
    pub streams: Vec<StreamStatus>,
}

/// The state of an account, which is the worst one of its streams; the worst comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Everything wanted is covered.
    Ok,
    /// Older history is still being read.
    Backfilling,
    /// Something keeps failing, or no process reads it.
    Failing,
    /// It waits for an operator.
    Suspended,
    /// An operator paused it.
    Paused,
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamStatus {
    /// Its name.
    pub stream: String,
    /// `history` or `change`.
    pub role: String,
    /// First instant that must be covered.
    pub wanted_from: DateTime<Utc>,
    /// Now minus the newest covered instant.
    pub lag_seconds: i64,
    /// The oldest covered instant.
    pub covered_from: Option<DateTime<Utc>>,
    /// End of the newest covered instant.
    pub covered_until: Option<DateTime<Utc>>,
    /// Time wanted, and neither covered nor in an open window.
    pub gap_seconds: i64,
    /// Open windows: begun, and not read to their end.
    pub open_windows: i64,
    /// Time covered since `wanted_from`.
    pub covered_seconds: i64,
    /// How long the backfill will take at the pace of the last ten minutes; none if it stands still
    /// or there is nothing to fill.
    pub eta_seconds: Option<i64>,
    /// What is covered, oldest first.
    pub covered: Vec<Span>,
    /// The open windows that fill gaps, oldest first.
    pub filling: Vec<Span>,
    /// Items in quarantine.
    pub quarantined_items: i64,
    /// The last error.
    pub last_error: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A half-open interval of time: `to` is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Its start.
    pub from: DateTime<Utc>,
    /// Its end.
    pub to: DateTime<Utc>,
}

/// The status of these accounts; those that are not configured any more are left out.
pub async fn load(store: &Store, accounts: &[Arc<Account>]) -> Result<Status, StoreError> {
    let find = |id: &str| accounts.iter().find(|account| account.id == id);
    let mut health = store.health().await?;
    health.retain(|stream| {
        find(&stream.account_id).is_some_and(|account| account.stream(&stream.stream).is_some())
    });
    let coverage = store.coverage().await?;
    let mut quarantine = store.quarantine_reasons().await?;
    quarantine.retain(|reason| find(&reason.account_id).is_some());
    let mut known = known(health, &coverage);
    for account in accounts {
        if !known.iter().any(|known| known.id == account.id) {
            known.push(unread(store, account).await?);
        }
    }
    known.sort_by(|a, b| a.id.cmp(&b.id));
    let fails =
        |account: &AccountStatus| [State::Failing, State::Suspended].contains(&account.state);
    Ok(Status {
        healthy: !known.iter().any(fails),
        version: env!("CARGO_PKG_VERSION"),
        generated_at: store.ping().await?,
        accounts: known,
        last_hour: store.last_hour().await?,
        quarantine,
    })
}

/// The status of accounts by their streams.
fn known(health: Vec<StreamHealth>, coverage: &[StreamCoverage]) -> Vec<AccountStatus> {
    let mut accounts: Vec<AccountStatus> = Vec::new();
    for stream in health {
        let state = state(&stream);
        let is_its =
            |of: &&StreamCoverage| of.account_id == stream.account_id && of.stream == stream.stream;
        let coverage = coverage.iter().find(is_its);
        match accounts.last_mut() {
            Some(account) if account.id == stream.account_id => {
                if state > account.state {
                    account.state = state;
                    account.hint = hint(&stream, state);
                }
                account.streams.push(StreamStatus::of(stream, coverage));
            }
            _ => accounts.push(AccountStatus {
                id: stream.account_id.clone(),
                provider: stream.provider.clone(),
                state,
                hint: hint(&stream, state),
                streams: vec![StreamStatus::of(stream, coverage)],
            }),
        }
    }
    accounts
}

/// The status of an account that no process has begun to read.
async fn unread(store: &Store, account: &Account) -> Result<AccountStatus, StoreError> {
    let (state, hint) = if store.is_paused(&account.id).await? {
        (State::Paused, "paysync resume starts it again")
    } else {
        let hint = "not read yet: paysync sync, or paysync run";
        (State::Backfilling, hint)
    };
    Ok(AccountStatus {
        id: account.id.clone(),
        provider: account.spec.code.to_owned(),
        state,
        hint: Some(hint.to_owned()),
        streams: Vec::new(),
    })
}

/// Streams whose newest covered instant does not move, though they wait for no operator: a line each. A
/// process with such a stream is not ready.
pub async fn stalled_streams(
    store: &Store,
    accounts: &[Arc<Account>],
) -> Result<Vec<String>, StoreError> {
    let health = store.health().await?;
    let mut stalled = Vec::new();
    for account in accounts {
        for stream in &account.streams {
            let name = &stream.spec.name;
            let is_its = |of: &&StreamHealth| of.account_id == account.id && of.stream == *name;
            let found = health.iter().find(is_its);
            let missed = stream.policy.poll_interval * MAX_MISSED_POLLS;
            let tolerance = missed.num_seconds().max(60);
            let is_stalled = |health: &StreamHealth| {
                !health.paused
                    && health.suspended_reason.is_none()
                    && health.lag_seconds > health.expected_lag_seconds + tolerance
            };
            let state = match found {
                Some(health) if !is_stalled(health) => continue,
                Some(health) if health.covered_until.is_some() => {
                    format!("no progress, {} behind", duration(health.lag_seconds))
                }
                _ => "nothing was read yet".to_owned(),
            };
            stalled.push(format!("{} {name}: {state}", account.id));
        }
    }
    Ok(stalled)
}

impl State {
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
    } else if stream.gap_seconds > 0
        || stream.backfill_windows > 0
        || (stream.covered_until.is_none() && stream.lag_seconds > stream.expected_lag_seconds)
    {
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
            Some("check that paysync run is running: nothing was read lately".to_owned())
        }
        _ => stream.hint.clone(),
    }
}

impl StreamStatus {
    fn of(stream: StreamHealth, coverage: Option<&StreamCoverage>) -> Self {
        let hint = hint(&stream, state(&stream));
        let seconds = |set: &IntervalSet| set.length().num_seconds();
        let span = |window: &Window| Span {
            from: window.start(),
            to: window.end(),
        };
        let spans = |set: &IntervalSet| set.windows().iter().map(span).collect();
        let nothing = IntervalSet::default();
        let (covered, filling, pace) = coverage.map_or((&nothing, &nothing, 0), |it| {
            (&it.covered, &it.filling, it.recent_seconds)
        });
        let left = stream.gap_seconds + seconds(filling);
        Self {
            stream: stream.stream,
            role: stream.role,
            wanted_from: stream.wanted_from,
            lag_seconds: stream.lag_seconds,
            covered_from: stream.covered_from,
            covered_until: stream.covered_until,
            gap_seconds: stream.gap_seconds,
            open_windows: stream.open_windows,
            covered_seconds: seconds(covered),
            eta_seconds: (left > 0 && pace > 0).then(|| left.saturating_mul(PACE_SECONDS) / pace),
            covered: spans(covered),
            filling: spans(filling),
            quarantined_items: stream.quarantined_items,
            last_error: stream.last_error,
            hint,
        }
    }
}
