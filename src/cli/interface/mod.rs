//! Shared by the commands: arguments, confirmation, output, errors, signals.

pub(crate) mod arguments;
pub(crate) mod confirmation;
pub(crate) mod errors;
pub(crate) mod examples;
pub(crate) mod output;
pub(crate) mod signals;
