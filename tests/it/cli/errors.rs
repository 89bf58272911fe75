//! Errors: their exit code, their one line, and no secret in them.

mod database_outage;
mod invalid_input;
mod provider_errors;
mod provider_outage;
mod secrets;

/// The account of ConvergeGate.
const ACCOUNT: &str = "simulated-convergegate";
