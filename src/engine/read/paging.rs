//! What follows a page, by the paging of its stream: pure.

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_128;

use crate::engine::failure::PagingError;
use crate::number::count;
use paysync_provider::model::Window;
use paysync_provider::{Checkpoint, Next, Paging, StreamSpec};

/// Rows read twice where the order of pages may shift, to see that no row slipped between them.
const OVERLAP_ROWS: u64 = 50;

/// Rounds over a window whose rows change places before it is left for later.
const MAX_ROUNDS: u32 = 50;

/// Where a scan by offset begins, and each of its rounds.
const START: Checkpoint = Checkpoint::Offset {
    offset: 0,
    last_id: None,
};

/// What the rules need to know of a page.
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
    /// Hashes of the items that cannot become rows.
    pub(crate) rejected_hashes: Vec<u128>,
    /// What the provider says comes next.
    pub(crate) next: Next,
}

/// What becomes of the window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    More(Checkpoint),
    Close,
    Split(Window, Window),
}

/// The pages of a window so far.
#[derive(Debug, Default)]
pub(crate) struct PagingState {
    /// Checkpoints of keyset and numbered pages seen so far.
    checkpoints: BTreeSet<Checkpoint>,
    offsets: OffsetScan,
}

/// A scan by offset over an order that may shift: round after round, until one has seen every row.
///
/// A round is complete if every page repeats the last row of the page before and the number of distinct rows
/// equals the number counted. If rows with equal times change order, no round is complete. Then the rows of
/// several rounds are combined, as long as each round counts the same number of rows.
#[derive(Debug, Default)]
struct OffsetScan {
    rounds: u32,
    /// Hashes of the ids seen in the rounds before that counted the same.
    seen: BTreeSet<u128>,
    /// The same for this round.
    seen_this_round: BTreeSet<u128>,
    /// Whether a page of this round lacked the last row of the page before.
    moved: bool,
    /// Items of this round that were on their page twice.
    repeated: u64,
    /// Rows that the round before counted.
    counted: Option<u64>,
}

impl PagingState {
    /// Decides what follows a page.
    pub(crate) fn after_page(
        &mut self,
        stream: &StreamSpec,
        page: &PageFacts<'_>,
    ) -> Result<Step, PagingError> {
        if page.items == 0 && matches!(page.next, Next::More(_)) {
            return Err(PagingError::EmptyPageWithMore);
        }
        match stream.paging {
            Paging::Keyset | Paging::Numbered => match &page.next {
                Next::End => Ok(Step::Close),
                Next::More(checkpoint) | Next::Reverse(checkpoint) => {
                    // Checkpoints are short; a window holds few pages.
                    if page.checkpoint != Some(checkpoint)
                        && self.checkpoints.insert(checkpoint.clone())
                    {
                        Ok(Step::More(checkpoint.clone()))
                    } else {
                        Err(PagingError::RepeatedCheckpoint)
                    }
                }
            },
            Paging::Shifting => {
                let full = page.items >= u64::from(page.page_size);
                let more = full || page.next != Next::End;
                let is_first = page.checkpoint.is_none_or(|at| *at == START);
                // One response is one snapshot; a window of one page has no second page to slip past.
                match page.window.split(stream.unit) {
                    Some((left, right)) if is_first && more => Ok(Step::Split(left, right)),
                    _ if is_first && !more && (stream.short_page_ends || page.items == 0) => {
                        Ok(Step::Close)
                    }
                    _ => self.offsets.after_page(stream, page, more),
                }
            }
        }
    }
}

impl OffsetScan {
    fn after_page(
        &mut self,
        stream: &StreamSpec,
        page: &PageFacts<'_>,
        more: bool,
    ) -> Result<Step, PagingError> {
        let (offset, last_id) = match page.checkpoint {
            Some(Checkpoint::Offset { offset, last_id }) => (*offset, last_id.as_deref()),
            _ => (0, None),
        };
        self.moved |= last_id.is_some_and(|last_id| !page.ids.contains(&last_id));
        let ids = page.ids.iter().map(|id| xxh3_128(id.as_bytes()));
        let seen: BTreeSet<u128> = ids.chain(page.rejected_hashes.iter().copied()).collect();
        // An item that is twice on a page is one row at two offsets.
        self.repeated += page.items.saturating_sub(count(seen.len()));
        self.seen_this_round.extend(seen);
        let end = offset + page.items;
        if more && page.items > 0 {
            return Ok(Step::More(at(next_offset(offset, page), page)));
        }
        // If a short page does not prove the end, the last row is requested again: one row is the end, no row
        // means that rows have moved.
        let is_proof = page.items == 0 || (page.items == 1 && last_id.is_some());
        if !stream.short_page_ends && !is_proof {
            return Ok(Step::More(at(end - 1, page)));
        }
        self.moved |= page.items == 0 && offset > 0;
        self.end_round(end)
    }

