//! Faults between a provider and its clients.

use crate::random::Rng;

/// A fault of one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status with an empty JSON object.
    Status(u16),
    /// 502 with an HTML page, as a proxy writes it.
    Html,
    /// This status with an HTML page, as a proxy that refuses access writes it.
    Web(u16),
    /// No answer until the client gives up.
    Timeout,
    /// The first half of the correct answer, in a complete transfer.
    Truncated,
    /// 429, with this `Retry-After`, if any.
    RateLimited(Option<String>),
    /// 503, with this `Retry-After`.
    Away(String),
    /// The first half of the correct answer, then a reset of the connection.
    Reset,
    /// 200 with unexpected JSON.
    WrongJson,
    /// 200 with this body.
    Body(String),
    /// 200 with this body, which may be invalid UTF-8.
    Bytes(Vec<u8>),
    /// The correct answer with this item before its own.
    Extra(String),
    /// 200 with an endless body.
    Endless,
}

impl Fault {
    /// A fault of `--fail`.
    pub(crate) fn random(rng: &mut Rng) -> Self {
        match rng.below(6) {
            0 => Self::Status(500),
            1 => Self::Html,
            2 => Self::Status(503),
            3 => Self::RateLimited(Some("1".to_owned())),
            4 => Self::Reset,
            _ => Self::Truncated,
        }
    }

    /// Whether the request fails before the provider receives it.
    pub(crate) fn is_on_request(&self) -> bool {
        matches!(
            self,
            Self::Timeout
                | Self::Html
                | Self::Web(_)
                | Self::Status(_)
                | Self::RateLimited(_)
                | Self::Away(_)
        )
    }
}
