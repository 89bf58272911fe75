//! An answer and the items in it: one owns the text, the other points into it. So the items of a page can
//! be prepared while the page before it is stored.

use self_cell::self_cell;
use serde_json::value::RawValue;

use crate::engine::read::request::Fetched;
use crate::number::count;
use paysync_provider::item::{ItemContext, PageItems};
use paysync_provider::{Next, Page, PageError, Response, wire};

/// Items prepared before other tasks get their turn.
const YIELD_EVERY: usize = 100;

self_cell!(
    /// A page whose envelope has been parsed.
    pub(super) struct ParsedPage {
        owner: Fetched,
        #[covariant]
        dependent: ParsedItems,
    }
);

struct ParsedItems<'a> {
    unprepared: std::vec::IntoIter<&'a RawValue>,
    items: PageItems<'a>,
    item_count: u64,
    next: Next,
    provider_count: Option<u64>,
}

impl<'a> ParsedItems<'a> {
    fn of(page: Page<'a>) -> Self {
        Self {
            items: PageItems::default(),
            item_count: count(page.items.len()),
            unprepared: page.items.into_iter(),
            next: page.next,
            provider_count: page.count,
        }
    }
}

impl ParsedPage {
    pub(super) fn parse(
        fetched: Fetched,
        parse: impl for<'r> Fn(&'r Response) -> Result<Page<'r>, PageError>,
    ) -> Result<Self, PageError> {
        let read_first =
            Self::try_new_or_recover(fetched, |it| parse(&it.response).map(ParsedItems::of));
        let (mut fetched, error) = match read_first {
            Ok(page) => return Ok(page),
            Err(failed) => failed,
        };
        // Single items that are no JSON go to quarantine; the others are read.
        let PageError::NotJson { .. } = error else {
            return Err(error);
        };
        fetched.response.body = wire::repaired(&fetched.response.body).ok_or(error)?;
        Self::try_new(fetched, |it| parse(&it.response).map(ParsedItems::of))
    }

    /// Prepares all items, and lets other tasks have their turn in between.
    pub(super) async fn prepare_items(&mut self, context: ItemContext<'_>) {
        while self.prepare_some(context) {
            tokio::task::yield_now().await;
        }
    }

    fn prepare_some(&mut self, context: ItemContext<'_>) -> bool {
        self.with_dependent_mut(|_, contents| {
            for item in contents.unprepared.by_ref().take(YIELD_EVERY) {
                contents.items.push(context, item);
            }
            contents.unprepared.len() > 0
        })
    }

    pub(super) fn fetched(&self) -> &Fetched {
        self.borrow_owner()
    }

    /// The items prepared so far.
    pub(super) fn items(&self) -> &PageItems<'_> {
        &self.borrow_dependent().items
    }

    /// How many items were sent.
    pub(super) fn item_count(&self) -> u64 {
        self.borrow_dependent().item_count
    }

    /// What comes after the page.
    pub(super) fn next(&self) -> &Next {
        &self.borrow_dependent().next
    }

    /// The provider's own count, if it gave one.
    pub(super) fn provider_count(&self) -> Option<u64> {
        self.borrow_dependent().provider_count
    }
}
