//! Items as the store reads them, and what reading them shows.

use std::sync::OnceLock;

use uuid::Uuid;

use crate::store::page::Item;
use paysync_provider::Provider;
use paysync_provider::item::{PageItems, PreparedItem, Record, Rejected};
use paysync_provider::model::Transaction;
use paysync_provider::redact::Taken;

/// What reading a page's items shows.
pub(crate) struct ReadObserver<'r> {
    read: &'r (dyn Fn(&Transaction) + Sync),
    first_rejection: OnceLock<String>,
    pub(crate) redactions: Taken,
}

impl<'r> ReadObserver<'r> {
    pub(crate) fn new(read: &'r (dyn Fn(&Transaction) + Sync), page: &PageItems<'_>) -> Self {
        let observer = Self {
            read,
            first_rejection: OnceLock::new(),
            redactions: page.redactions,
        };
        if let Some(first) = page.rejected.first() {
            observer.reject(&first.detail);
        }
        observer
    }

    fn reject(&self, detail: &str) {
        self.first_rejection.get_or_init(|| detail.to_owned());
    }

    pub(crate) fn first_rejection(&self) -> Option<&str> {
        self.first_rejection.get().map(String::as_str)
    }
}

/// An item that can be read.
pub(crate) struct LazyRecord<'a> {
    item: &'a PreparedItem<'a>,
    provider: &'a dyn Provider,
    observer: &'a ReadObserver<'a>,
}

/// The items, to be read by their provider.
pub(crate) fn lazy_records<'a>(
    page: &'a PageItems<'_>,
    provider: &'a dyn Provider,
    observer: &'a ReadObserver<'a>,
) -> Vec<LazyRecord<'a>> {
    let lazy = |item| LazyRecord {
        item,
        provider,
        observer,
    };
    page.items.iter().map(lazy).collect()
}

impl<'a> Item<'a> for LazyRecord<'a> {
    fn id(&self) -> &str {
        &self.item.id
    }

    fn hash(&self) -> Uuid {
        self.item.hash
    }

    fn read(&self) -> Result<Record<'a>, Rejected<'a>> {
        let read = self.item.read(self.provider);
        match &read {
            Ok(record) => (self.observer.read)(&record.transaction),
            Err(rejected) => self.observer.reject(&rejected.detail),
        }
        read
    }
}
