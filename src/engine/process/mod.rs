//! What one process works on: the accounts it leases, until it is stopped or once.

mod outage;
pub(super) mod supervisor;
pub(super) mod sync;
