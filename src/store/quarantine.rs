//! Items that could not be normalized or stored.

use sqlx::PgConnection;
use uuid::Uuid;

use super::page::Quarantined;
use crate::model::Window;

/// Writes items to the quarantine; one met before is only seen again.
pub(crate) async fn write(
    connection: &mut PgConnection,
    account_id: &str,
    stream: &str,
    window: Window,
    items: &[Quarantined<'_>],
) -> Result<(), sqlx::Error> {
    if items.is_empty() {
        return Ok(());
    }
    let hashes: Vec<Uuid> = items.iter().map(|item| item.hash).collect();
    // The one character that no text of PostgreSQL can hold.
    let ids: Vec<Option<String>> = items
        .iter()
        .map(|item| {
            let id = item.provider_transaction_id.as_ref()?;
            Some(id.replace('\0', "\u{fffd}"))
        })
        .collect();
    let reasons: Vec<&str> = items.iter().map(|item| item.reason).collect();
    let details: Vec<&str> = items.iter().map(|item| item.detail.as_str()).collect();
    let payloads: Vec<&str> = items.iter().map(|item| item.payload.as_ref()).collect();
    sqlx::query!(
        r#"
        INSERT INTO paysync.quarantine AS held (
            account_id, stream, payload_hash, provider_transaction_id, reason, detail, payload, window_start, window_end
        )
        -- The same item twice in a page is one row.
        SELECT DISTINCT ON (hash) $1, $2, hash, id, reason, detail, payload, $3, $4
        FROM UNNEST($5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[]) AS item(hash, id, reason, detail, payload)
        ORDER BY hash
        ON CONFLICT (account_id, stream, payload_hash) DO UPDATE SET
            reason = EXCLUDED.reason,
            detail = EXCLUDED.detail,
            window_start = EXCLUDED.window_start,
            window_end = EXCLUDED.window_end,
            times_seen = held.times_seen + 1,
            last_seen_at = now()
        "#,
        account_id,
        stream,
        window.start(),
        window.end(),
        &hashes,
        &ids as &[Option<String>],
        &reasons as &[&str],
        &details as &[&str],
        &payloads as &[&str],
    )
    .execute(connection)
    .await?;
    Ok(())
}
