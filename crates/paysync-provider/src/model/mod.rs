//! Data types common to all providers: amounts, transactions, windows of time.

pub mod checksum;
pub mod difference;
pub mod format;
pub mod money;
pub mod payment_key;
pub mod transaction;
pub mod window;

pub use difference::{Difference, differences};
pub use payment_key::PaymentLinks;
pub use transaction::{Column, Field, Kind, Status, Transaction};
pub use window::{IntervalSet, Window};
