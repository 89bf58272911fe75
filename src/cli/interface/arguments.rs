//! Arguments of more than one command.

use chrono::{DateTime, Utc};
use paysync_provider::model::Window;

use crate::app::UsageError;

/// The accounts of a command.
#[derive(Debug, clap::Args)]
pub(crate) struct Accounts {
    /// Only this account; may be given more than once
    #[arg(long, value_name = "ID")]
    pub(crate) account: Vec<String>,
}

/// An interval.
#[derive(Debug, clap::Args)]
pub(crate) struct Interval {
    /// Start of the interval, RFC 3339
    #[arg(long, value_name = "TIME")]
    from: DateTime<Utc>,
    /// End of the interval, RFC 3339; exclusive
    #[arg(long, value_name = "TIME")]
    to: DateTime<Utc>,
}

impl Interval {
    /// The interval as a window; fails if it is empty.
    pub(crate) fn window(&self) -> Result<Window, UsageError> {
        let (from, to) = (self.from, self.to);
        let error = || UsageError(format!("--from {from} is not before --to {to}"));
        Window::new(from, to).ok_or_else(error)
    }
}
