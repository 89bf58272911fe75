//! What one provider knows: its rows, found by each of their times without a scan.
//!
//! A row keeps only what can change and two salts; everything else a row shows (cards,
//! customers, descriptions) is drawn from the salts when it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::money::{Amount, Currency};

/// What a row is, in the simulator's words; each API has its own word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kind {
    #[default]
    Payment,
    Authorization,
    Capture,
    Void,
    Refund,
    Reversal,
    Payout,
    Credit,
    Chargeback,
    Verification,
    Recurring,
    PeerToPeer,
    Advice,
}

/// How far a row has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Phase {
    /// The customer has not finished.
    #[default]
    Opened,
    Pending,
    /// The provider waits for somebody's approval.
    Approval,
    /// The provider holds the money until a capture or a void.
    Held,
    Succeeded,
    /// More was paid than asked for.
    Overpaid,
    Failed,
    /// A technical error.
    Broken,
    Canceled,
    Expired,
}

impl Phase {
    /// Whether the row is going to change by itself.
    pub(crate) fn is_open(self) -> bool {
        matches!(
            self,
            Self::Opened | Self::Pending | Self::Approval | Self::Held
        )
    }

    /// Whether the row ended without money having moved.
    pub(crate) fn is_bad(self) -> bool {
        matches!(
            self,
            Self::Failed | Self::Broken | Self::Canceled | Self::Expired
        )
    }
}

/// One transaction; times are microseconds since 1970.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Row {
    /// A random 128-bit identifier.
    pub(crate) id: u128,
    /// Counts rows in the order of their creation, from 1.
    pub(crate) number: u64,
    /// What this row's own particulars are drawn from.
    pub(crate) salt: u64,
    /// What the particulars shared with its parent are drawn from.
    pub(crate) family: u64,
    /// The place of the row that this one follows.
    pub(crate) parent: Option<usize>,
    pub(crate) kind: Kind,
    pub(crate) phase: Phase,
    /// Authorized first, captured later, as one and the same row.
    pub(crate) held_first: bool,
    pub(crate) test: bool,
    pub(crate) amount: Amount,
    pub(crate) currency: Currency,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) paid: Option<i64>,
    pub(crate) settled: Option<i64>,
    pub(crate) corrected: Option<i64>,
    /// Counts changes without a change of phase.
    pub(crate) revision: u32,
}

/// The time of a row that an index orders by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Axis {
    Created,
    Updated,
    Paid,
    Settled,
}

impl Axis {
    const ALL: [Self; 4] = [Self::Created, Self::Updated, Self::Paid, Self::Settled];

    pub(crate) fn of(self, row: &Row) -> Option<i64> {
        match self {
            Self::Created => Some(row.created),
            Self::Updated => Some(row.updated),
            Self::Paid => row.paid,
            Self::Settled => row.settled,
        }
    }
}

/// An entry of an index: time, identifier, place in the rows.
type Entry = (i64, u128, usize);

/// The rows of one provider and their indexes.
#[derive(Debug, Default)]
pub(crate) struct World {
    rows: Vec<Row>,
    axes: BTreeMap<Axis, BTreeSet<Entry>>,
    places: BTreeMap<u128, usize>,
    open: Vec<usize>,
}

impl World {
    /// Takes rows in any order; parents are places in `rows`.
    pub(crate) fn new(rows: &[Row]) -> Self {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&at| rows.get(at).map(|row| (row.created, at)));
        let mut moved = vec![0; rows.len()];
        for (new, &old) in order.iter().enumerate() {
            if let Some(place) = moved.get_mut(old) {
                *place = new;
            }
        }
        let rows: Vec<Row> = order
            .iter()
            .enumerate()
            .filter_map(|(new, &old)| {
                let row = rows.get(old)?;
                Some(Row {
                    number: number_of(new),
                    parent: row.parent.and_then(|parent| moved.get(parent).copied()),
                    ..*row
                })
            })
            .collect();
        let axes = Axis::ALL
            .into_iter()
            .map(|axis| {
                let entries = rows
                    .iter()
                    .enumerate()
                    .filter_map(|(place, row)| Some((axis.of(row)?, row.id, place)));
                (axis, entries.collect())
            })
            .collect();
        let open = places_where(&rows, |row| row.phase.is_open());
        let places = rows.iter().zip(0..).map(|(row, at)| (row.id, at)).collect();
        Self {
            rows,
            axes,
            places,
            open,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn row(&self, place: usize) -> Option<&Row> {
        self.rows.get(place)
    }

    pub(crate) fn parent(&self, row: &Row) -> Option<&Row> {
        row.parent.and_then(|place| self.rows.get(place))
    }

    /// The place of the row with this identifier.
    pub(crate) fn place(&self, id: u128) -> Option<usize> {
        self.places.get(&id).copied()
    }

    /// Places with `axis` in `span`, by time and identifier ascending.
    pub(crate) fn between(
        &self,
        axis: Axis,
        span: Range<i64>,
    ) -> impl DoubleEndedIterator<Item = usize> + '_ {
        self.after(axis, (span.start, 0), span.end)
    }

