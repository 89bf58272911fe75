//! The provider's count of a window, compared with the rows stored.

use tracing::{debug, warn};

use crate::engine::failure::Failure;
use crate::engine::read::context::ReadContext;
use crate::engine::read::request::{Fetched, RequestContext};
use crate::failpoint::failpoint;
use crate::store::page::PageContext;
use crate::store::progress::window::OpenWindow;
use paysync_provider::Position;

/// Audits a window. If the provider counts more rows than are stored, the window becomes a gap again.
pub(crate) async fn audit_window(
    context: &ReadContext,
    window: &OpenWindow,
) -> Result<(), Failure> {
    let account = &context.account;
    let provider = &*account.provider;
    let at = Position {
        stream: &window.stream,
        window: window.planned.window,
        checkpoint: None,
        page_size: account.page_size,
    };
    let requests = RequestContext::new(context, window);
    let make = || provider.request_count(&at);
    let parse = |fetched: Fetched| {
        let counted = provider.count(&fetched.response)?;
        Ok((fetched.requested_at, counted))
    };
    let (requested_at, counted) = requests.fetch(make, parse).await?;
    failpoint("audit.counted");
    // Rows are counted here after the provider counted them: what came in between can only make it more.
    let stored = context.store.stored_count(&account.id, window).await?;
    let page = PageContext {
        provider_code: account.spec.code,
        window,
        requested_at,
        outside: 0,
        provider_count: Some(counted),
    };
    let store = &context.store;
    store
        .close_audit(&context.held.lease, &page, stored)
        .await?;
    if stored.is_short_of(counted) {
        warn!(
            records.held = stored.rows,
            records.counted = counted,
            hint = "nothing to do: the window is read again; if this line returns every day, the provider counts something else: set audit = [] for the account",
            "the provider counts more rows than are stored"
        );
    } else if stored.matches(counted) {
        debug!(
            records.held = stored.rows,
            "the provider counts as many rows as are stored"
        );
    } else {
        warn!(
            records.held = stored.rows,
            records.counted = counted,
            hint = "ask the provider: rows disappeared there, or the account's filter was narrowed",
            "the provider counts fewer rows than are stored"
        );
    }
    Ok(())
}
