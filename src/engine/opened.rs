//! An answer and the items in it: one owns the text, the other points into it. So a page can be
//! sorted out while the one before it is stored.

use self_cell::self_cell;
use serde_json::value::RawValue;

use super::fetch::Fetched;
use paysync_provider::item::{ItemContext, PageItems};
use paysync_provider::{Next, Page, PageError, Response};

/// Items sorted at one go; in between, others have their turn.
const AT_ONE_GO: usize = 100;

self_cell!(
    /// An answer that has been opened.
    pub(super) struct Opened {
        owner: Fetched,
        #[covariant]
        dependent: Contents,
    }
);

/// What a page holds.
struct Contents<'a> {
    /// Items not yet sorted.
    left: std::vec::IntoIter<&'a RawValue>,
    sorted: PageItems<'a>,
    items: u64,
    next: Next,
    count: Option<u64>,
}

impl Opened {
    /// Opens an answer with what reads its envelope.
    pub(super) fn open(
        fetched: Fetched,
        read: impl for<'r> FnOnce(&'r Response) -> Result<Page<'r>, PageError>,
    ) -> Result<Self, PageError> {
        Self::try_new(fetched, |fetched| {
            let Page { items, next, count } = read(&fetched.response)?;
            Ok(Contents {
                sorted: PageItems::default(),
                items: u64::try_from(items.len()).unwrap_or(u64::MAX),
                left: items.into_iter(),
                next,
                count,
            })
        })
    }

    /// Sorts all items, and lets others have their turn in between.
    pub(super) async fn sort(&mut self, context: ItemContext<'_>) {
        while self.sort_some(context) {
            tokio::task::yield_now().await;
        }
    }

    fn sort_some(&mut self, context: ItemContext<'_>) -> bool {
        self.with_dependent_mut(|_, contents| {
            for item in contents.left.by_ref().take(AT_ONE_GO) {
                contents.sorted.push(context, item);
            }
            contents.left.len() > 0
        })
    }

    pub(super) fn fetched(&self) -> &Fetched {
        self.borrow_owner()
    }

    pub(super) fn sorted(&self) -> &PageItems<'_> {
        &self.borrow_dependent().sorted
    }

    /// How many items were sent.
    pub(super) fn items(&self) -> u64 {
        self.borrow_dependent().items
    }

    /// What comes after the page.
    pub(super) fn next(&self) -> &Next {
        &self.borrow_dependent().next
    }

    /// The provider's own count, if it gave one.
    pub(super) fn count(&self) -> Option<u64> {
        self.borrow_dependent().count
    }
}
