//! The credentials that the simulated APIs accept.
//!
//! Each user and token has twins: `<it>-1`, `<it>-2` and so on see the same rows but count
//! as credentials of their own, for tests with many accounts. Secrets have no twins.

/// ConvergeGate's bearer token.
pub const CONVERGEGATE_TOKEN: &str = "simulator-token";
/// The DWH's user.
pub const DWH_PSP_ID: &str = "simulator";
/// The DWH's password.
pub const DWH_SECRET_KEY: &str = "simulator-secret";
