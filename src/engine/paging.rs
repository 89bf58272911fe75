//! What follows a page, by the way the stream's pages behave: pure.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::model::Window;
use crate::provider::{Checkpoint, Next, Paging, StreamSpec};

/// Rows read twice where an order that moves must be paged, to see that nothing slipped.
const OVERLAP_ROWS: u64 = 50;

/// A page that lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PagingError {
    /// The same cursor again: going on would be a loop.
    #[error("the provider's cursor repeats; more rows may share one time than a page holds")]
    RepeatedCheckpoint,
    /// More is promised and nothing given.
    #[error("the page is empty and yet promises more")]
    EmptyPageWithMore,
    /// The last row of the page before is not on this one: rows moved in between.
    #[error("rows moved between two pages")]
    RowsMoved,
}

/// A page as the rules see it.
#[derive(Debug)]
pub(crate) struct PageFacts<'a> {
    pub(crate) window: Window,
    /// Where the page started.
    pub(crate) checkpoint: Option<&'a Checkpoint>,
    pub(crate) page_size: u32,
    /// Items on it.
    pub(crate) items: u64,
    /// Ids of its rows, in the order they were sent.
    pub(crate) ids: Vec<&'a str>,
    /// What the provider says comes next.
    pub(crate) next: Next,
}

/// What to do with the window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    More(Checkpoint),
    Close,
    Split(Window, Window),
}

/// Decides what follows a page. `seen` holds the checkpoints of the window so far.
pub(crate) fn after_page(
    stream: &StreamSpec,
    page: &PageFacts<'_>,
    seen: &mut BTreeSet<String>,
) -> Result<Step, PagingError> {
    if page.items == 0 && matches!(page.next, Next::More(_)) {
        return Err(PagingError::EmptyPageWithMore);
    }
    let step = match stream.paging {
        Paging::Keyset | Paging::Numbered => match &page.next {
            Next::End => Step::Close,
            Next::More(checkpoint) | Next::Turn(checkpoint) => Step::More(checkpoint.clone()),
        },
        Paging::Shifting => shifting(stream, page)?,
    };
    if let Step::More(checkpoint) = &step {
        // Checkpoints are short; a window holds few pages.
        let fresh = page.checkpoint != Some(checkpoint) && seen.insert(format!("{checkpoint:?}"));
        if !fresh {
            return Err(PagingError::RepeatedCheckpoint);
        }
    }
    Ok(step)
}

fn shifting(stream: &StreamSpec, page: &PageFacts<'_>) -> Result<Step, PagingError> {
    let full = page.items >= u64::from(page.page_size);
    let more = full || page.next != Next::End;
    let Some(Checkpoint::Offset { offset, last_id }) = page.checkpoint else {
        if more {
            // One response is one snapshot; a window of one page has no second page to slip past.
            if let Some((left, right)) = page.window.split(stream.unit) {
                return Ok(Step::Split(left, right));
            }
            return Ok(Step::More(next_offset(0, page)));
        }
        return Ok(if stream.short_page_ends || page.items == 0 {
            Step::Close
        } else {
            Step::More(proof(0, page))
        });
    };
    if let Some(last_id) = last_id {
        if !page.ids.contains(&last_id.as_str()) {
            return Err(PagingError::RowsMoved);
        }
        // Exactly the last row again and nothing after it: the end is proven.
        if !more && page.items == 1 {
            return Ok(Step::Close);
        }
    }
    if more {
        return Ok(Step::More(next_offset(*offset, page)));
    }
    Ok(if stream.short_page_ends {
        Step::Close
    } else {
        Step::More(proof(*offset, page))
    })
}

/// The next page of an order that moves: it starts so early that it must show the last row again.
fn next_offset(offset: u64, page: &PageFacts<'_>) -> Checkpoint {
    let overlap = OVERLAP_ROWS.min(page.items / 2).max(1);
    at(offset + page.items.saturating_sub(overlap).max(1), page)
}

/// Asks for the last row alone: where a short page is no proof of the end, getting exactly it is.
fn proof(offset: u64, page: &PageFacts<'_>) -> Checkpoint {
    at(offset + page.items.saturating_sub(1), page)
}

