//! HTTP to the providers: authenticates, sends, verifies and caps.
//!
//! The process shares one HTTP client; a [`ProviderClient`] for each account adds its base URL,
//! credential, request budget and timeout. No error contains a secret: messages name the failure, never
//! the query of a URL, a header or a body.

mod error;
mod http_client;
pub mod limiter;
mod provider_client;
pub mod retry;

pub use error::{MAX_BODY_BYTES, TransportError};
pub use http_client::{USER_AGENT, client, client_that_trusts, is_local, local_client};
pub use provider_client::{MAX_WAIT_IN_READ, Priority, ProviderClient, ProviderResponse};
