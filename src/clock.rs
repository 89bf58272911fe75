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

    /// The instant to plan by while the database's clock shows `database`: the earlier of both. What
    /// is still to come by either is not read yet: it would count as covered, and nobody would look
    /// for the rows that are made there later.
    fn agreed(&self, database: DateTime<Utc>) -> DateTime<Utc> {
        self.now().min(database)
    }
}

/// How far two clocks may be apart before it is worth telling.
pub const WORST_SKEW: TimeDelta = TimeDelta::seconds(20);

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

/// The machine's clock and the database's, shifted: for tests of what comes later.
#[derive(Debug, Clone, Copy)]
pub struct ShiftedClock(pub TimeDelta);

impl Clock for ShiftedClock {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + self.0
    }

    fn agreed(&self, _database: DateTime<Utc>) -> DateTime<Utc> {
        self.now()
    }
}