    /// Places from the given time and identifier on (inclusive) to `end` (exclusive).
    pub(crate) fn after(
        &self,
        axis: Axis,
        (start, id): (i64, u128),
        end: i64,
    ) -> impl DoubleEndedIterator<Item = usize> + '_ {
        let low = (start, id, 0);
        let high = (end.max(start), if end > start { 0 } else { id }, 0);
        self.axes
            .get(&axis)
            .into_iter()
            .flat_map(move |entries| entries.range(low..high))
            .map(|&(_, _, place)| place)
    }

    /// Adds a row, numbers it and returns its place.
    pub(crate) fn insert(&mut self, row: Row) -> usize {
        let place = self.rows.len();
        let row = Row {
            number: number_of(place),
            ..row
        };
        for (axis, entries) in &mut self.axes {
            if let Some(at) = axis.of(&row) {
                entries.insert((at, row.id, place));
            }
        }
        if row.phase.is_open() {
            self.open.push(place);
        }
        self.places.insert(row.id, place);
        self.rows.push(row);
        place
    }

    /// Changes a row and moves it in the indexes; its identifier must stay.
    pub(crate) fn change(&mut self, place: usize, change: impl FnOnce(&mut Row)) {
        let Some(row) = self.rows.get_mut(place) else {
            return;
        };
        let before = *row;
        change(row);
        for (axis, entries) in &mut self.axes {
            if let Some(at) = axis.of(&before) {
                entries.remove(&(at, before.id, place));
            }
            if let Some(at) = axis.of(row) {
                entries.insert((at, row.id, place));
            }
        }
        if !row.phase.is_open() {
            self.open.retain(|&open| open != place);
        }
    }

    /// Places of the rows that are going to change by themselves.
    pub(crate) fn open(&self) -> &[usize] {
        &self.open
    }
}

fn number_of(place: usize) -> u64 {
    u64::try_from(place).unwrap_or(u64::MAX).saturating_add(1)
}

fn places_where(rows: &[Row], wanted: impl Fn(&Row) -> bool) -> Vec<usize> {
    rows.iter()
        .enumerate()
        .filter(|(_, row)| wanted(row))
        .map(|(place, _)| place)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Axis, Row, World};

    fn row(id: u128, created: i64) -> Row {
        Row {
            id,
            created,
            updated: created,
            ..Row::default()
        }
    }

    #[test]
    fn rows_are_numbered_by_creation_and_parents_follow() {
        let mut child = row(9, 5);
        child.parent = Some(2);
        let world = World::new(&[child, row(8, 7), row(7, 1)]);
        let numbers: Vec<_> = world
            .between(Axis::Created, 0..10)
            .filter_map(|place| world.row(place))
            .map(|row| {
                (
                    row.number,
                    row.id,
                    world.parent(row).map(|parent| parent.id),
                )
            })
            .collect();
        assert_eq!(numbers, [(1, 7, None), (2, 9, Some(7)), (3, 8, None)]);
    }

    #[test]
    fn a_changed_row_moves_in_its_index_and_leaves_the_open_ones() {
        let mut world = World::new(&[row(1, 10), row(2, 20)]);
        assert_eq!(world.open(), [0, 1]);
        world.change(0, |row| {
            row.updated = 30;
            row.phase = super::Phase::Succeeded;
        });
        assert_eq!(world.between(Axis::Updated, 0..25).collect::<Vec<_>>(), [1]);
        assert_eq!(
            world.between(Axis::Updated, 0..31).collect::<Vec<_>>(),
            [1, 0]
        );
        assert_eq!(world.open(), [1]);
        let place = world.insert(row(3, 20));
        assert_eq!(
            world.after(Axis::Created, (20, 3), 21).collect::<Vec<_>>(),
            [place]
        );
        assert_eq!(world.after(Axis::Created, (20, 3), 5).count(), 0);
    }
}
