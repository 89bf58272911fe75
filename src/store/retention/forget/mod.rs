//! Forgetting an account: everything of it is removed, and one record stays.
//!
//! It works under the account's lease, in short transactions. The first removes the coverage, so that no
//! coverage is ever claimed for removed rows. Each of the others proves and renews the lease at its end, as
//! a page does, and adds what it removed to the record. The run can stop after any of them; the next goes on.
//!
//! Processes without the lease may write meanwhile. A replay makes rows of items in quarantine, so the
//! quarantine is emptied before the rows. Maintenance and a recount write sums, so the last transaction waits
//! for them and removes what they left.

mod tables;

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::types::Json;

use crate::failpoint::failpoint;
use crate::number::milliseconds;
use crate::store::pool::DbWork;
use crate::store::{Store, StoreError};
pub use tables::{Batch, RowCounts};
use tables::{remove_others, remove_rows};

/// A record of an account that was forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// When the first of its data was removed.
    pub begun_at: DateTime<Utc>,
    /// When the last was; none as long as some is left.
    pub ended_at: Option<DateTime<Utc>>,
    /// What was removed.
    pub removed: RowCounts,
}

/// The right to forget an account: a lease that each step renews.
#[derive(Debug, Clone)]
pub struct Forgetting {
    account_id: String,
    token: i64,
    ttl: Duration,
}

/// How the attempt to begin ended.
#[derive(Debug, Clone)]
pub enum Begun {
    /// The lease is held and the coverage is gone.
    Begun(Forgetting),
    /// The account must be paused first.
    NotPaused,
    /// Another process holds the lease.
    OtherHolder {
        /// The process.
        holder: String,
        /// End of its lease.
        until: DateTime<Utc>,
    },
    /// The account is not in the database.
    Unknown,
}

impl Store {
    /// The last record of an account.
    pub async fn last_forgotten(&self, account_id: &str) -> Result<Option<Forgotten>, StoreError> {
        let record = sqlx::query!(
            r#"
            SELECT begun_at, ended_at, removed AS "removed: Json<RowCounts>"
            FROM paysync.forgotten_accounts
            WHERE account_id = $1
            ORDER BY begun_at DESC
            LIMIT 1
            "#,
            account_id,
        )
        .fetch_optional(self.one_shot())
        .await?;
        Ok(record.map(|record| Forgotten {
            begun_at: record.begun_at,
            ended_at: record.ended_at,
            removed: record.removed.0,
        }))
    }

    /// Acquires the lease and removes the coverage, in one transaction. From here on the account is paused, so
    /// that no process reads it before all of it is removed. An account that is configured must be paused already.
    pub async fn begin_forgetting(
        &self,
        account_id: &str,
        is_configured: bool,
        holder: &str,
        ttl: Duration,
    ) -> Result<Begun, StoreError> {
        let mut session = self.session().await?;
        let mut work = session.begin().await?;
        let token = sqlx::query_scalar!(
            r#"
            UPDATE paysync.accounts
            SET paused = true,
                lease_holder = $3,
                lease_token = lease_token + 1,
                lease_until = clock_timestamp() + make_interval(secs => $4::bigint / 1000.0)
            WHERE account_id = $1 AND (paused OR NOT $2) AND (lease_until IS NULL OR lease_until < clock_timestamp())
            RETURNING lease_token
            "#,
            account_id,
            is_configured,
            holder,
            milliseconds(ttl),
        )
        .fetch_optional(&mut work)
        .await?;
        let begun = if let Some(token) = token {
            begin(&mut work, account_id, token).await?;
            Begun::Begun(Forgetting {
                account_id: account_id.to_owned(),
                token,
                ttl,
            })
        } else {
            obstacle(&mut work, account_id, is_configured).await?
        };
        failpoint("forget.begin.before");
        work.commit().await?;
        session.return_to_pool();
        failpoint("forget.begin.after");
        Ok(begun)
    }

    /// Removes a batch; returns what the next one removes.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] if another process took the account over; the batch is rolled back.
    pub async fn forget_batch(
        &self,
        forgetting: &Forgetting,
        batch: Batch,
    ) -> Result<Batch, StoreError> {
        let mut session = self.session().await?;
        let mut work = session.begin().await?;
        let account_id = &forgetting.account_id;
        let (removed, next) = match batch {
            Batch::Others => remove_others(&mut work, account_id).await?,
            Batch::Transactions { after } => remove_rows(&mut work, account_id, &after).await?,
            Batch::Nothing => (RowCounts::new(), Batch::Nothing),
        };
        forgetting.record(&mut work, &removed).await?;
        failpoint("forget.batch.before");
        work.commit().await?;
        session.return_to_pool();
        failpoint("forget.batch.after");
        Ok(next)
    }

