//! The simulator's reading of time: the machine's, or one that a test sets.

use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};

/// Tells the simulator what "now" is; microseconds since 1970 inside the simulator.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    fixed: Mutex<Option<DateTime<Utc>>>,
    /// How far a clock that follows the machine is off.
    off: Mutex<TimeDelta>,
}

impl Clock {
    /// Stands still at `fixed`, or follows the machine if there is none.
    pub(crate) fn new(fixed: Option<DateTime<Utc>>) -> Self {
        Self {
            fixed: Mutex::new(fixed),
            off: Mutex::default(),
        }
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "the provider's side has a clock of its own, as real providers do"
    )]
    pub(crate) fn now(&self) -> DateTime<Utc> {
        let off = *lock(&self.off);
        lock(&self.fixed).unwrap_or_else(|| Utc::now() + off)
    }

    /// Sets a clock that follows the machine ahead or back.
    pub(crate) fn jump(&self, off: TimeDelta) {
        *lock(&self.off) = off;
    }

    pub(crate) fn set(&self, now: DateTime<Utc>) {
        *lock(&self.fixed) = Some(now);
    }

    /// Moves a fixed clock; a clock that follows the machine stays as it is.
    pub(crate) fn advance(&self, by: TimeDelta) {
        let mut fixed = lock(&self.fixed);
        *fixed = fixed.and_then(|now| now.checked_add_signed(by));
    }
}

/// Locks; a poisoned lock is used as it is, because a simulator has nothing to protect.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The instant of `micros` since 1970.
pub(crate) fn instant(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}
