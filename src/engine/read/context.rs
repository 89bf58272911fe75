//! What the reads of one account's windows share.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::engine::account::Account;
use crate::engine::lease_keeper::LeaseHandle;
use crate::engine::page_memory::PageMemory;
use crate::store::Store;
use crate::store::account::Lease;

/// What reading windows of an account needs. Each window is read in a task of its own: a future
/// that is not polled could hold a row lock that its neighbour waits for.
#[derive(Clone)]
pub(crate) struct ReadContext {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) account: Arc<Account>,
    pub(crate) page_memory: PageMemory,
    pub(crate) lease: Lease,
    /// The lease as the keeper renews it.
    pub(crate) lease_handle: LeaseHandle,
    /// Asks to stop after the page that is being stored.
    pub(crate) stop: CancellationToken,
}
