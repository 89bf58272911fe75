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

    /// The instant to plan by while the database's clock shows `database`: the earlier of both. Reading
    /// beyond it could cover time that is still in the future, whose rows would then be missed.
    fn planning_time(&self, database: DateTime<Utc>) -> DateTime<Utc> {
        self.now().min(database)
    }
}

/// Difference of two clocks above which it is logged.
pub const MAX_CLOCK_SKEW: TimeDelta = TimeDelta::seconds(20);

/// The clock of this machine.
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

/// The clocks of machine and database, shifted, for tests of the future.
#[derive(Debug, Clone, Copy)]
pub struct ShiftedClock(pub TimeDelta);

impl Clock for ShiftedClock {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + self.0
    }

    fn planning_time(&self, _database: DateTime<Utc>) -> DateTime<Utc> {
        self.now()
    }
}
