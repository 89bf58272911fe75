//! How far each stream has been read: its coverage, the ledger of windows, and what is read again.

pub(crate) mod range;
pub mod recheck;
pub mod stream;
pub mod window;
