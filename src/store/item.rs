//! The items of a page, before and after they are read.

use uuid::Uuid;

use paysync_provider::item::{Record, Rejected};

/// An item of a page: which row it is of, and whether it differs. It is read only if it is news.
pub trait Item<'a>: Send {
    /// The provider's id.
    fn id(&self) -> &str;

    /// XXH3-128 of the payload.
    fn hash(&self) -> Uuid;

    /// Makes a record of it, or says why it can be none; the same each time.
    fn read(&self) -> Result<Record<'a>, Rejected<'a>>;
}

impl<'a> Item<'a> for Record<'a> {
    fn id(&self) -> &str {
        &self.transaction.provider_transaction_id
    }

    fn hash(&self) -> Uuid {
        self.hash
    }

    fn read(&self) -> Result<Record<'a>, Rejected<'a>> {
        Ok(self.clone())
    }
}

/// The items of a page that are to be written: each is read when its turn comes.
pub(super) struct Unread<'p, 'a, I> {
    sent: &'p [MaybeRead<'a, I>],
    /// Places of those to be written.
    places: std::slice::Iter<'p, usize>,
    /// What could not be read joins these.
    rejected: &'p mut Vec<Rejected<'a>>,
}

impl<'p, 'a, I> Unread<'p, 'a, I> {
    pub(super) fn new(
        sent: &'p [MaybeRead<'a, I>],
        places: &'p [usize],
        rejected: &'p mut Vec<Rejected<'a>>,
    ) -> Self {
        Self {
            sent,
            places: places.iter(),
            rejected,
        }
    }
}

impl<'a, I: Item<'a>> Iterator for Unread<'_, 'a, I> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        loop {
            let item = self.sent.get(*self.places.next()?)?;
            match item.read() {
                Ok(record) => return Some(record),
                Err(bad) => self.rejected.push(bad),
            }
        }
    }
}

/// An item, read already or not.
pub(super) enum MaybeRead<'a, I> {
    Unread(I),
    Read(Box<Record<'a>>),
}

impl<'a, I: Item<'a>> Item<'a> for MaybeRead<'a, I> {
    fn id(&self) -> &str {
        match self {
            Self::Unread(item) => item.id(),
            Self::Read(record) => record.id(),
        }
    }

    fn hash(&self) -> Uuid {
        match self {
            Self::Unread(item) => item.hash(),
            Self::Read(record) => record.hash,
        }
    }

    fn read(&self) -> Result<Record<'a>, Rejected<'a>> {
        match self {
            Self::Unread(item) => item.read(),
            Self::Read(record) => record.read(),
        }
    }
}

/// Sorts items by key, and keeps the last of those with one key that can be read.
pub(super) fn last_of_each<'a, I: Item<'a>>(
    mut items: Vec<I>,
    rejected: &mut Vec<Rejected<'a>>,
) -> (Vec<MaybeRead<'a, I>>, u64) {
    let mut duplicate = 0;
    // A stable sort keeps the page's order among equals; reversed, the last comes first.
    items.reverse();
    items.sort_by(|a, b| a.id().cmp(b.id()));
    let mut items = items.into_iter().peekable();
    let mut kept: Vec<MaybeRead<'a, I>> = Vec::with_capacity(items.len());
    while let Some(item) = items.next() {
        let is_twin = |other: &I| other.id() == item.id();
        if kept.last().is_some_and(|last| last.id() == item.id()) {
            duplicate += 1;
        } else if items.peek().is_some_and(is_twin) {
            match item.read() {
                Ok(record) => kept.push(MaybeRead::Read(Box::new(record))),
                Err(bad) => rejected.push(bad),
            }
        } else {
            kept.push(MaybeRead::Unread(item));
        }
    }
    (kept, duplicate)
}
