//! What operators ask: how is each account, and what is to be done.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::supervisor::Engine;
use crate::store::StoreError;
use crate::store::health::{Minute, QuarantineReason, StreamCoverage, StreamHealth};
use paysync_provider::model::format::duration;
use paysync_provider::model::{IntervalSet, Window};

/// The time over which the pace of a backfill is taken.
const PACE_SECONDS: i64 = 600;

/// Polls that a ready process may miss in a row.
const MISSED_POLLS: i32 = 5;

/// This much later than expected, a stream with nothing else to do is failing: nobody reads it.
const STALE_SECONDS: i64 = 15 * 60;

/// The answer of `status --json` and `/status.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Whether no account fails or waits for an operator.
    pub healthy: bool,
    /// The program's version.
    pub version: &'static str,
    /// The database's clock when it was asked.
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
    /// First instant that must be covered.
    pub wanted_from: DateTime<Utc>,
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
    /// Time covered since `wanted_from`.
    pub covered_seconds: i64,
    /// How long the backfill will take at the pace of the last ten minutes; none if it stands still
    /// or there is nothing to fill.
    pub eta_seconds: Option<i64>,
    /// What is covered, oldest first.
    pub covered: Vec<Span>,
    /// What is being read to fill gaps.
    pub filling: Vec<Span>,
    /// Items in quarantine.
    pub quarantined_items: i64,
    /// What last went wrong.
    pub last_error: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// An interval of time; `to` is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Its start.
    pub from: DateTime<Utc>,
    /// Its end.
    pub to: DateTime<Utc>,
}

impl From<&Window> for Span {
    fn from(window: &Window) -> Self {
        Self {
            from: window.start(),
            to: window.end(),
        }
    }
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
        let coverage = self.store.coverage().await?;
        let mut quarantine = self.store.quarantine_reasons().await?;
        quarantine.retain(|reason| {
            let mut accounts = self.accounts.iter();
            accounts.any(|account| account.id == reason.account_id)
        });
        let mut status = Status::of(health, &coverage);
        status.add_unread(self.unread(&status).await?);
        Ok(Status {
            last_hour: self.store.last_hour().await?,
            quarantine,
            generated_at: self.store.ping().await?,
            ..status
        })
    }

    /// Accounts of this configuration that nobody has begun to read.
    async fn unread(&self, status: &Status) -> Result<Vec<AccountStatus>, StoreError> {
        let mut unread = Vec::new();
        for account in &self.accounts {
            if status.accounts.iter().any(|known| known.id == account.id) {
                continue;
            }
            let paused = self.store.is_paused(&account.id).await?;
            let (state, hint) = if paused {
                (State::Paused, "paysync resume starts it again")
            } else {
                (
                    State::Backfilling,
                    "not read yet: paysync sync, or paysync run",
                )
            };
            unread.push(AccountStatus {
                id: account.id.clone(),
                provider: account.spec.code.to_owned(),
                state,
                hint: Some(hint.to_owned()),
                streams: Vec::new(),
            });
        }
        Ok(unread)
    }

    /// What keeps the process from being ready: streams that nothing waits for, and yet the newest
    /// covered instant does not move.
    pub async fn standstill(&self) -> Result<Vec<String>, StoreError> {
        let health = self.store.health().await?;
        let mut still = Vec::new();
        for account in &self.accounts {
            for stream in &account.streams {
                let name = &stream.spec.name;
                let found = health
                    .iter()
                    .find(|health| health.account_id == account.id && health.stream == *name);
                let patience = (stream.policy.poll_interval * MISSED_POLLS)
                    .num_seconds()
                    .max(60);
                let line = match found {
                    None => format!("{} {name}: nothing was read yet", account.id),
                    Some(health) if health.paused || health.suspended_reason.is_some() => continue,
                    Some(health)
                        if health.lag_seconds <= health.expected_lag_seconds + patience =>
                    {
                        continue;
                    }
                    Some(health) if health.covered_until.is_none() => {
                        format!("{} {name}: nothing was read yet", account.id)
                    }
                    Some(health) => {
                        let lag = duration(health.lag_seconds);
                        format!("{} {name}: no progress, {lag} behind", account.id)
                    }
                };
                still.push(line);
            }
        }
        Ok(still)
    }
}

impl Status {
    /// The status that these streams add up to.
    fn of(health: Vec<StreamHealth>, coverage: &[StreamCoverage]) -> Self {
        let mut accounts: Vec<AccountStatus> = Vec::new();
        for stream in health {
            let state = state(&stream);
            let coverage = coverage
                .iter()
                .find(|c| (&c.account_id, &c.stream) == (&stream.account_id, &stream.stream));
            match accounts.last_mut() {
                Some(account) if account.id == stream.account_id => {
                    if state.severity() > account.state.severity() {
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
        let healthy = !accounts
            .iter()
            .any(|account| matches!(account.state, State::Failing | State::Suspended));
        Self {
            healthy,
            version: env!("CARGO_PKG_VERSION"),
            generated_at: DateTime::UNIX_EPOCH,
            accounts,
            last_hour: Vec::new(),
            quarantine: Vec::new(),
        }
    }
}

impl Status {
    fn add_unread(&mut self, unread: Vec<AccountStatus>) {
        self.accounts.extend(unread);
        self.accounts.sort_by(|a, b| a.id.cmp(&b.id));
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
            Some("nothing was read lately: is paysync run running?".to_owned())
        }
        _ => stream.hint.clone(),
    }
}

impl StreamStatus {
    fn of(stream: StreamHealth, coverage: Option<&StreamCoverage>) -> Self {
        let hint = hint(&stream, state(&stream));
        let spans = |set: &IntervalSet| set.windows().iter().map(Span::from).collect::<Vec<_>>();
        let seconds = |set: &IntervalSet| set.length().num_seconds();
        let left = stream.gap_seconds + coverage.map_or(0, |coverage| seconds(&coverage.filling));
        let pace = coverage.map_or(0, |coverage| coverage.recent_seconds);
        Self {
            stream: stream.stream,
            role: stream.role,
            wanted_from: stream.wanted_from,
            lag_seconds: stream.lag_seconds,
            covered_from: stream.covered_from,
            covered_until: stream.covered_until,
            gap_seconds: stream.gap_seconds,
            open_windows: stream.open_windows,
            covered_seconds: coverage.map_or(0, |coverage| seconds(&coverage.covered)),
            eta_seconds: (left > 0 && pace > 0).then(|| left.saturating_mul(PACE_SECONDS) / pace),
            covered: coverage.map_or_else(Vec::new, |coverage| spans(&coverage.covered)),
            filling: coverage.map_or_else(Vec::new, |coverage| spans(&coverage.filling)),
            quarantined_items: stream.quarantined_items,
            last_error: stream.last_error,
            hint,
        }
    }
}
