//! The question which rows are new or different, before anything is written.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::session::Work;
use super::transaction::count;

/// As many rows, where news are expected, are not hardly any.
const HARDLY_ANY: i64 = 100;

/// A row to be asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'p> {
    pub(crate) id: &'p str,
    pub(crate) hash: Uuid,
    /// The provider's stamp and when the request was sent, where they are known, of all rows asked for
    /// or of none: without them no row is stale.
    pub(crate) version: Option<(Option<DateTime<Utc>>, DateTime<Utc>)>,
}

/// How the rows of a page compare with what is stored.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Indexes of rows that are new or different, to be written.
    pub(crate) wanted: Vec<usize>,
    /// Whether any of them may be stored already.
    pub(crate) held: bool,
    /// Rows older than what is stored.
    pub(crate) stale: u64,
    /// Rows stored already, just so.
    pub(crate) unchanged: u64,
}

impl Answer {
    /// The answer if nothing could be asked: the upsert applies the same rule by itself.
    pub(crate) fn all_wanted(records: usize) -> Self {
        Self {
            wanted: (0..records).collect(),
            held: true,
            ..Self::default()
        }
    }
}

/// Looks which rows are stored just so, among those created in a span of time: a fraction of the work
/// of [`ask`], where hardly any are stored. None: so many are, or in another version, that it is for
/// [`ask`] to say. What is stored with another time is not seen; whoever writes finds out.
pub(crate) async fn peek(
    connection: &mut Work<'_>,
    account_id: &str,
    asked: &[Asked<'_>],
    created: &RangeInclusive<DateTime<Utc>>,
) -> Result<Option<Answer>, sqlx::Error> {
    let held = sqlx::query!(
        r#"
        SELECT provider_transaction_id AS id, payload_hash AS hash
        FROM paysync.transactions
        -- As in the question below.
        WHERE account_id = (SELECT $1::text) AND created_at BETWEEN $2 AND $3
        ORDER BY created_at
        LIMIT $4
        "#,
        account_id,
        created.start(),
        created.end(),
        HARDLY_ANY,
    )
    .fetch_all(connection)
    .await?;
    if count(held.len()) == HARDLY_ANY.unsigned_abs() {
        return Ok(None);
    }
    let held: BTreeMap<String, Uuid> = held.into_iter().map(|row| (row.id, row.hash)).collect();
    let mut answer = Answer::default();
    for (place, row) in asked.iter().enumerate() {
        match held.get(row.id) {
            None => answer.wanted.push(place),
            Some(hash) if *hash == row.hash => answer.unchanged += 1,
            Some(_) => return Ok(None),
        }
    }
    Ok(Some(answer))
}

/// Asks which rows are new or different: one round trip that sends keys, hashes and stamps, no
/// payloads, and writes nothing. `created`: see [`PageCommit`](super::page::PageCommit).
pub(crate) async fn ask(
    connection: &mut Work<'_>,
    account_id: &str,
    asked: &[Asked<'_>],
    created: Option<&RangeInclusive<DateTime<Utc>>>,
) -> Result<Answer, sqlx::Error> {
    let ids: Vec<&str> = asked.iter().map(|row| row.id).collect();
    let hashes: Vec<Uuid> = asked.iter().map(|row| row.hash).collect();
    // Where no version is known, these stay empty, which PostgreSQL takes for nulls.
    let versions = asked.iter().filter_map(|row| row.version);
    let (updated, observed): (Vec<_>, Vec<_>) = versions.unzip();
    let rows = sqlx::query!(
        r#"
        SELECT asked.place AS "place!",
               held.is_held IS TRUE AS "held!",
               held.is_held AND paysync.is_older(asked.updated_at, asked.observed_at, held.updated_at, held.observed_at)
                   IS TRUE AS "stale!"
        FROM UNNEST($2::text[], $3::uuid[], $4::timestamptz[], $5::timestamptz[]) WITH ORDINALITY
            AS asked(provider_transaction_id, payload_hash, updated_at, observed_at, place)
        LEFT JOIN LATERAL (
            -- One search of the key for each row asked for, never a scan, whatever the statistics of a table that
            -- is being filled are: OFFSET keeps this from being joined in another way, and an account that is not
            -- named here is taken for one like the others. One that is new to the statistics would be taken for
            -- empty, and read as a whole by any index that begins with it.
            SELECT true AS is_held, payload_hash, updated_at, observed_at
            FROM paysync.transactions
            WHERE account_id = (SELECT $1::text) AND transactions.provider_transaction_id = asked.provider_transaction_id
            OFFSET 0
        ) AS held ON true
        WHERE held.payload_hash IS DISTINCT FROM asked.payload_hash
          -- Rows that were created one after another lie side by side: reading all of a span costs a fifth of
          -- searching for each. A span that holds many others is not worth more than twice the rows asked for.
          AND (asked.provider_transaction_id, asked.payload_hash) NOT IN (
              SELECT provider_transaction_id, payload_hash
              FROM (
                  SELECT provider_transaction_id, payload_hash
                  FROM paysync.transactions
                  WHERE account_id = (SELECT $1::text) AND created_at BETWEEN $6 AND $7
                  ORDER BY created_at
                  LIMIT $8
              ) AS near
              -- So few fit into memory: they are hashed, and not gone through for each row, whatever the
              -- statistics say.
              LIMIT 10000
          )
        "#,
        account_id,
        &ids as &[&str],
        &hashes,
        &updated as &[Option<DateTime<Utc>>],
        &observed as &[DateTime<Utc>],
        created.map(RangeInclusive::start),
        created.map(RangeInclusive::end),
        i64::try_from(2 * asked.len()).unwrap_or(i64::MAX),
    )
    .fetch_all(connection)
    .await?;
    let mut answer = Answer {
        unchanged: count(asked.len() - rows.len()),
        held: rows.iter().any(|row| row.held),
        ..Answer::default()
    };
    for row in rows {
        match usize::try_from(row.place - 1) {
            Ok(place) if !row.stale => answer.wanted.push(place),
            _ => answer.stale += 1,
        }
    }
    // In the order of the keys, so that two lanes never wait for each other in a circle.
    answer.wanted.sort_unstable();
    Ok(answer)
}
