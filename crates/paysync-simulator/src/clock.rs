//! The simulator's clock: the machine's, or one that a test sets.

use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};

#[derive(Debug, Default)]
pub(crate) struct Clock {
    fixed: Mutex<Option<DateTime<Utc>>>,
    /// Offset of a clock that follows the machine.
    offset: Mutex<TimeDelta>,
}

impl Clock {
    /// A clock that stands still at `fixed`, or follows the machine if there is none.
    pub(crate) fn new(fixed: Option<DateTime<Utc>>) -> Self {
        Self {
            fixed: Mutex::new(fixed),
            offset: Mutex::default(),
        }
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "the simulated providers have a clock of their own, as real ones do"
    )]
    pub(crate) fn now(&self) -> DateTime<Utc> {
        let offset = *lock(&self.offset);
        lock(&self.fixed).unwrap_or_else(|| Utc::now() + offset)
    }

    /// Sets the offset of a clock that follows the machine.
    pub(crate) fn set_offset(&self, offset: TimeDelta) {
        *lock(&self.offset) = offset;
    }

    pub(crate) fn set(&self, now: DateTime<Utc>) {
        *lock(&self.fixed) = Some(now);
    }

    /// Moves a fixed clock; a clock that follows the machine is unchanged.
    pub(crate) fn advance(&self, by: TimeDelta) {
        let mut fixed = lock(&self.fixed);
        *fixed = fixed.and_then(|now| now.checked_add_signed(by));
    }
}

/// Locks, even if the mutex is poisoned: a simulator has no state to protect.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The instant of `micros` since 1970.
pub(crate) fn instant(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}
