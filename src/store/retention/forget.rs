//! Forgetting an account: everything of it is removed, and one record stays.
//!
//! It works under the account's lease, in short transactions. The first removes the coverage, so that no
//! coverage is ever claimed for removed rows. Each of the others proves and renews the lease at its end, as
//! a page does, and adds what it removed to the record. The run can stop after any of them; the next goes on.
//!
//! Processes without the lease may write meanwhile. A replay makes rows of items in quarantine, so the
//! quarantine is emptied before the rows. Maintenance and a recount write sums, so the last transaction waits
//! for them and removes what they left.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::types::Json;

use crate::failpoint::failpoint;
use crate::number::{milliseconds, signed};
use crate::store::pool::DbWork;
use crate::store::{Store, StoreError};

/// Rows of a table removed by one transaction: some tens of milliseconds of work.
const BATCH: i64 = 2000;

/// Tables whose rows belong to a transaction; each batch removes the same ids from all of them. `transactions`
/// comes first, as in all statements that lock rows.
const ROWS: [&str; 3] = ["transactions", "raw_transactions", "transaction_history"];

/// The other tables, with the rest of their key, in the order in which they are emptied, before the rows.
const OTHERS: [(&str, &[&str]); 6] = [
    ("daily_sums", &["entry_id"]),
    ("quarantine", &["stream", "payload_hash"]),
    ("windows", &["window_id"]),
    ("window_totals", &["stream", "lane", "day"]),
    ("rescans", &["stream", "lane", "within_seconds"]),
    ("streams", &["stream"]),
];

/// Counts the rows of an account `$1` in each of [`tables`].
static COUNT: LazyLock<String> = LazyLock::new(|| {
    let counts = tables()
        .map(|table| format!("(SELECT count(*) FROM paysync.{table} WHERE account_id = $1)"));
    format!("SELECT ARRAY[{}]", counts.collect::<Vec<_>>().join(", "))
});

/// Removes the rows of an account `$1` from [`ROWS`]: first the statements for the ids after `$2` up to `$3`,
/// then those for all after `$2`.
static REMOVE_ROWS: LazyLock<[[String; 2]; 3]> = LazyLock::new(|| {
    ROWS.map(|table| {
        let all = format!(
            "DELETE FROM paysync.{table} WHERE account_id = $1 AND provider_transaction_id > $2"
        );
        [format!("{all} AND provider_transaction_id <= $3"), all]
    })
});

/// Removes a batch of rows of an account `$1` from each of [`OTHERS`]. They are found by their key, as a
/// distributed table has no other address. The limit is no parameter: the planner must know it.
static REMOVE_OTHERS: LazyLock<[String; 6]> = LazyLock::new(|| {
    OTHERS.map(|(table, key)| {
        let names = key.join(", ");
        let same = key.iter().map(|name| format!("held.{name} = batch.{name}"));
        let same = same.collect::<Vec<_>>().join(" AND ");
        format!(
            "DELETE FROM paysync.{table} AS held
             USING (SELECT {names} FROM paysync.{table} WHERE account_id = $1 ORDER BY {names} LIMIT {BATCH}) AS batch
             WHERE held.account_id = $1 AND {same}"
        )
    })
});

/// Rows by table.
pub type RowCounts = BTreeMap<String, i64>;

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
    Held {
        /// The process.
        holder: String,
        /// End of its lease.
        until: DateTime<Utc>,
    },
    /// The account is not in the database.
    Unknown,
}

impl Store {
    /// How many rows each table has of an account.
    pub async fn rows_of_account(&self, account_id: &str) -> Result<RowCounts, StoreError> {
        let counts: Vec<i64> = sqlx::query_scalar(COUNT.as_str())
            .bind(account_id)
            .fetch_one(self.one_shot())
            .await?;
        Ok(tables().map(str::to_owned).zip(counts).collect())
    }

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

    /// Removes a batch of rows with all of their payloads and versions: those with the next ids after `after`.
    /// Returns the id after which the next batch starts; none after the last batch.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] if another process took the account over; the batch is rolled back.
    pub async fn forget_transactions(
        &self,
        forgetting: &Forgetting,
        after: &str,
    ) -> Result<Option<String>, StoreError> {
        let mut session = self.session().await?;
        let mut work = session.begin().await?;
        let last = sqlx::query_scalar!(
            r#"
            SELECT provider_transaction_id
            FROM paysync.transactions
            WHERE account_id = $1 AND provider_transaction_id > $2
            ORDER BY provider_transaction_id
            LIMIT 1 OFFSET $3
            "#,
            forgetting.account_id,
            after,
            BATCH - 1,
        )
        .fetch_optional(&mut work)
        .await?;
        let mut removed = RowCounts::new();
        for (table, [up_to_last, all]) in ROWS.iter().zip(&*REMOVE_ROWS) {
            let sql = if last.is_some() { up_to_last } else { all };
            let mut delete = sqlx::query(sql.as_str())
                .bind(&forgetting.account_id)
                .bind(after);
            if let Some(last) = &last {
                delete = delete.bind(last);
            }
            let rows = delete.execute(&mut work).await?.rows_affected();
            removed.insert((*table).to_owned(), signed(rows));
        }
        forgetting.record(&mut work, &removed).await?;
        failpoint("forget.batch.before");
        work.commit().await?;
        session.return_to_pool();
        failpoint("forget.batch.after");
        Ok(last)
    }

    /// Removes a batch of what is no transaction: sums, quarantine, ledger and streams. Returns whether there was any.
    ///
    /// # Errors
    /// As [`Store::forget_transactions`].
    pub async fn forget_others(&self, forgetting: &Forgetting) -> Result<bool, StoreError> {
        let mut session = self.session().await?;
        let mut work = session.begin().await?;
        let removed = forgetting.remove_others(&mut work).await?;
        forgetting.record(&mut work, &removed).await?;
        failpoint("forget.batch.before");
        work.commit().await?;
        session.return_to_pool();
        failpoint("forget.batch.after");
        Ok(!removed.is_empty())
    }

    /// Removes what other processes left meanwhile, and the account itself unless it is to stay; ends the record.
    ///
    /// # Errors
    /// As [`Store::forget_transactions`].
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
        loop {
            let removed = forgetting.remove_others(&mut work).await?;
            forgetting.record(&mut work, &removed).await?;
            if removed.is_empty() {
                break;
            }
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
    /// Removes a batch of rows from the first of [`OTHERS`] that is not empty; nothing if all of them are.
    async fn remove_others(&self, work: &mut DbWork<'_>) -> Result<RowCounts, sqlx::Error> {
        for ((table, _), sql) in OTHERS.iter().zip(&*REMOVE_OTHERS) {
            let delete = sqlx::query(sql.as_str()).bind(&self.account_id);
            let rows = delete.execute(&mut *work).await?.rows_affected();
            if rows > 0 {
                return Ok(RowCounts::from([((*table).to_owned(), signed(rows))]));
            }
        }
        Ok(RowCounts::new())
    }

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
        Some(account) => Begun::Held {
            holder: account.holder,
            until: account.until,
        },
    })
}

/// The tables that have rows of an account.
fn tables() -> impl Iterator<Item = &'static str> {
    ROWS.into_iter().chain(OTHERS.map(|(table, _)| table))
}
