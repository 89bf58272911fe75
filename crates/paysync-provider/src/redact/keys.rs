//! Keys whose members are dropped.

use std::borrow::Cow;

/// Keys dropped for every provider, compared case-insensitively: card verification codes and 3-D Secure
/// payloads.
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
    /// The provider's own, compared case-sensitively.
    own: &'static [&'static str],
    /// Rules out most other keys without a comparison.
    prefilter: Prefilter,
}

impl DroppedKeys {
    pub(super) const fn new(own: &'static [&'static str]) -> Self {
        Self {
            own,
            prefilter: DROPPED_PREFILTER.with(own),
        }
    }

    /// Whether a key may be dropped; false for most other keys.
    #[inline]
    pub(super) fn may_contain(&self, key: &[u8]) -> bool {
        self.prefilter.matches(key)
    }

    /// Whether a key is dropped.
    pub(super) fn contains(&self, key: &str) -> bool {
        DROPPED.iter().any(|known| known.eq_ignore_ascii_case(key)) || self.own.contains(&key)
    }
}

/// A key without its escapes.
pub(super) fn unescaped(written: &str) -> Cow<'_, str> {
    if written.contains('\\')
        && let Ok(key) = serde_json::from_str(&format!("\"{written}\""))
    {
        return Cow::Owned(key);
    }
    Cow::Borrowed(written)
}

const DROPPED_PREFILTER: Prefilter = Prefilter {
    firsts: [0; LENGTHS],
    lasts: [0; LENGTHS],
}
.with(DROPPED);

/// Lengths that the prefilter distinguishes.
const LENGTHS: usize = 32;

/// The first and the last letters of keys, by length: one bit per letter, upper and lower case alike.
#[derive(Clone, Copy)]
struct Prefilter {
    firsts: [u32; LENGTHS],
    lasts: [u32; LENGTHS],
}

impl Prefilter {
    /// Adds keys.
    #[allow(
        clippy::indexing_slicing,
        reason = "a remainder is always in range, and constants cannot use get_mut"
    )]
    const fn with(mut self, mut keys: &[&str]) -> Self {
        while let [key, rest @ ..] = keys {
            if let [first, .., last] | [first @ last] = key.as_bytes() {
                let length = key.len() % LENGTHS;
                self.firsts[length] |= 1 << (*first % 32);
                self.lasts[length] |= 1 << (*last % 32);
            }
            keys = rest;
        }
        self
    }

    /// Whether a key may be one of those added.
    fn matches(&self, key: &[u8]) -> bool {
        let ([first, .., last] | [first @ last]) = key else {
            return false;
        };
        let length = key.len() % LENGTHS;
        let is_in = |letters: &[u32; LENGTHS], letter: u8| {
            let bits = letters.get(length).copied().unwrap_or_default();
            bits & (1 << (letter % 32)) != 0
        };
        is_in(&self.firsts, *first) && is_in(&self.lasts, *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys that must be dropped, listed again: a key missing from [`DROPPED`] fails here.
    const SENSITIVE: &str = "cvv cvc csc cvn cvv2 cvc2 cvn2 cvv_code cvc_code card_cvv card_cvc card_cvv2 \
        card_cvc2 cardcvv cardcvc card_csc security_code securitycode card_security_code \
        verification_value card_verification_value pareq pa_req pares pa_res cavv creq cres md";

    #[test]
    fn card_verification_codes_and_3d_secure_payloads_are_dropped_in_either_case() {
        let keys = DroppedKeys::new(&[]);
        for key in SENSITIVE.split_whitespace() {
            for written in [key.to_owned(), key.to_ascii_uppercase()] {
                assert!(keys.may_contain(written.as_bytes()), "{written}");
                assert!(keys.contains(&written), "{written}");
            }
        }
        let listed: Vec<&str> = SENSITIVE.split_whitespace().collect();
        assert_eq!(DROPPED, listed);
    }

    #[test]
    fn a_providers_own_keys_are_dropped_as_written() {
        let keys = DroppedKeys::new(&["own", "é"]);
        for key in ["own", "é"] {
            assert!(keys.may_contain(key.as_bytes()), "{key}");
            assert!(keys.contains(key), "{key}");
        }
        assert!(!keys.contains("OWN") && !keys.contains("amount"));
        assert!(!keys.may_contain(b"") && !keys.may_contain(b"amount"));
    }
}
