//! Accounts and their leases, on the database's clock.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::{Store, StoreError};
use crate::failpoint::failpoint;
use crate::number::{milliseconds, unsigned};

/// The right of this process to work on an account, until another process takes it over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The account.
    pub account_id: String,
    /// Fencing token: a page is stored only under the newest one.
    pub token: i64,
    /// The database's clock when it was acquired.
    pub acquired_at: DateTime<Utc>,
    /// The same instant by the monotonic clock.
    pub acquired: Instant,
    /// When its acquisition was requested: it lasts at least its time to live from here.
    pub asked: Instant,
    /// How long the account had been without a lease; none if it never had one.
    pub idle: Option<Duration>,
}

impl Lease {
    /// The database's clock, computed from when the lease was acquired: it advances steadily, even if the
    /// machine's clock jumps.
    pub fn now(&self) -> DateTime<Utc> {
        self.acquired_at + self.acquired.elapsed()
    }
}

/// The state of an account, read before work on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountState {
    /// When paysync first started with it.
    pub first_seen_at: DateTime<Utc>,
    /// Whether an operator paused it.
    pub paused: bool,
    /// Why it waits for an operator.
    pub suspended_reason: Option<String>,
    /// When the provider last refused it.
    pub suspended_at: Option<DateTime<Utc>>,
    /// The database's clock.
    pub now: DateTime<Utc>,
}

