//! Offset paging over an order that promises nothing for rows of the same second.

use std::cmp::Reverse;

use super::dice;
use super::world::{Axis, World};

const SECOND: i64 = 1_000_000;

/// Up to `count` of `places` from `offset` on: newest second first, ties in the order of the
/// request's `number`. The places come by the time of `axis` descending already.
pub(crate) fn newest(
    world: &World,
    axis: Axis,
    places: impl Iterator<Item = usize>,
    number: u64,
    (offset, count): (usize, usize),
) -> Vec<usize> {
    let wanted = offset.saturating_add(count);
    let mut ordered: Vec<(Reverse<i64>, u64, usize)> = Vec::new();
    for place in places {
        let Some((row, at)) = world.row(place).and_then(|row| Some((row, axis.of(row)?))) else {
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
        ordered.push((Reverse(second), dice::tie(row.id, number), place));
    }
    ordered.sort_unstable();
    let places = ordered.into_iter().map(|(.., place)| place);
    places.skip(offset).take(count).collect()
}
