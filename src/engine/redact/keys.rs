//! Keys that go with their values.

use std::borrow::Cow;

use super::strings::Escape;

/// Keys dropped for every provider, compared without regard to case: card verification codes and
/// 3-D Secure payloads.
pub const DROPPED: &[&str] = &[
    "cvv",
    "cvc",
    "csc",
    "cvn",
    "cvv2",
    "cvc2",
    "cvn2",
    "cvv_code",
    "cvc_code",
    "card_cvv",
    "card_cvc",
    "card_cvv2",
    "card_cvc2",
    "cardcvv",
    "cardcvc",
    "card_csc",
    "security_code",
    "securitycode",
    "card_security_code",
    "verification_value",
    "card_verification_value",
    "pareq",
    "pa_req",
    "pares",
    "pa_res",
    "cavv",
    "creq",
    "cres",
    "md",
];

/// The keys dropped from an account's items.
pub(super) struct DroppedKeys {
    /// The provider's own, compared as they are written.
    own: &'static [&'static str],
    /// What dropped keys look like: few others are compared with them at all.
    traits: u128,
}

impl DroppedKeys {
    pub(super) const fn new(own: &'static [&'static str]) -> Self {
        Self {
            own,
            traits: DROPPED_TRAITS | traits(own),
        }
    }

    /// Whether a key, as written, is one of them.
    pub(super) fn contain(&self, written: &str, escape: Escape) -> bool {
        let key = match escape {
            Escape::None => Cow::Borrowed(written),
            Escape::Other | Escape::Unicode => unescaped(written),
        };
        self.traits & trait_of(key.as_bytes()) != 0
            && (DROPPED.iter().any(|known| known.eq_ignore_ascii_case(&key))
                || self.own.contains(&key.as_ref()))
    }
}

/// A key as it is meant.
pub(super) fn unescaped(written: &str) -> Cow<'_, str> {
    if written.contains('\\')
        && let Ok(key) = serde_json::from_str(&format!("\"{written}\""))
    {
        return Cow::Owned(key);
    }
    Cow::Borrowed(written)
}

/// The traits of the keys dropped for every provider.
const DROPPED_TRAITS: u128 = traits(DROPPED);

/// The traits of all these keys.
const fn traits(mut keys: &[&str]) -> u128 {
    let mut bits = 0;
    while let [key, rest @ ..] = keys {
        bits |= trait_of(key.as_bytes());
        keys = rest;
    }
    bits
}

/// A bit drawn from a key's length and its first and last letter, the same in either case.
const fn trait_of(key: &[u8]) -> u128 {
    let (first, last) = match key {
        [first, .., last] => (*first, *last),
        [only] => (*only, *only),
        [] => (0, 0),
    };
    let [length, ..] = key.len().to_le_bytes();
    let mixed = (first | 0x20)
        .wrapping_mul(5)
        .wrapping_add((last | 0x20).wrapping_mul(3))
        .wrapping_add(length.wrapping_mul(11));
    1 << (mixed & 127)
}
