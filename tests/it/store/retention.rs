//! Retention: windows are folded, and old versions, quarantined items and payloads are deleted.

mod expiry;
mod folding;

use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);
const MONTH: Duration = Duration::from_hours(30 * 24);
const LIMIT: i64 = 1000;
