//! The only reader of time.
//!
//! Everything below `engine` takes *now* as an argument; the engine asks a [`Clock`].
//! Leases use the database's clock instead, see `store::account`.

use std::fmt::Debug;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

/// A source of the current instant.
pub trait Clock: Debug + Send + Sync {
    /// The current instant, in whole microseconds (PostgreSQL keeps no more).
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the time"
    )]
    fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(6)
    }
}

/// The machine's clock, shifted: for tests of clock jumps.
#[derive(Debug, Clone, Copy)]
pub struct ShiftedClock(pub TimeDelta);

impl Clock for ShiftedClock {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + self.0
    }
}
