//! The HTTP server of all simulated APIs.

mod response;
pub(crate) mod server;
