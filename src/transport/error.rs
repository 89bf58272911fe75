//! Why a request got no response.

use paysync_provider::PageError;
use thiserror::Error;

/// Maximum size of a response after decompression. A page of 1000 wide rows has about 5 MB.
pub const MAX_BODY_BYTES: usize = 64 << 20;

/// Why a request got no response.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TransportError {
    /// The host name is unknown, or nothing listens on the address.
    #[error("cannot connect to {host}: {cause}")]
    Connect {
        /// Host and port.
        host: String,
        /// The innermost cause.
        cause: String,
    },
    /// The server's certificate comes from an unknown authority.
    #[error("cannot connect to {host}: {cause}")]
    UnknownAuthority {
        /// Host and port.
        host: String,
        /// The innermost cause.
        cause: String,
    },
    /// No response in time.
    #[error("no answer from {host} within {seconds} s")]
    Timeout {
        /// Host and port.
        host: String,
        /// The time limit.
        seconds: u64,
    },
    /// The connection broke, or the body was cut short.
    #[error("the answer from {host} broke off: {cause}")]
    Broken {
        /// Host and port.
        host: String,
        /// The innermost cause.
        cause: String,
    },
    /// The body is compressed in a way that was not asked for.
    #[error("the answer from {host} has the encoding {encoding}, which was not asked for")]
    Encoding {
        /// Host and port.
        host: String,
        /// The encoding.
        encoding: String,
    },
    /// The body is larger than [`MAX_BODY_BYTES`].
    #[error("the answer from {host} is larger than {} MiB", MAX_BODY_BYTES >> 20)]
    TooLarge {
        /// Host and port.
        host: String,
    },
    /// The request is not valid HTTP: a defect of the provider's code, or a broken credential.
    #[error("the request cannot be sent: {0}")]
    Unsendable(&'static str),
    /// The signature of the response does not match, and the account requires it.
    #[error(transparent)]
    Unverified(#[from] PageError),
}

/// The text of the innermost cause: outer errors repeat the URL.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let mut text = cause.to_string();
    text.truncate(text.floor_char_boundary(200));
    text
}