    /// A round has come to its end, after counting this many rows.
    fn end_round(&mut self, counted: u64) -> Result<Step, PagingError> {
        let repeated = std::mem::take(&mut self.repeated);
        let all = |seen: &BTreeSet<u128>| count(seen.len()) + repeated >= counted;
        if !self.moved && all(&self.seen_this_round) {
            return Ok(Step::Close);
        }
        if self.counted != Some(counted) {
            self.seen.clear();
        }
        self.seen.append(&mut self.seen_this_round);
        if self.counted == Some(counted) && all(&self.seen) {
            return Ok(Step::Close);
        }
        self.counted = Some(counted);
        self.moved = false;
        self.rounds += 1;
        if self.rounds >= MAX_ROUNDS {
            return Err(PagingError::RowsMoved);
        }
        Ok(Step::More(START))
    }
}

/// The next page of an order that moves starts so early that it must show the last row again.
fn next_offset(offset: u64, page: &PageFacts<'_>) -> u64 {
    let overlap = OVERLAP_ROWS.min(page.items / 2);
    offset + page.items.saturating_sub(overlap).max(1)
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
    use paysync_provider::Role;

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
        step_of(
            &mut PagingState::default(),
            stream,
            seconds,
            checkpoint,
            ids,
            next,
        )
    }

    fn step_of(
        paging: &mut PagingState,
        stream: &StreamSpec,
        seconds: i64,
        checkpoint: Option<&Checkpoint>,
        ids: &[&str],
        next: Next,
    ) -> Result<Step, PagingError> {
        let page = PageFacts {
            window: window(seconds),
            checkpoint,
            page_size: 4,
            items: count(ids.len()),
            ids: ids.to_vec(),
            rejected_hashes: Vec::new(),
            next,
        };
        paging.after_page(stream, &page)
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

    /// A page of items without ids has no last row that the next page could repeat.
    #[test]
    fn an_empty_page_after_others_is_no_end() {
        let shifting = stream(Paging::Shifting, true);
        let mut paging = PagingState::default();
        let mut page = |checkpoint: Option<&Checkpoint>, rejected_hashes: Vec<u128>| {
            let page = PageFacts {
                window: window(1),
                checkpoint,
                page_size: 4,
                items: count(rejected_hashes.len()),
                ids: Vec::new(),
                rejected_hashes,
                next: Next::End,
            };
            more(paging.after_page(&shifting, &page))
        };
        let second = page(None, vec![1, 2, 3, 4]);
        assert_eq!(page(Some(&second), Vec::new()), START);
    }

    /// Rows of rounds that counted differently are not combined: some may have left.
    #[test]
    fn only_rounds_with_equal_counts_are_combined() {
        let mut scan = OffsetScan::default();
        let mut round = |seen: &[u128], counted| {
            scan.moved = true;
            scan.seen_this_round.extend(seen);
            scan.end_round(counted).unwrap()
        };
        let again = Step::More(START);
        assert_eq!(round(&[1, 2, 3], 3), again);
        assert_eq!(round(&[1, 2, 4], 4), again);
        assert_eq!(round(&[1, 2, 4], 4), again);
        assert_eq!(round(&[5], 4), Step::Close);
    }

    #[test]
    fn rows_that_never_settle_end_the_scan() {
        let mut scan = OffsetScan::default();
        for round in 1..MAX_ROUNDS {
            scan.moved = true;
            assert_eq!(scan.end_round(round.into()), Ok(Step::More(START)));
        }
        scan.moved = true;
        assert_eq!(scan.end_round(0), Err(PagingError::RowsMoved));
    }

    /// The next page's checkpoint.
    fn more(step: Result<Step, PagingError>) -> Checkpoint {
        match step {
            Ok(Step::More(checkpoint)) => checkpoint,
            other => panic!("{other:?}"),
        }
    }

    /// Scans one second whose rows are in another order for each request; how many pages it took.
    fn scan(short_page_ends: bool, mut order: impl FnMut() -> Vec<String>) -> (PagingState, u32) {
        let shifting = stream(Paging::Shifting, short_page_ends);
        let mut paging = PagingState::default();
        let mut checkpoint = None;
        for requests in 1.. {
            let rows = order();
            let offset =
                usize::try_from(checkpoint.as_ref().map_or(0, Checkpoint::offset)).unwrap();
            let ids: Vec<&str> = rows
                .iter()
                .skip(offset)
                .take(4)
                .map(String::as_str)
                .collect();
            match step_of(
                &mut paging,
                &shifting,
                1,
                checkpoint.as_ref(),
                &ids,
                Next::End,
            )
            .unwrap()
            {
                Step::More(next) => checkpoint = Some(next),
                Step::Close => return (paging, requests),
                Step::Split(..) => panic!("one second cannot be split"),
            }
        }
        unreachable!("the scan ends or panics")
    }

    fn rows(count: u32) -> Vec<String> {
        (0..count).map(|row| row.to_string()).collect()
    }

    #[test]
    fn one_second_is_paged_with_an_overlap() {
        let shifting = stream(Paging::Shifting, true);
        let mut paging = PagingState::default();
        let mut go = |checkpoint: Option<&Checkpoint>, ids: &[&str]| {
            step_of(&mut paging, &shifting, 1, checkpoint, ids, Next::End)
        };
        let second = more(go(None, &["a", "b", "c", "d"]));
        assert_eq!(second, offset(2, "d"));
        assert_eq!(go(Some(&second), &["c", "d", "e"]), Ok(Step::Close));
        for short_page_ends in [true, false] {
            for count in 0..30 {
                let (paging, _) = scan(short_page_ends, || rows(count));
                assert_eq!(
                    paging.offsets.rounds, 0,
                    "an order that does not change needs one round"
                );
            }
        }
    }

    #[test]
    fn a_second_in_changing_order_is_scanned_until_every_row_was_seen() {
        for (seed, short_page_ends) in (0..40).flat_map(|seed| [(seed, true), (seed, false)]) {
            let mut random = fastrand::Rng::with_seed(seed);
            let (paging, pages) = scan(short_page_ends, || {
                let mut rows = rows(11);
                random.shuffle(&mut rows);
                rows
            });
            assert!(pages > 3, "{pages} pages");
            let seen: BTreeSet<u128> = &paging.offsets.seen | &paging.offsets.seen_this_round;
            assert_eq!(
                seen.len(),
                11,
                "seed {seed}: closed before every row was seen"
            );
        }
    }

    #[test]
    fn rows_that_leave_begin_the_count_again() {
        let shifting = stream(Paging::Shifting, true);
        let mut paging = PagingState::default();
        let mut go = |checkpoint: Option<&Checkpoint>, ids: &[&str]| {
            step_of(&mut paging, &shifting, 1, checkpoint, ids, Next::End)
        };
        let again = Checkpoint::Offset {
            offset: 0,
            last_id: None,
        };
        let second = more(go(None, &["a", "b", "c", "d"]));
        // "a", "b" and "c" have left; "e" would be skipped without a look at the last row.
        assert_eq!(more(go(Some(&second), &["f"])), again);
        let second = more(go(Some(&again), &["d", "e", "f", "g"]));
        assert_eq!(go(Some(&second), &["f", "g"]), Ok(Step::Close));
    }

    #[test]
    fn where_a_short_page_is_no_proof_the_last_row_is_asked_for_again() {
        let shifting = stream(Paging::Shifting, false);
        assert_eq!(step(&shifting, 9, None, &[], false), Ok(Step::Close));
        let again = Checkpoint::Offset {
            offset: 0,
            last_id: None,
        };
        let after = |answer: &[&str]| {
            let mut paging = PagingState::default();
            let mut go = |checkpoint: Option<&Checkpoint>, ids: &[&str]| {
                step_of(&mut paging, &shifting, 9, checkpoint, ids, Next::End)
            };
            let proof = more(go(None, &["a", "b"]));
            assert_eq!(proof, offset(1, "b"));
            go(Some(&proof), answer)
        };
        assert_eq!(after(&["b"]), Ok(Step::Close));
        // A row that left in between shows: nothing at all, or another row.
        assert_eq!(after(&[]), Ok(Step::More(again.clone())));
        assert_eq!(after(&["c"]), Ok(Step::More(again)));
        // There was more behind the short page.
        assert_eq!(after(&["b", "c"]), Ok(Step::More(offset(2, "c"))));
        // One row alone is asked for twice.
        assert_eq!(
            step(&shifting, 9, None, &["a"], false),
            Ok(Step::More(offset(0, "a")))
        );
    }

    #[test]
    fn a_row_that_is_sent_twice_keeps_no_window_open() {
        let (paging, _) = scan(false, || ["a", "b", "b", "c"].map(str::to_owned).to_vec());
        assert_eq!(paging.offsets.rounds, 0);
    }

    #[test]
    fn a_scan_without_end_is_given_up() {
        let shifting = stream(Paging::Shifting, true);
        let mut paging = PagingState::default();
        let mut checkpoint = None;
        let mut rounds = 0;
        let error = loop {
            // Always one row fewer than the round before, and never the last row of the page before.
            let ids = match checkpoint.as_ref().map_or(0, Checkpoint::offset) {
                0 => vec!["a", "b", "c", "d"],
                _ => vec!["x"],
            };
            match step_of(
                &mut paging,
                &shifting,
                1,
                checkpoint.as_ref(),
                &ids,
                Next::End,
            ) {
                Ok(Step::More(next)) => checkpoint = Some(next),
                Ok(step) => panic!("{step:?}"),
                Err(error) => break error,
            }
            rounds += 1;
            assert!(rounds < 1000);
            if rounds % 2 == 0 {
                paging.offsets.counted = None;
            }
        };
        assert_eq!(error, PagingError::RowsMoved);
    }

    #[test]
    fn pages_that_contradict_each_other_are_errors() {
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
        let mut paging = PagingState::default();
        let mut go = |from: u64, to: u64| {
            let next = Next::More(cursor(to));
            step_of(&mut paging, &keyset, 9, Some(&cursor(from)), &["a"], next)
        };
        assert!(go(1, 2).is_ok());
        assert!(go(2, 3).is_ok());
        assert_eq!(go(3, 2), Err(PagingError::RepeatedCheckpoint));
    }
}
