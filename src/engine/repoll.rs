//! Rows that are not final, asked for by id: their window only says which rows to look for.
//!
//! It proves nothing about coverage; a provider that will not do it costs a pass, no more.

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};
use tracing::debug;

use super::account::Stream;
use super::fetch::Fetched;
use super::item::{ItemContext, Notes, Sorted};
use super::policy::Failure;
use super::window::Reader;
use crate::failpoint::failpoint;
use crate::store::page::{Item, PageCommit, PageContext, PageCounts, Then};
use crate::store::progress::recheck::NonFinalRow;
use crate::store::progress::window::OpenWindow;
use paysync_provider::{Checkpoint, PageError};

impl Reader {
    /// Asks for the open rows of a window, some at a time.
    pub(super) async fn repoll(&self, stream: &Stream, window: &OpenWindow) -> Result<(), Failure> {
        let by_id = self.account.spec.by_id.ok_or(PageError::Position(
            "the provider cannot be asked for rows by id",
        ))?;
        let started = self.clock.now();
        let mut total = PageCounts::default();
        let mut from = window.checkpoint.as_ref().and_then(row_of);
        loop {
            let mut rows = self
                .store
                .non_final_rows(
                    &self.account.id,
                    window.planned.window,
                    by_id.statuses,
                    from.as_ref(),
                    by_id.batch.saturating_add(1),
                )
                .await?;
            let batch = usize::try_from(by_id.batch).unwrap_or(usize::MAX);
            let next = rows.split_off(batch.min(rows.len())).pop();
            total += self.ask_for(stream, window, rows, next.as_ref()).await?;
            if next.is_none() {
                self.note_window(stream, window, &total, started);
                return Ok(());
            }
            from = next;
            if self.stop.is_cancelled() {
                return Err(Failure::Stopped);
            }
        }
    }

    /// Asks for some rows, until the provider shows no more of them: it may answer with fewer at once
    /// than were asked for.
    async fn ask_for(
        &self,
        stream: &Stream,
        window: &OpenWindow,
        rows: Vec<NonFinalRow>,
        next: Option<&NonFinalRow>,
    ) -> Result<PageCounts, Failure> {
        let provider = &*self.account.provider;
        let asking = self.asking(&stream.spec.name, window.planned.lane);
        let all: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let mut left: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
        let mut total = PageCounts::default();
        loop {
            let asked = left.len();
            let fetched = if left.is_empty() {
                None
            } else {
                let make = || provider.request_by_id(&left);
                let read = |response: &_| provider.items_by_id(response).map(|_| ());
                Some(asking.fetch_and_read(make, read).await?.0)
            };
            failpoint("repoll.fetched");
            let sorted = match &fetched {
                Some(Fetched { response, .. }) => {
                    let context = ItemContext {
                        provider,
                        spec: &self.account.spec,
                        rules: &self.account.rules,
                        axis: None,
                        lossy: response.lossy,
                    };
                    Sorted::of(context, &provider.items_by_id(response)?)
                }
                None => Sorted::default(),
            };
            let read = |transaction: &_| self.note_words(transaction);
            let notes = Notes::telling(&read, &sorted);
            let items = sorted.readable(provider, &notes);
            let shown: BTreeSet<&str> = items.iter().map(Item::id).collect();
            let others = shown.difference(&all).count();
            if others > 0 {
                return Err(Failure::OtherRows { rows: others });
            }
            left.retain(|id| !shown.contains(id.as_str()));
            let again = !left.is_empty() && left.len() < asked;
            let resume = if again { rows.first() } else { next };
            let commit = PageCommit {
                context: PageContext {
                    provider: self.account.spec.code,
                    window,
                    requested_at: fetched
                        .as_ref()
                        .map_or_else(|| self.lease.now(), |fetched| fetched.requested_at),
                    outside: 0,
                    provider_count: None,
                },
                items,
                quarantined: sorted.quarantined.clone(),
                created: None,
                likely_new: false,
                then: resume.map_or(
                    Then::Close {
                        length: None,
                        refuted: false,
                    },
                    |row| Then::More(checkpoint_at(row)),
                ),
            };
            let counts = self.store.commit_page(&self.lease, commit).await?;
            self.note_page(stream, window, &counts, &notes);
            total += counts;
            if !again {
                if !left.is_empty() {
                    debug!(
                        account.id = %self.account.id, stream.name = %stream.spec.name, records.missing = left.len(),
                        "rows asked for by id are not shown"
                    );
                }
                return Ok(total);
            }
        }
    }
}

/// The first row not yet asked for, as a checkpoint.
fn checkpoint_at(row: &NonFinalRow) -> Checkpoint {
    Checkpoint::Date {
        next_date: row.created_at.to_rfc3339_opts(SecondsFormat::Micros, true),
        next_uid: Some(row.id.clone()),
    }
}

fn row_of(checkpoint: &Checkpoint) -> Option<NonFinalRow> {
    match checkpoint {
        Checkpoint::Date {
            next_date,
            next_uid: Some(id),
        } => Some(NonFinalRow {
            id: id.clone(),
            created_at: next_date.parse::<DateTime<Utc>>().ok()?,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_names_its_row() {
        let row = NonFinalRow {
            id: "17".to_owned(),
            created_at: DateTime::from_timestamp_micros(1_704_067_200_000_001).unwrap(),
        };
        assert_eq!(row_of(&checkpoint_at(&row)), Some(row));
    }
}
