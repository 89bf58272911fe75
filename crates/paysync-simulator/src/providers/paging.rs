//! Offset paging over an order that is undefined for rows of the same second.

use std::cmp::Reverse;

use crate::merchants::row::Axis;
use crate::merchants::table::Table;
use crate::random;

const SECOND: i64 = 1_000_000;

/// Up to `count` of `positions` from `offset`: newest second first, rows of the same second in an order
/// that depends on the request's `number`. `positions` must be sorted by `axis`, descending.
pub(crate) fn newest(
    table: &Table,
    axis: Axis,
    positions: impl Iterator<Item = usize>,
    number: u64,
    (offset, count): (usize, usize),
) -> Vec<usize> {
    let wanted = offset.saturating_add(count);
    let mut ordered: Vec<(Reverse<i64>, u64, usize)> = Vec::new();
    for position in positions {
        let Some((row, at)) = table
            .row(position)
            .and_then(|row| Some((row, axis.of(row)?)))
        else {
            continue;
        };
        let second = at.div_euclid(SECOND);
        if ordered.len() >= wanted
            && ordered
                .last()
                .is_some_and(|&(last, ..)| last != Reverse(second))
        {
            break;
        }
        ordered.push((Reverse(second), random::tie_break(row.id, number), position));
    }
    ordered.sort_unstable();
    let positions = ordered.into_iter().map(|(.., position)| position);
    positions.skip(offset).take(count).collect()
}
