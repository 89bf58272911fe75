//! The provider's count of a window, compared with the rows held.

use tracing::{debug, warn};

use super::account::Stream;
use super::policy::Failure;
use super::window::Reader;
use crate::failpoint::failpoint;
use crate::store::page::PageContext;
use crate::store::progress::window::OpenWindow;
use paysync_provider::Position;

impl Reader {
    /// Counts a window. If the provider has more than is held, the window becomes a gap again.
    pub(super) async fn audit(&self, stream: &Stream, window: &OpenWindow) -> Result<(), Failure> {
        let provider = &*self.account.provider;
        let span = window.planned.window;
        let at = Position {
            stream: &stream.spec.name,
            window: span,
            checkpoint: None,
            page_size: self.account.page_size,
        };
        let (fetched, counted) = self
            .asking(&stream.spec.name, window.planned.lane)
            .fetch_and_read(
                || provider.request_count(&at),
                |response| provider.count(response),
            )
            .await?;
        failpoint("audit.counted");
        // Counted here after the provider did: rows stored in between can only add to it.
        let stored = self.store.stored_count(&self.account.id, window).await?;
        let context = PageContext {
            provider: self.account.spec.code,
            window,
            requested_at: fetched.requested_at,
            outside: 0,
            provider_count: Some(counted),
        };
        self.store
            .close_audit(&self.lease, &context, stored)
            .await?;
        if stored.is_short_of(counted) {
            warn!(
                account.id = %self.account.id, stream.name = %stream.spec.name, window.start = %span.start(),
                window.end = %span.end(), records.held = stored.rows, records.counted = counted,
                hint = "nothing to do: the window is read again; if it comes back every day, the count is of something else: set audit = [] for the account",
                "the provider counts more rows than are held"
            );
        } else if stored.matches(counted) {
            debug!(
                account.id = %self.account.id, stream.name = %stream.spec.name, window.start = %span.start(),
                window.end = %span.end(), records.held = stored.rows, "the provider counts what is held"
            );
        } else {
            warn!(
                account.id = %self.account.id, stream.name = %stream.spec.name, window.start = %span.start(),
                window.end = %span.end(), records.held = stored.rows, records.counted = counted,
                hint = "rows disappeared at the provider, or the account's filter was narrowed; ask them",
                "the provider counts fewer rows than are held"
            );
        }
        Ok(())
    }
}
