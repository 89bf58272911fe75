//! A provider's rows, with an index on each of their times.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::row::{Axis, Row};

/// An index entry: time, id, position of the row.
type Entry = (i64, u128, usize);

#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
    axes: BTreeMap<Axis, BTreeSet<Entry>>,
    positions: BTreeMap<u128, usize>,
    open: Vec<usize>,
}

impl Table {
    /// Sorts rows by creation; parents are positions in `rows`.
    pub(crate) fn new(rows: &[Row]) -> Self {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&at| rows.get(at).map(|row| (row.created, at)));
        let mut moved = vec![0; rows.len()];
        for (new, &old) in order.iter().enumerate() {
            if let Some(position) = moved.get_mut(old) {
                *position = new;
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
                    .filter_map(|(position, row)| Some((axis.of(row)?, row.id, position)));
                (axis, entries.collect())
            })
            .collect();
        let open = (0..rows.len())
            .filter(|&at| rows.get(at).is_some_and(|row| row.phase.is_open()))
            .collect();
        let positions = rows.iter().zip(0..).map(|(row, at)| (row.id, at)).collect();
        Self {
            rows,
            axes,
            positions,
            open,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn row(&self, position: usize) -> Option<&Row> {
        self.rows.get(position)
    }

    pub(crate) fn parent(&self, row: &Row) -> Option<&Row> {
        row.parent.and_then(|position| self.rows.get(position))
    }

    /// The position of the row with this id.
    pub(crate) fn position(&self, id: u128) -> Option<usize> {
        self.positions.get(&id).copied()
    }

    /// Positions of rows whose time `axis` is in `span`, by time and id ascending.
    pub(crate) fn between(
        &self,
        axis: Axis,
        span: Range<i64>,
    ) -> impl DoubleEndedIterator<Item = usize> + '_ {
        self.after(axis, (span.start, 0), span.end)
    }

    /// Positions of rows from this time and id (inclusive) to `end` (exclusive).
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
            .map(|&(_, _, position)| position)
    }

    /// Appends a row under the next number; returns its position.
    pub(crate) fn insert(&mut self, row: Row) -> usize {
        let position = self.rows.len();
        let row = Row {
            number: number_of(position),
            ..row
        };
        for (axis, entries) in &mut self.axes {
            if let Some(at) = axis.of(&row) {
                entries.insert((at, row.id, position));
            }
        }
        if row.phase.is_open() {
            self.open.push(position);
        }
        self.positions.insert(row.id, position);
        self.rows.push(row);
        position
    }

    /// Changes a row and its index entries; the id must not change.
    pub(crate) fn change(&mut self, position: usize, change: impl FnOnce(&mut Row)) {
        let Some(row) = self.rows.get_mut(position) else {
            return;
        };
        let before = *row;
        change(row);
        for (axis, entries) in &mut self.axes {
            if let Some(at) = axis.of(&before) {
                entries.remove(&(at, before.id, position));
            }
            if let Some(at) = axis.of(row) {
                entries.insert((at, row.id, position));
            }
        }
        if !row.phase.is_open() {
            self.open.retain(|&open| open != position);
        }
    }

    /// Positions of the rows that are going to change.
    pub(crate) fn open(&self) -> &[usize] {
        &self.open
    }
}

fn number_of(position: usize) -> u64 {
    u64::try_from(position)
        .unwrap_or(u64::MAX)
        .saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::Table;
    use crate::merchants::row::{Axis, Phase, Row};

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
        let table = Table::new(&[child, row(8, 7), row(7, 1)]);
        let numbers: Vec<_> = table
            .between(Axis::Created, 0..10)
            .filter_map(|position| table.row(position))
            .map(|row| {
                (
                    row.number,
                    row.id,
                    table.parent(row).map(|parent| parent.id),
                )
            })
            .collect();
        assert_eq!(numbers, [(1, 7, None), (2, 9, Some(7)), (3, 8, None)]);
    }

    #[test]
    fn a_changed_row_moves_in_its_index_and_is_no_longer_open() {
        let mut table = Table::new(&[row(1, 10), row(2, 20)]);
        assert_eq!(table.open(), [0, 1]);
        table.change(0, |row| {
            row.updated = 30;
            row.phase = Phase::Succeeded;
        });
        assert_eq!(table.between(Axis::Updated, 0..25).collect::<Vec<_>>(), [1]);
        assert_eq!(
            table.between(Axis::Updated, 0..31).collect::<Vec<_>>(),
            [1, 0]
        );
        assert_eq!(table.open(), [1]);
        let position = table.insert(row(3, 20));
        assert_eq!(
            table.after(Axis::Created, (20, 3), 21).collect::<Vec<_>>(),
            [position]
        );
        assert_eq!(table.after(Axis::Created, (20, 3), 5).count(), 0);
    }
}