fn at(offset: u64, page: &PageFacts<'_>) -> Checkpoint {
    Checkpoint::Offset {
        offset,
        last_id: page.ids.last().map(|&id| id.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::provider::Role;

    fn stream(paging: Paging, short_page_ends: bool) -> StreamSpec {
        StreamSpec {
            name: "s".into(),
            role: Role::History,
            paging,
            axis: None,
            unit: TimeDelta::seconds(1),
            slack: TimeDelta::zero(),
            max_window: TimeDelta::days(1),
            lag: TimeDelta::zero(),
            overlap: TimeDelta::zero(),
            rescan: Vec::new(),
            repoll: Vec::new(),
            audit: Vec::new(),
            short_page_ends,
        }
    }

    fn window(seconds: i64) -> Window {
        Window::new(
            DateTime::from_timestamp(0, 0).unwrap(),
            DateTime::from_timestamp(seconds, 0).unwrap(),
        )
        .unwrap()
    }

    fn offset(offset: u64, last_id: &str) -> Checkpoint {
        Checkpoint::Offset {
            offset,
            last_id: Some(last_id.into()),
        }
    }

    fn step(
        stream: &StreamSpec,
        seconds: i64,
        checkpoint: Option<&Checkpoint>,
        ids: &[&str],
        more: bool,
    ) -> Result<Step, PagingError> {
        let next = if more {
            Next::More(Checkpoint::Offset {
                offset: 1,
                last_id: None,
            })
        } else {
            Next::End
        };
        let items = u64::try_from(ids.len()).unwrap();
        let page = PageFacts {
            window: window(seconds),
            checkpoint,
            page_size: 4,
            items,
            ids: ids.to_vec(),
            next,
        };
        after_page(stream, &page, &mut BTreeSet::new())
    }

    #[test]
    fn a_shifting_window_with_more_is_split() {
        let shifting = stream(Paging::Shifting, true);
        let halves = window(10).split(TimeDelta::seconds(1)).unwrap();
        assert_eq!(
            step(&shifting, 10, None, &["a"], true),
            Ok(Step::Split(halves.0, halves.1))
        );
        // A full page is split even when the provider says that it is the end.
        assert_eq!(
            step(&shifting, 10, None, &["a", "b", "c", "d"], false),
            Ok(Step::Split(halves.0, halves.1))
        );
        assert_eq!(
            step(&shifting, 10, None, &["a", "b", "c"], false),
            Ok(Step::Close)
        );
    }

    #[test]
    fn one_second_is_paged_with_an_overlap() {
        let shifting = stream(Paging::Shifting, true);
        let first = step(&shifting, 1, None, &["a", "b", "c", "d"], true);
        assert_eq!(first, Ok(Step::More(offset(2, "d"))));
        let second = step(&shifting, 1, Some(&offset(2, "d")), &["c", "d", "e"], false);
        assert_eq!(second, Ok(Step::Close));
        let moved = step(&shifting, 1, Some(&offset(2, "d")), &["e", "f", "g"], false);
        assert_eq!(moved, Err(PagingError::RowsMoved));
        let empty = step(&shifting, 1, Some(&offset(2, "d")), &[], false);
        assert_eq!(empty, Err(PagingError::RowsMoved));
    }

    #[test]
    fn where_a_short_page_is_no_proof_the_last_row_is_asked_for_again() {
        let shifting = stream(Paging::Shifting, false);
        assert_eq!(step(&shifting, 9, None, &[], false), Ok(Step::Close));
        assert_eq!(
            step(&shifting, 9, None, &["a", "b"], false),
            Ok(Step::More(offset(1, "b")))
        );
        assert_eq!(
            step(&shifting, 9, Some(&offset(1, "b")), &["b"], false),
            Ok(Step::Close)
        );
        // A row that left in between shows: nothing at all, or another row.
        assert_eq!(
            step(&shifting, 9, Some(&offset(1, "b")), &[], false),
            Err(PagingError::RowsMoved)
        );
        // There was more behind the short page.
        assert_eq!(
            step(&shifting, 9, Some(&offset(1, "b")), &["b", "c"], false),
            Ok(Step::More(offset(2, "c")))
        );
    }

    #[test]
    fn pages_that_lie_are_errors() {
        let keyset = stream(Paging::Keyset, true);
        assert_eq!(
            step(&keyset, 9, None, &[], true),
            Err(PagingError::EmptyPageWithMore)
        );
        let repeated = Checkpoint::Offset {
            offset: 1,
            last_id: None,
        };
        assert_eq!(
            step(&keyset, 9, Some(&repeated), &["a"], true),
            Err(PagingError::RepeatedCheckpoint)
        );
        assert_eq!(
            step(&keyset, 9, None, &["a"], true),
            Ok(Step::More(repeated))
        );
    }

    #[test]
    fn a_cursor_that_comes_round_again_is_noticed() {
        let keyset = stream(Paging::Keyset, true);
        let cursor = |page| Checkpoint::Page { page, size: None };
        let mut seen = BTreeSet::new();
        let mut go = |from: u64, to: u64| {
            let checkpoint = cursor(from);
            let page = PageFacts {
                window: window(9),
                checkpoint: Some(&checkpoint),
                page_size: 4,
                items: 1,
                ids: vec!["a"],
                next: Next::More(cursor(to)),
            };
            after_page(&keyset, &page, &mut seen)
        };
        assert!(go(1, 2).is_ok());
        assert!(go(2, 3).is_ok());
        assert_eq!(go(3, 2), Err(PagingError::RepeatedCheckpoint));
    }
}
