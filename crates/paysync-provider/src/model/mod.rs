//! What every provider's rows have in common: exact money, kinds and statuses, windows of time.

pub mod difference;
pub mod money;
pub mod transaction;
pub mod window;
pub mod words;

pub use difference::{Difference, differences};
pub use transaction::{Column, Field, Kind, Status, Transaction};
pub use window::{IntervalSet, Window};