    /// Removes what other processes left meanwhile, and the account itself unless it is to stay; ends the record.
    ///
    /// # Errors
    /// As [`Store::forget_batch`].
    pub async fn end_forgetting(
        &self,
        forgetting: &Forgetting,
        stays: bool,
    ) -> Result<(), StoreError> {
        let account_id = &forgetting.account_id;
        let mut session = self.session().await?;
        let mut work = session.begin().await?;
        // Sums that are being folded or rebuilt are complete after this.
        sqlx::query!("SELECT paysync.lock_payments($1)", account_id)
            .execute(&mut work)
            .await?;
        let mut next = Batch::Others;
        while next == Batch::Others {
            let removed;
            (removed, next) = remove_others(&mut work, account_id).await?;
            forgetting.record(&mut work, &removed).await?;
        }
        sqlx::query!(
            r#"
            UPDATE paysync.forgotten_accounts SET ended_at = clock_timestamp()
            WHERE account_id = $1 AND ended_at IS NULL
            "#,
            account_id,
        )
        .execute(&mut work)
        .await?;
        if stays {
            // As if it had just been registered, but paused. The provider's rate limit needs left_at.
            sqlx::query!(
                r#"
                UPDATE paysync.accounts
                SET first_seen_at = now(), suspended_reason = NULL, hint = NULL, suspended_at = NULL,
                    lease_holder = NULL, lease_until = NULL, payloads_from = NULL, payloads_after = NULL
                WHERE account_id = $1
                "#,
                account_id,
            )
            .execute(&mut work)
            .await?;
        } else {
            sqlx::query!(
                "DELETE FROM paysync.payment_locks WHERE account_id = $1",
                account_id
            )
            .execute(&mut work)
            .await?;
            sqlx::query!(
                "DELETE FROM paysync.accounts WHERE account_id = $1",
                account_id
            )
            .execute(&mut work)
            .await?;
        }
        failpoint("forget.end.before");
        work.commit().await?;
        session.return_to_pool();
        failpoint("forget.end.after");
        Ok(())
    }
}

impl Forgetting {
    /// Adds what was removed to the record; proves the lease and renews it.
    async fn record(&self, work: &mut DbWork<'_>, removed: &RowCounts) -> Result<(), StoreError> {
        let updated = sqlx::query!(
            r#"
            WITH lease AS (
                UPDATE paysync.accounts
                SET lease_until = clock_timestamp() + make_interval(secs => $3::bigint / 1000.0)
                WHERE account_id = $1 AND lease_token = $2
                RETURNING account_id
            )
            UPDATE paysync.forgotten_accounts AS record
            SET removed = removed || coalesce((
                SELECT jsonb_object_agg(name, coalesce((record.removed ->> name)::bigint, 0) + rows::bigint)
                FROM jsonb_each_text($4) AS batch(name, rows)
            ), '{}')
            WHERE account_id = $1 AND ended_at IS NULL AND EXISTS (SELECT FROM lease)
            "#,
            self.account_id,
            self.token,
            milliseconds(self.ttl),
            Json(removed) as _,
        )
        .execute(work)
        .await?;
        let is_held = updated.rows_affected() == 1;
        is_held.then_some(()).ok_or(StoreError::LeaseLost)
    }
}

/// Removes the coverage, withdraws the open windows, and opens the record or goes on with it. An open window
/// has stored pages that are going to be removed.
async fn begin(work: &mut DbWork<'_>, account_id: &str, token: i64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE paysync.streams SET coverage = '{}' WHERE account_id = $1",
        account_id
    )
    .execute(&mut *work)
    .await?;
    sqlx::query!(
        r#"
        UPDATE paysync.windows SET outcome = 'dropped', closed_at = clock_timestamp()
        WHERE account_id = $1 AND outcome IS NULL
        "#,
        account_id,
    )
    .execute(&mut *work)
    .await?;
    sqlx::query!(
        r#"
        INSERT INTO paysync.forgotten_accounts (account_id, begun_at, lease_token)
        VALUES ($1, clock_timestamp(), $2)
        ON CONFLICT (account_id) WHERE ended_at IS NULL DO UPDATE SET lease_token = EXCLUDED.lease_token
        "#,
        account_id,
        token,
    )
    .execute(work)
    .await?;
    Ok(())
}

/// Why the lease could not be acquired.
async fn obstacle(
    work: &mut DbWork<'_>,
    account_id: &str,
    is_configured: bool,
) -> Result<Begun, sqlx::Error> {
    let account = sqlx::query!(
        r#"
        SELECT paused, coalesce(lease_holder, '') AS "holder!", coalesce(lease_until, now()) AS "until!"
        FROM paysync.accounts
        WHERE account_id = $1
        "#,
        account_id,
    )
    .fetch_optional(work)
    .await?;
    Ok(match account {
        None => Begun::Unknown,
        Some(account) if is_configured && !account.paused => Begun::NotPaused,
        Some(account) => Begun::OtherHolder {
            holder: account.holder,
            until: account.until,
        },
    })
}
