//! Erasure of one person: personal columns become null and payloads are deleted; rows, amounts and times stay.
//!
//! It works beside the daemon without a lease. It waits for rows that are being written, and marks them as
//! erased: later writes keep the personal columns empty (see the upsert and `quarantine.rs`).

use std::ops::AddAssign;
use std::sync::LazyLock;

use crate::number::{count, unsigned};
use crate::store::{Store, StoreError, columns};

/// The number of rows that were erased, or would be, by table.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    /// Transactions.
    pub rows: u64,
    /// Replaced versions of transactions.
    pub versions: u64,
    /// Payloads deleted.
    pub payloads: u64,
    /// Items in quarantine deleted.
    pub quarantined: u64,
}

/// Empties the personal columns of rows, and of their versions: `$1` account, `$2` ids.
static EMPTY: LazyLock<[String; 2]> = LazyLock::new(|| {
    let emptied = columns::emptied_personal();
    ["transactions", "transaction_history"].map(|table| {
        format!(
            "UPDATE paysync.{table} SET {emptied}, erased_at = now(), changed_at = now() \
             WHERE account_id = $1 AND provider_transaction_id = ANY($2)"
        )
    })
});

impl AddAssign for Erased {
    fn add_assign(&mut self, batch: Self) {
        self.rows += batch.rows;
        self.versions += batch.versions;
        self.payloads += batch.payloads;
        self.quarantined += batch.quarantined;
    }
}

impl Store {
    /// All accounts that the database knows, configured or not.
    pub async fn account_ids(&self) -> Result<Vec<String>, StoreError> {
        let ids =
            sqlx::query_scalar!("SELECT account_id FROM paysync.accounts ORDER BY account_id")
                .fetch_all(self.one_shot())
                .await?;
        Ok(ids)
    }

    /// The ids of an account's rows with a person as `customer_id` or `customer_email`, now or in a replaced
    /// version, in order. Reads the whole account.
    pub async fn rows_of_person(
        &self,
        account_id: &str,
        person: &str,
    ) -> Result<Vec<String>, StoreError> {
        let ids = sqlx::query_scalar!(
            r#"
            SELECT provider_transaction_id AS "id!"
            FROM paysync.transactions
            WHERE account_id = $1 AND (customer_id = $2 OR customer_email = $2)
            UNION
            SELECT provider_transaction_id
            FROM paysync.transaction_history
            WHERE account_id = $1 AND (customer_id = $2 OR customer_email = $2)
            ORDER BY 1
            "#,
            account_id,
            person,
        )
        .fetch_all(self.one_shot())
        .await?;
        Ok(ids)
    }

    /// How many items in quarantine contain the person as a JSON string and belong to none of these rows.
    pub async fn other_mentions(
        &self,
        account_id: &str,
        person: &str,
        ids: &[String],
    ) -> Result<u64, StoreError> {
        let quoted = serde_json::Value::from(person).to_string();
        let items = sqlx::query_scalar!(
            r#"
            SELECT count(*) AS "count!"
            FROM paysync.quarantine
            WHERE account_id = $1 AND position($2 IN payload) > 0
              AND (provider_transaction_id = ANY($3)) IS NOT TRUE
            "#,
            account_id,
            quoted,
            ids,
        )
        .fetch_one(self.one_shot())
        .await?;
        Ok(unsigned(items))
    }

    /// What [`Store::erase`] would do; writes nothing.
    pub async fn preview_erase(
        &self,
        account_id: &str,
        ids: &[String],
    ) -> Result<Erased, StoreError> {
        let row = sqlx::query!(
            r#"
            SELECT (
                SELECT count(*) FROM paysync.transactions WHERE account_id = $1 AND provider_transaction_id = ANY($2)
            ) AS "rows!", (
                SELECT count(*) FROM paysync.transaction_history WHERE account_id = $1 AND provider_transaction_id = ANY($2)
            ) AS "versions!", (
                SELECT count(*) FROM paysync.raw_transactions WHERE account_id = $1 AND provider_transaction_id = ANY($2)
            ) AS "payloads!", (
                SELECT count(*) FROM paysync.quarantine WHERE account_id = $1 AND provider_transaction_id = ANY($2)
            ) AS "quarantined!"
            "#,
            account_id,
            ids,
        )
        .fetch_one(self.one_shot())
        .await?;
        Ok(Erased {
            rows: unsigned(row.rows),
            versions: unsigned(row.versions),
            payloads: unsigned(row.payloads),
            quarantined: unsigned(row.quarantined),
        })
    }

    /// Erases the person from these rows, in one transaction. It makes no version: nothing changed at the
    /// provider.
    pub async fn erase(&self, account_id: &str, ids: &[String]) -> Result<Erased, StoreError> {
        let mut session = self.session().await?;
        let mut work = session.begin().await?;
        // In the order in which pages write rows. Once they are locked, the next statements see everything that others
        // stored about them.
        let held = sqlx::query_scalar!(
            r#"
            SELECT provider_transaction_id
            FROM paysync.transactions
            WHERE account_id = $1 AND provider_transaction_id = ANY($2)
            ORDER BY provider_transaction_id
            FOR NO KEY UPDATE
            "#,
            account_id,
            ids,
        )
        .fetch_all(&mut work)
        .await?;
        let [rows, versions] = &*EMPTY;
        let empty = |sql: &'static str| sqlx::query(sql).bind(account_id).bind(&held);
        empty(rows).execute(&mut work).await?;
        let versions = empty(versions).execute(&mut work).await?;
        let payloads = sqlx::query!(
            "DELETE FROM paysync.raw_transactions WHERE account_id = $1 AND provider_transaction_id = ANY($2)",
            account_id,
            &held,
        )
        .execute(&mut work)
        .await?;
        let quarantined = sqlx::query!(
            "DELETE FROM paysync.quarantine WHERE account_id = $1 AND provider_transaction_id = ANY($2)",
            account_id,
            &held,
        )
        .execute(&mut work)
        .await?;
        work.commit().await?;
        session.return_to_pool();
        Ok(Erased {
            rows: count(held.len()),
            versions: versions.rows_affected(),
            payloads: payloads.rows_affected(),
            quarantined: quarantined.rows_affected(),
        })
    }
}
