//! Keys that go with their values.

use std::borrow::Cow;

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
    /// What dropped keys look like: hardly any other is compared with them at all.
    looks: Looks,
}

impl DroppedKeys {
    pub(super) const fn new(own: &'static [&'static str]) -> Self {
        Self {
            own,
            looks: DROPPED_LOOKS.and(own),
        }
    }

    /// Whether a key may be one of them; hardly any other is.
    #[inline]
    pub(super) fn look_like(&self, key: &[u8]) -> bool {
        self.looks.may_be(key)
    }

    /// Whether a key is one of them.
    pub(super) fn contain(&self, key: &str) -> bool {
        DROPPED.iter().any(|known| known.eq_ignore_ascii_case(key)) || self.own.contains(&key)
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

/// What the keys dropped for every provider look like.
const DROPPED_LOOKS: Looks = Looks {
    firsts: [0; LENGTHS],
    lasts: [0; LENGTHS],
}
.and(DROPPED);

/// Lengths that are told apart.
const LENGTHS: usize = 32;

/// The first and the last letters of keys, by their length: a bit for each letter, the same in either
/// case.
#[derive(Clone, Copy)]
struct Looks {
    firsts: [u32; LENGTHS],
    lasts: [u32; LENGTHS],
}

impl Looks {
    /// The same with some more keys.
    #[allow(
        clippy::indexing_slicing,
        reason = "a remainder is always in range, and constants cannot use get_mut"
    )]
    const fn and(mut self, mut keys: &[&str]) -> Self {
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

    /// Whether a key may be one of them.
    fn may_be(&self, key: &[u8]) -> bool {
        let ([first, .., last] | [first @ last]) = key else {
            return false;
        };
        let length = key.len() % LENGTHS;
        let is_in = |letters: &[u32; LENGTHS], letter: u8| {
            letters
                .get(length)
                .is_some_and(|bits| bits & (1 << (letter % 32)) != 0)
        };
        is_in(&self.firsts, *first) && is_in(&self.lasts, *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dropped_key_looks_like_one_in_either_case() {
        let keys = DroppedKeys::new(&["own", "é"]);
        for key in DROPPED.iter().chain(&["own", "é"]) {
            for written in [(*key).to_owned(), key.to_ascii_uppercase()] {
                assert!(keys.look_like(written.as_bytes()), "{written}");
            }
            assert!(keys.contain(key));
        }
        assert!(!keys.look_like(b"") && !keys.look_like(b"amount") && !keys.contain("amount"));
    }
}
