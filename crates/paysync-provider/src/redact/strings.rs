//! JSON strings in their exact text: the closing quote, and a fast test for card numbers.

use super::cards::MIN_DIGITS;

/// Whether a string may contain a card number. Reads every 13th byte only: a card number without `\u`
/// escapes covers at least one of them.
#[inline]
pub(super) fn may_contain_card(text: &[u8], escape: Escape) -> bool {
    text.len() >= MIN_DIGITS && (escape == Escape::Unicode || has_long_group(text))
}

fn has_long_group(bytes: &[u8]) -> bool {
    let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b' ' | b'-');
    let mut at = MIN_DIGITS - 1;
    while let Some(byte) = bytes.get(at) {
        if is_part(&byte) {
            let (before, after) = bytes.split_at_checked(at).unwrap_or_default();
            let left = before.iter().rev().take_while(is_part);
            let right = after.iter().take_while(is_part);
            let group = left.chain(right.clone());
            if group.filter(|byte| byte.is_ascii_digit()).count() >= MIN_DIGITS {
                return true;
            }
            at += right.count();
        }
        at += MIN_DIGITS;
    }
    false
}

/// The kind of escapes in a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escape {
    None,
    /// Escapes that cannot be digits.
    Other,
    Unicode,
}

/// The position of the closing quote of the string that starts at `from`, searched eight bytes at a
/// time.
#[inline]
pub(super) fn string_end(bytes: &[u8], from: usize) -> Option<(usize, Escape)> {
    let mut escape = Escape::None;
    let mut at = from;
    loop {
        let rest = bytes.get(at..)?;
        let Some(chunk) = rest.first_chunk::<8>() else {
            let found = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            at += found;
            if rest.get(found) == Some(&b'"') {
                return Some((at, escape));
            }
            escape = escape.max_of(*rest.get(found + 1)?);
            at += 2;
            continue;
        };
        let word = u64::from_le_bytes(*chunk);
        let hits = zeros(word ^ QUOTES) | zeros(word ^ SLASHES);
        if hits == 0 {
            at += 8;
            continue;
        }
        at += usize::try_from(hits.trailing_zeros() / 8).ok()?;
        if bytes.get(at) == Some(&b'"') {
            return Some((at, escape));
        }
        escape = escape.max_of(*bytes.get(at + 1)?);
        at += 2;
    }
}

impl Escape {
    fn max_of(self, letter: u8) -> Self {
        if letter == b'u' || self == Self::Unicode {
            Self::Unicode
        } else {
            Self::Other
        }
    }
}

const QUOTES: u64 = u64::from_le_bytes([b'"'; 8]);
const SLASHES: u64 = u64::from_le_bytes([b'\\'; 8]);
const ONES: u64 = u64::from_le_bytes([0x01; 8]);
const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);

/// The high bit of the lowest zero byte of a word, and perhaps of higher ones.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn thirteen_digits_are_found_at_every_position() {
        for before in 0..3 * MIN_DIGITS {
            let text = format!("{}4222222222222", "x".repeat(before));
            assert!(may_contain_card(text.as_bytes(), Escape::None), "{text}");
        }
    }

    #[test]
    fn escaped_digits_may_be_a_card_whatever_escape_follows() {
        let escaped = r"\u0034\u0032\u0032\n";
        let end = string_end(format!("{escaped}\"").as_bytes(), 0);
        assert_eq!(end, Some((escaped.len(), Escape::Unicode)));
        assert!(may_contain_card(escaped.as_bytes(), Escape::Unicode));
    }

    proptest! {
        #[test]
        fn a_string_ends_where_the_parser_ends_it(text in "\\PC{0,30}", tail in "\\PC{0,9}") {
            let written = serde_json::to_string(&text).unwrap();
            let (end, _) = string_end(format!("{written}{tail}").as_bytes(), 1).unwrap();
            prop_assert_eq!(end, written.len() - 1);
        }

        #[test]
        fn every_thirteenth_byte_is_enough(text in "([0-9 -]|[a-z]){0,60}") {
            let groups = text.split(|c: char| c.is_ascii_lowercase());
            let most = groups.map(|group| group.bytes().filter(u8::is_ascii_digit).count()).max();
            prop_assert_eq!(may_contain_card(text.as_bytes(), Escape::None), most.unwrap_or(0) >= MIN_DIGITS);
        }
    }
}
