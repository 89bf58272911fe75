//! The engine: leases accounts, reads their windows page by page, stores what they hold.
//!
//! `process` leases the accounts of a process, until it is stopped or once; `account_loop` works on one
//! account: it opens windows that are due and reacts to failures; `read` reads one window. `inspect`
//! answers operators' questions from the database, `replay` reads stored payloads again, `maintenance`
//! deletes what has expired.

pub mod account;
mod account_loop;
pub mod failure;
pub mod inspect;
mod lease_keeper;
pub mod maintenance;
mod page_memory;
mod process;
pub mod progress;
mod read;
pub mod replay;

pub use account::Account;
pub use account_loop::Outcome;
pub use page_memory::PageMemory;
pub use process::Engine;
pub use process::sync::SyncReport;
pub use progress::AccountProgress;