impl Store {
    /// Registers an account, or updates its provider and time zone.
    ///
    /// # Errors
    /// Also if the server does not know the time zone.
    pub async fn register_account(
        &self,
        account_id: &str,
        provider: &str,
        time_zone: &str,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "SELECT paysync.register_account($1, $2, $3)",
            account_id,
            provider,
            time_zone,
        )
        .execute(self.one_shot())
        .await?;
        Ok(())
    }

    /// The state of a registered account.
    pub async fn account(&self, account_id: &str) -> Result<AccountState, StoreError> {
        let state = sqlx::query_as!(
            AccountState,
            r#"
            SELECT first_seen_at, paused, suspended_reason, suspended_at, clock_timestamp() AS "now!"
            FROM paysync.accounts
            WHERE account_id = $1
            "#,
            account_id,
        )
        .fetch_one(self.one_shot())
        .await?;
        Ok(state)
    }

    /// Records that a process is alive, and returns the number of live processes, including this one.
    pub async fn announce(&self, holder: &str, ttl: Duration) -> Result<u64, StoreError> {
        let alive = sqlx::query_scalar!(
            r#"
            WITH gone AS (
                DELETE FROM paysync.processes WHERE alive_until < clock_timestamp() - interval '1 day' AND holder <> $1
            ), announced AS (
                INSERT INTO paysync.processes (holder, alive_until)
                VALUES ($1, clock_timestamp() + make_interval(secs => $2::bigint / 1000.0))
                ON CONFLICT (holder) DO UPDATE SET alive_until = EXCLUDED.alive_until
            )
            SELECT count(*) + 1 AS "alive!"
            FROM paysync.processes
            WHERE alive_until >= clock_timestamp() AND holder <> $1
            "#,
            holder,
            milliseconds(ttl),
        )
        .fetch_one(self.one_shot())
        .await?;
        Ok(unsigned(alive))
    }

    /// Records that a process ends.
    pub async fn withdraw(&self, holder: &str) -> Result<(), StoreError> {
        sqlx::query!("DELETE FROM paysync.processes WHERE holder = $1", holder)
            .execute(self.one_shot())
            .await?;
        Ok(())
    }

    /// Acquires leases on at most `limit` of these accounts, those that have been free the longest first.
    pub async fn acquire(
        &self,
        accounts: &[String],
        holder: &str,
        ttl: Duration,
        limit: i64,
    ) -> Result<Vec<Lease>, StoreError> {
        failpoint("lease.acquire.before");
        let asked = Instant::now();
        let leases = sqlx::query!(
            r#"
            WITH free AS (
                SELECT account_id, greatest(lease_until, left_at) AS held_until
                FROM paysync.accounts
                WHERE account_id = ANY($1) AND NOT paused
                  -- A holder that could not renew its lease (the database was away) may acquire it again.
                  AND (lease_until IS NULL OR lease_until < clock_timestamp() OR lease_holder = $2)
                ORDER BY lease_until NULLS FIRST, account_id
                LIMIT $4
                -- Two processes that acquire at the same time share the accounts and do not wait for each other.
                FOR UPDATE SKIP LOCKED
            )
            UPDATE paysync.accounts
            SET lease_holder = $2,
                lease_token = lease_token + 1,
                lease_until = clock_timestamp() + make_interval(secs => $3::bigint / 1000.0)
            FROM free
            WHERE accounts.account_id = free.account_id
            RETURNING accounts.account_id, accounts.lease_token AS token, clock_timestamp() AS "acquired_at!",
                      free.held_until
            "#,
            accounts,
            holder,
            milliseconds(ttl),
            limit,
        )
        .fetch_all(self.one_shot())
        .await?;
        failpoint("lease.acquire.after");
        let acquired = Instant::now();
        let leases = leases.into_iter().map(|lease| Lease {
            account_id: lease.account_id,
            token: lease.token,
            acquired_at: lease.acquired_at,
            acquired,
            asked,
            // If the holder acquires its own lease again, the end is in the future: idle for zero seconds.
            idle: lease
                .held_until
                .map(|until| (lease.acquired_at - until).to_std().unwrap_or_default()),
        });
        Ok(leases.collect())
    }

    /// Renews leases; returns the accounts of those that were renewed. The others are lost or expired, or
    /// their account is paused.
    pub async fn renew(&self, leases: &[Lease], ttl: Duration) -> Result<Vec<String>, StoreError> {
        failpoint("lease.renew.before");
        let (accounts, tokens) = columns(leases);
        let held = sqlx::query_scalar!(
            r#"
            UPDATE paysync.accounts
            SET lease_until = clock_timestamp() + make_interval(secs => $3::bigint / 1000.0)
            FROM UNNEST($1::text[], $2::bigint[]) AS held(account_id, token)
            WHERE accounts.account_id = held.account_id AND accounts.lease_token = held.token AND NOT accounts.paused
              -- After its end, another process may be acquiring it.
              AND accounts.lease_until >= clock_timestamp()
            RETURNING accounts.account_id
            "#,
            &accounts,
            &tokens,
            milliseconds(ttl),
        )
        .fetch_all(self.one_shot())
        .await?;
        failpoint("lease.renew.after");
        Ok(held)
    }

    /// Releases leases, so that other processes need not wait for their end.
    pub async fn release(&self, leases: &[Lease]) -> Result<(), StoreError> {
        failpoint("lease.release.before");
        let (accounts, tokens) = columns(leases);
        sqlx::query!(
            r#"
            UPDATE paysync.accounts
            SET lease_until = NULL, lease_holder = NULL, left_at = clock_timestamp()
            FROM UNNEST($1::text[], $2::bigint[]) AS held(account_id, token)
            WHERE accounts.account_id = held.account_id AND accounts.lease_token = held.token
            "#,
            &accounts,
            &tokens,
        )
        .execute(self.one_shot())
        .await?;
        failpoint("lease.release.after");
        Ok(())
    }

    /// Marks an account as waiting for an operator.
    pub async fn suspend_account(
        &self,
        lease: &Lease,
        reason: &str,
        hint: &str,
    ) -> Result<(), StoreError> {
        failpoint("suspend_account.before");
        let updated = sqlx::query!(
            r#"
            UPDATE paysync.accounts
            SET suspended_reason = $3, hint = $4, suspended_at = clock_timestamp()
            WHERE account_id = $1 AND lease_token = $2
            "#,
            lease.account_id,
            lease.token,
            reason,
            hint,
        )
        .execute(self.one_shot())
        .await?;
        failpoint("suspend_account.after");
        if updated.rows_affected() == 1 {
            Ok(())
        } else {
            Err(StoreError::LeaseLost)
        }
    }

    /// Lifts the suspension of an account, and of its streams if asked to.
    pub async fn lift_suspension(
        &self,
        account_id: &str,
        streams_too: bool,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            WITH account AS (
                UPDATE paysync.accounts
                SET suspended_reason = NULL, hint = NULL, suspended_at = NULL
                WHERE account_id = $1 AND suspended_reason IS NOT NULL
            ), retried AS (
                UPDATE paysync.windows SET retry_at = NULL
                WHERE account_id = $1 AND outcome IS NULL AND retry_at IS NOT NULL AND $2
            )
            UPDATE paysync.streams
            SET suspended_reason = NULL, hint = NULL, suspended_at = NULL
            WHERE account_id = $1 AND suspended_reason IS NOT NULL AND $2
            "#,
            account_id,
            streams_too,
        )
        .execute(self.one_shot())
        .await?;
        Ok(())
    }

    /// Whether an account is paused; false if it is unknown.
    pub async fn is_paused(&self, account_id: &str) -> Result<bool, StoreError> {
        let paused = sqlx::query_scalar!(
            "SELECT paused FROM paysync.accounts WHERE account_id = $1",
            account_id,
        )
        .fetch_optional(self.one_shot())
        .await?;
        Ok(paused.unwrap_or(false))
    }

    /// Pauses or resumes an account; false if it is unknown.
    pub async fn set_paused(&self, account_id: &str, paused: bool) -> Result<bool, StoreError> {
        let updated = sqlx::query!(
            "UPDATE paysync.accounts SET paused = $2 WHERE account_id = $1",
            account_id,
            paused
        )
        .execute(self.one_shot())
        .await?;
        Ok(updated.rows_affected() == 1)
    }
}

fn columns(leases: &[Lease]) -> (Vec<String>, Vec<i64>) {
    leases
        .iter()
        .map(|lease| (lease.account_id.clone(), lease.token))
        .unzip()
}
