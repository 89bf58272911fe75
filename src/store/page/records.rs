//! Items on their way to records: one for each row, and read only when its record is needed.

use std::collections::BTreeSet;

use super::PageCommit;
use paysync_provider::Provider;
use paysync_provider::item::{PreparedItem, Record, Rejected};

/// A page's items, one for each row.
pub(super) struct UniqueItems<'p> {
    /// In the order of their ids.
    pub(super) items: Vec<&'p PreparedItem<'p>>,
    /// Items that stand before them in the page with the same id.
    pub(super) duplicate: u64,
    /// Items that stand after them with the same id, and cannot be read.
    pub(super) rejected: Vec<Rejected<'p>>,
}

impl<'p> UniqueItems<'p> {
    /// Sorts items by id. Of several with one id, the last that can be read stays.
    pub(super) fn new(page: &PageCommit<'p>) -> Self {
        // A stable sort keeps the page's order among equals; reversed, the last comes first.
        let mut sorted: Vec<&PreparedItem<'_>> = page.items.items.iter().rev().collect();
        sorted.sort_by(|a, b| a.id.cmp(&b.id));
        let mut unique = Self {
            items: Vec::with_capacity(sorted.len()),
            duplicate: 0,
            rejected: Vec::new(),
        };
        let mut sorted = sorted.into_iter().peekable();
        while let Some(item) = sorted.next() {
            let is_twin = |other: &PreparedItem<'_>| other.id == item.id;
            if unique.items.last().is_some_and(|last| is_twin(last)) {
                unique.duplicate += 1;
                continue;
            }
            if sorted.peek().is_some_and(|next| is_twin(next))
                && let Err(rejected) = item.normalize(page.provider)
            {
                unique.rejected.push(rejected);
                continue;
            }
            unique.items.push(item);
        }
        unique
    }
}

/// Reads items one after another, each when its record is taken: a page's records are never all in
/// memory while they are copied.
pub(super) struct LazyRecords<'p> {
    provider: &'p dyn Provider,
    items: std::slice::Iter<'p, &'p PreparedItem<'p>>,
    /// Items that could not be read so far.
    pub(super) rejected: Vec<Rejected<'p>>,
    /// Words of the records so far that paysync does not know.
    pub(super) unknown_words: BTreeSet<(&'static str, String)>,
}

impl<'p> LazyRecords<'p> {
    pub(super) fn new(provider: &'p dyn Provider, items: &'p [&'p PreparedItem<'p>]) -> Self {
        Self {
            provider,
            items: items.iter(),
            rejected: Vec::new(),
            unknown_words: BTreeSet::new(),
        }
    }
}

impl<'p> Iterator for LazyRecords<'p> {
    type Item = Record<'p>;

    fn next(&mut self) -> Option<Record<'p>> {
        loop {
            match self.items.next()?.normalize(self.provider) {
                Ok(record) => {
                    let words = record.unknown_words();
                    self.unknown_words
                        .extend(words.map(|(column, word)| (column, word.to_owned())));
                    return Some(record);
                }
                Err(rejected) => self.rejected.push(rejected),
            }
        }
    }
}
