//! Non-final rows, requested by id: their window only says which rows to look for.
//!
//! A repoll proves nothing about coverage; a provider that refuses it costs a pass, no more.

use std::collections::BTreeSet;

use tracing::debug;

use crate::engine::failure::Failure;
use crate::engine::read::context::ReadContext;
use crate::engine::read::observer;
use crate::engine::read::page::ParsedPage;
use crate::engine::read::request::RequestContext;
use crate::failpoint::failpoint;
use crate::number::size;
use crate::store::page::{PageCommit, PageContext, PageCounts, WindowTransition};
use crate::store::progress::recheck::NonFinalRow;
use crate::store::progress::window::OpenWindow;
use paysync_provider::item::PageItems;
use paysync_provider::{Checkpoint, Next, Page, PageError};

/// Requests the non-final rows of a window by their ids, one batch after another.
pub(crate) async fn repoll_window(
    context: &ReadContext,
    window: &OpenWindow,
) -> Result<(), Failure> {
    let account = &context.account;
    let by_id = account.spec.by_id.ok_or(PageError::Position(
        "the provider cannot be asked for rows by id",
    ))?;
    let started = context.clock.now();
    let mut total = PageCounts::default();
    let mut from = window.checkpoint.as_ref().and_then(row_of);
    loop {
        let mut rows = context
            .store
            .non_final_rows(
                &account.id,
                window.planned.window,
                by_id.statuses,
                from.as_ref(),
                by_id.batch.saturating_add(1),
            )
            .await?;
        let batch = size(by_id.batch);
        let next = rows.split_off(batch.min(rows.len())).pop();
        total += repoll_rows(context, window, &rows, next.as_ref()).await?;
        if next.is_none() {
            observer::record_window(account, &total, context.clock.now() - started);
            return Ok(());
        }
        from = next;
        if context.held.stop.is_cancelled() {
            return Err(Failure::Stopped);
        }
    }
}

/// Requests some rows until the provider shows no more of them: an answer may hold fewer than were
/// requested.
async fn repoll_rows(
    context: &ReadContext,
    window: &OpenWindow,
    rows: &[NonFinalRow],
    next: Option<&NonFinalRow>,
) -> Result<PageCounts, Failure> {
    let account = &context.account;
    let provider = &*account.provider;
    let requests = RequestContext::new(context, window);
    let requested: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let mut left: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
    let mut total = PageCounts::default();
    loop {
        let asked = left.len();
        let mut page = None;
        if !left.is_empty() {
            let parse = |fetched| {
                ParsedPage::parse(fetched, |response| {
                    Ok(Page {
                        items: provider.items_by_id(response)?,
                        next: Next::End,
                        count: None,
                    })
                })
            };
            let fetched = requests.fetch(|| provider.request_by_id(&left), parse);
            let shown = page.insert(fetched.await?);
            let context = account.item_context(None, shown.fetched().response.lossy);
            shown.prepare_items(context).await;
        }
        failpoint("repoll.fetched");
        let nothing = PageItems::default();
        let items = page.as_ref().map_or(&nothing, ParsedPage::items);
        let shown: BTreeSet<&str> = items.items.iter().map(|item| item.id.as_str()).collect();
        let others = shown.difference(&requested).count();
        if others > 0 {
            return Err(Failure::OtherRows(others));
        }
        left.retain(|id| !shown.contains(id.as_str()));
        let again = !left.is_empty() && left.len() < asked;
        let resume = if again { rows.first() } else { next };
        let requested_at = page.as_ref().map(|page| page.fetched().requested_at);
        let commit = PageCommit {
            context: PageContext {
                provider_code: account.spec.code,
                window,
                requested_at: requested_at.unwrap_or_else(|| context.held.lease.now()),
                outside: 0,
                provider_count: None,
            },
            items,
            provider,
            created: None,
            likely_new: false,
            transition: resume.map_or(
                WindowTransition::Close {
                    length: None,
                    refuted: false,
                },
                |row| WindowTransition::More(checkpoint_at(row)),
            ),
        };
        let committed = context.store.commit_page(&context.held.lease, commit);
        let committed = committed.await?;
        observer::record_page(account, window, &committed, items.redactions);
        total += committed.counts;
        if !again {
            if !left.is_empty() {
                debug!(
                    records.missing = left.len(),
                    "rows asked for by id are not shown"
                );
            }
            return Ok(total);
        }
    }
}

/// The first row not yet requested, as a checkpoint.
fn checkpoint_at(row: &NonFinalRow) -> Checkpoint {
    Checkpoint::Row {
        row_id: row.id.clone(),
        created_at: row.created_at,
    }
}

/// The row of a checkpoint. A window with one of an older version of paysync starts from its first row.
fn row_of(checkpoint: &Checkpoint) -> Option<NonFinalRow> {
    match checkpoint {
        Checkpoint::Row { row_id, created_at } => Some(NonFinalRow {
            id: row_id.clone(),
            created_at: *created_at,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn a_stored_checkpoint_names_its_row() {
        let row = NonFinalRow {
            id: "17".to_owned(),
            created_at: DateTime::from_timestamp_micros(1_704_067_200_000_001).unwrap(),
        };
        let stored = serde_json::to_string(&checkpoint_at(&row)).unwrap();
        let expected = r#"{"row_id":"17","created_at":"2024-01-01T00:00:00.000001Z"}"#;
        assert_eq!(stored, expected);
        assert_eq!(row_of(&serde_json::from_str(&stored).unwrap()), Some(row));
        let older = r#"{"next_date":"2024-01-01T00:00:00.000001Z","next_uid":"17"}"#;
        assert_eq!(row_of(&serde_json::from_str(older).unwrap()), None);
    }
}
