//! The engine: leases accounts, reads their windows page by page, stores what they hold.
//!
//! `supervisor` works on the accounts until it is stopped, `sync` once; `keeper` holds the leases,
//! `work` one account's loop, `hand` which windows it has in hand, `window` the reading of one window,
//! `repoll` and `audit` the other ways to look at one; `memory` how many pages all of them have in work;
//! `paging` and `policy` are the pure decisions. `replay` reads again what is stored, `life` tells of one row.

pub mod account;
mod audit;
mod behind;
mod fetch;
mod hand;
pub mod housekeeping;
mod keeper;
pub mod life;
mod look;
mod memory;
mod notes;
mod opened;
mod outage;
mod paging;
pub mod policy;
pub mod progress;
pub mod replay;
mod repoll;
pub mod status;
pub mod supervisor;
mod sync;
pub mod verify;
mod window;
mod work;

pub use account::Account;
pub use memory::PageMemory;
pub use progress::AccountProgress;
pub use supervisor::Engine;
pub use sync::{Outcome, SyncReport};
