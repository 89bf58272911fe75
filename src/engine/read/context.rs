//! What the reads of one account's windows share.

use std::sync::Arc;

use crate::clock::Clock;
use crate::engine::account::Account;
use crate::engine::failure::Failure;
use crate::engine::lease_keeper::HeldLease;
use crate::engine::page_memory::PageMemory;
use crate::store::Store;

/// What reading windows of an account needs. Each window is read in a task of its own: a future
/// that is not polled could hold a row lock that its neighbour waits for.
#[derive(Clone)]
pub(crate) struct ReadContext {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) account: Arc<Account>,
    pub(crate) page_memory: PageMemory,
    pub(crate) held: HeldLease,
}

impl ReadContext {
    /// Waits for a future, unless the work is asked to stop.
    pub(super) async fn unless_stopped<T>(
        &self,
        future: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        let running = self.held.stop.run_until_cancelled(future).await;
        running.ok_or(Failure::Stopped)
    }
}
