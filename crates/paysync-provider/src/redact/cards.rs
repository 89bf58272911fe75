//! Card numbers in text: recognized by length and Luhn's check digit, masked but for the first six and
//! the last four digits.
//!
//! Works on the exact text of a JSON string, so a digit may be the escape `\u0031`, and single blanks or
//! hyphens may separate groups of digits. A group belongs to a number as a whole: a run of more than 19
//! digits is not a card. All sequences that could be card numbers are masked, even overlapping ones,
//! until none is left: masking is idempotent.

/// Digits of the shortest card number.
pub(super) const MIN_DIGITS: usize = 13;
/// Digits of the longest card number.
const MAX_DIGITS: usize = 19;
/// Digits that stay at the start and at the end of a number.
const FIRST_DIGITS: usize = 6;
const LAST_DIGITS: usize = 4;

/// How card numbers are recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Sequences of 13 to 19 digits that pass Luhn's check.
    Luhn,
    /// Sequences of 13 digits or more.
    Length,
}

/// A text with masked card numbers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Masked {
    /// The text, with `*` for each masked digit.
    pub(super) text: String,
    /// How many numbers were masked.
    pub(super) numbers: u32,
}

/// Masks the card numbers of a text; none if it contains none.
pub(super) fn mask(text: &str, check: Check) -> Option<Masked> {
    if !has_long_sequence(text.as_bytes()) || (check == Check::Luhn && is_uuid(text.as_bytes())) {
        return None;
    }
    let mut digits = digits(text.as_bytes());
    let numbers = match check {
        Check::Luhn => mask_by_luhn(&mut digits),
        Check::Length => mask_by_length(&mut digits),
    };
    (numbers > 0).then(|| Masked {
        text: render(text, &digits),
        numbers,
    })
}

/// A byte or an escape of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Symbol {
    Digit(u8),
    Separator,
    Other,
}

/// The symbols of a text, each with its position and width in bytes.
struct Symbols<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Iterator for Symbols<'_> {
    type Item = (usize, usize, Symbol);

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        let byte = *self.bytes.get(at)?;
        let (width, symbol) = if byte == b'\\' {
            escape(self.bytes.get(at..).unwrap_or_default())
        } else {
            (1, symbol(byte))
        };
        self.at += width;
        Some((at, width, symbol))
    }
}

fn symbol(byte: u8) -> Symbol {
    match byte {
        b'0'..=b'9' => Symbol::Digit(byte - b'0'),
        b' ' | b'-' => Symbol::Separator,
        _ => Symbol::Other,
    }
}

/// Reads an escape; only those of ASCII characters can be digits or separators.
fn escape(bytes: &[u8]) -> (usize, Symbol) {
    if let [b'\\', b'u', b'0', b'0', high, low, ..] = bytes {
        let nibble = |hex: u8| char::from(hex).to_digit(16);
        if let (Some(high), Some(low)) = (nibble(*high), nibble(*low)) {
            let byte = u8::try_from(high * 16 + low).unwrap_or_default();
            return (6, symbol(byte));
        }
    }
    if let [b'\\', b'u', a, b, c, d, ..] = bytes
        && [a, b, c, d].iter().all(|hex| hex.is_ascii_hexdigit())
    {
        return (6, Symbol::Other);
    }
    let is_digit = bytes.get(1).is_some_and(u8::is_ascii_digit);
    (if is_digit { 1 } else { 2 }, Symbol::Other)
}

/// Whether a text has a sequence of 13 digits or more.
fn has_long_sequence(bytes: &[u8]) -> bool {
    if bytes.len() < MIN_DIGITS {
        return false;
    }
    let (mut count, mut gap) = (0_usize, false);
    for (_, _, symbol) in (Symbols { bytes, at: 0 }) {
        match symbol {
            Symbol::Digit(_) => {
                count += 1;
                gap = false;
                if count >= MIN_DIGITS {
                    return true;
                }
            }
            Symbol::Separator if count > 0 && !gap => gap = true,
            Symbol::Separator | Symbol::Other => count = 0,
        }
    }
    false
}

/// Whether a text is a UUID: an identifier, even if all its characters are digits.
fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// The relation of a digit to the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// Directly after it.
    Adjacent,
    /// After a single separator.
    Separated,
    /// In another sequence.
    Unrelated,
}

#[derive(Debug, Clone, Copy)]
struct Digit {
    at: usize,
    width: usize,
    value: u8,
    link: Link,
    masked: bool,
}

fn digits(bytes: &[u8]) -> Vec<Digit> {
    let mut digits = Vec::new();
    let mut link = Link::Unrelated;
    for (at, width, symbol) in (Symbols { bytes, at: 0 }) {
        link = match (symbol, link) {
            (Symbol::Digit(value), link) => {
                digits.push(Digit {
                    at,
                    width,
                    value,
                    link,
                    masked: false,
                });
                Link::Adjacent
            }
            (Symbol::Separator, Link::Adjacent) => Link::Separated,
            (Symbol::Separator | Symbol::Other, _) => Link::Unrelated,
        };
    }
    digits
}

/// Masks every sequence that passes Luhn's check, then those that the remaining digits form.
fn mask_by_luhn(digits: &mut [Digit]) -> u32 {
    let ranges = |start| candidates(digits, start).map(move |length| start..start + length);
    let found: Vec<_> = (0..digits.len()).flat_map(ranges).collect();
    let mut numbers = 0;
    for range in found {
        let number = digits.get_mut(range).unwrap_or_default();
        numbers += u32::from(mask_middle(number));
    }
    let mut start = 0;
    while numbers > 0 && start < digits.len() {
        let longest = candidates(digits, start).last();
        if let Some(length) = longest {
            let number = digits.get_mut(start..start + length).unwrap_or_default();
            numbers += u32::from(mask_middle(number));
            start = start.saturating_sub(MAX_DIGITS);
        } else {
            start += 1;
        }
    }
    numbers
}

/// Lengths of the sequences from `start` that consist of whole groups and pass Luhn's check, shortest
/// first.
fn candidates(digits: &[Digit], start: usize) -> impl Iterator<Item = usize> + '_ {
    let before = start.checked_sub(1).and_then(|index| digits.get(index));
    let at_start = digits.get(start).is_some_and(|digit| {
        digit.link != Link::Adjacent || before.is_none_or(|before| before.masked)
    });
    let rest = digits.get(start..).filter(|_| at_start).unwrap_or_default();
    let mut sums = (0_u32, 0_u32);
    rest.iter()
        .enumerate()
        .take(MAX_DIGITS)
        .take_while(|(index, digit)| {
            !digit.masked && (*index == 0 || digit.link != Link::Unrelated)
        })
        .filter_map(move |(index, digit)| {
            let plain = u32::from(digit.value);
            let doubled = plain * 2 - if plain > 4 { 9 } else { 0 };
            let length = index + 1;
            // The last digit counts once, the one before it twice, and so on: the length decides which
            // of the two sums applies.
            let sum = if index % 2 == 0 {
                sums = (sums.0 + doubled, sums.1 + plain);
                sums.1
            } else {
                sums = (sums.0 + plain, sums.1 + doubled);
                sums.0
            };
            let is_outside = |next: &Digit| next.masked || next.link != Link::Adjacent;
            let at_end = rest.get(length).is_none_or(is_outside);
            (length >= MIN_DIGITS && at_end && sum % 10 == 0).then_some(length)
        })
}

/// Masks the middle of a number; whether that changed a digit.
fn mask_middle(number: &mut [Digit]) -> bool {
    let middle = FIRST_DIGITS..number.len().saturating_sub(LAST_DIGITS);
    let mut changed = false;
    for digit in number.get_mut(middle).unwrap_or_default() {
        changed |= !digit.masked;
        digit.masked = true;
    }
    changed
}

/// Masks every sequence of 13 digits or more.
fn mask_by_length(digits: &mut [Digit]) -> u32 {
    digits
        .chunk_by_mut(|_, next| next.link != Link::Unrelated)
        .filter(|sequence| sequence.len() >= MIN_DIGITS)
        .map(|sequence| u32::from(mask_middle(sequence)))
        .sum()
}

fn render(text: &str, digits: &[Digit]) -> String {
    let mut rendered = String::with_capacity(text.len());
    let mut copied = 0;
    for digit in digits.iter().filter(|digit| digit.masked) {
        rendered.push_str(text.get(copied..digit.at).unwrap_or_default());
        rendered.push('*');
        copied = digit.at + digit.width;
    }
    rendered.push_str(text.get(copied..).unwrap_or_default());
    rendered
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn luhn(text: &str) -> Option<String> {
        mask(text, Check::Luhn).map(|masked| masked.text)
    }

    #[test]
    fn published_test_numbers_are_masked() {
        for (number, left) in [
            ("4111111111111111", "411111******1111"),
            ("4222222222222", "422222***2222"),
            ("378282246310005", "378282*****0005"),
            ("5555555555554444", "555555******4444"),
            ("6304000000000000000", "630400*********0000"),
            ("4111 1111 1111 1111", "4111 11** **** 1111"),
            ("3782-822463-10005", "3782-82****-*0005"),
            ("a4111111111111111b", "a411111******1111b"),
            (r"\u0034111111111111111", r"\u003411111******1111"),
            (r"41111111\u0031111\u002d1111", r"411111******\u002d1111"),
            (r"\\u00314111111111111111", r"\\u00314111111111111111"),
            (r"\\n4111111111111111", r"\\n411111******1111"),
        ] {
            let masked = luhn(number);
            assert_eq!(masked.as_deref().unwrap_or(number), left, "{number}");
        }
    }

    #[test]
    fn other_numbers_are_unchanged() {
        for text in [
            "",
            "411111111111",
            "4111111111111112",
            "41111111111111111111",
            "4111  1111 1111 1111",
            "4111_1111_1111_1111",
            "2024-01-15T10:20:30.123456Z",
            "00000000-0000-0000-0000-000000000000",
            "411111******1111",
        ] {
            assert_eq!(luhn(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_next_to_other_digits_is_masked() {
        assert_eq!(
            luhn("4111111111111111 123 12-26").unwrap(),
            "411111******1111 123 12-26"
        );
        assert_eq!(
            luhn("no 77 4111 1111 1111 1111 1234 5678").unwrap(),
            "no 77 4111 11** **** 1111 1234 5678"
        );
        assert_eq!(
            luhn("4111  1111 1111 1111, 4222222222222").unwrap(),
            "4111  1111 1111 1111, 422222***2222"
        );
    }

    #[test]
    fn a_check_by_length_ignores_the_check_digit() {
        let always = |text: &str| mask(text, Check::Length).map(|masked| masked.text);
        assert_eq!(always("4111111111111112").unwrap(), "411111******1112");
        assert_eq!(always("4111111111112").unwrap(), "411111***1112");
        assert_eq!(always(&"4".repeat(25)).unwrap().matches('*').count(), 15);
        assert_eq!(always("411111111111"), None);
    }

    #[test]
    fn overlapping_numbers_are_all_masked() {
        let chance = (1..10)
            .find(|digit| is_luhn(&format!("{digit}411111111111")))
            .unwrap();
        assert_eq!(
            luhn(&format!("{chance} 4111 1111 1111 1111")).unwrap(),
            format!("{chance} 4111 1*** **** 1111")
        );
    }

    #[test]
    fn the_remaining_digits_form_no_number() {
        let right = (1_000_000..2_000_000)
            .map(|number| number.to_string())
            .find(|number| is_luhn(&format!("{number}411111")))
            .unwrap();
        let left = (1_000_000..2_000_000)
            .map(|number| number.to_string())
            .find(|left| {
                is_luhn(&format!("{left}{}", right.split_at(6).0))
                    && !is_luhn(&format!("{left}{right}"))
            })
            .unwrap();
        let once = luhn(&format!("{left} {right} 4111111111111111")).unwrap();
        assert_eq!(
            once,
            format!(
                "{}* **{}* **1111******1111",
                left.split_at(6).0,
                right.split_at(6).0.split_at(2).1
            )
        );
        assert_eq!(luhn(&once), None);
    }

    /// A number with a valid check digit.
    fn valid(body: &str) -> String {
        (0..10)
            .map(|check| format!("{body}{check}"))
            .find(|number| is_luhn(number))
            .unwrap()
    }

    /// Luhn's check in its textbook form, from the right.
    fn is_luhn(number: &str) -> bool {
        let sum: u32 = number
            .bytes()
            .rev()
            .enumerate()
            .map(|(index, byte)| {
                let digit = u32::from(byte - b'0') * if index % 2 == 1 { 2 } else { 1 };
                digit / 10 + digit % 10
            })
            .sum();
        sum.is_multiple_of(10)
    }

    proptest! {
        #[test]
        fn single_runs_follow_the_check_digit(number in "[0-9]{1,25}") {
            let is_card = (13..=19).contains(&number.len()) && is_luhn(&number);
            prop_assert_eq!(luhn(&number).is_some(), is_card);
        }

        #[test]
        fn no_planted_number_survives(
            body in "[1-9][0-9]{11,17}",
            gaps in proptest::collection::vec("(|||[ -]|\\\\u0020)", 18),
            escapes in proptest::collection::vec(0..6, 19),
            before in "([0-9 -]|[a-z]|\\\\u0037){0,30}[ -]?",
            after in "[ -]?([0-9 -]|[a-z]|\\\\u0037){0,30}",
        ) {
            let number = valid(&body);
            let spelled: String = number
                .chars()
                .zip(escapes)
                .map(|(digit, escape)| if escape == 0 { format!("\\u003{digit}") } else { digit.to_string() })
                .zip(gaps.iter().map(String::as_str).chain([""]))
                .fold(String::new(), |text, (digit, gap)| text + &digit + gap);
            // A number is recognized only if no digit is adjacent to its groups.
            let text = format!("{before}x{spelled}y{after}");
            let spaced = format!("{} {spelled} {after}", before.trim_end_matches([' ', '-']));
            for text in [text, spaced.replace("  ", " ")] {
                let masked = luhn(&text).unwrap_or(text.clone());
                let plain = digits_of(&masked);
                prop_assert!(!plain.contains(&number), "{} in {}", number, masked);
                prop_assert_eq!(luhn(&masked), None);
            }
        }

        #[test]
        fn masking_is_idempotent(text in "([0-9]{1,9}|[ -]|\\*|[0-9]|\\\\u003[0-9]|\\\\u0020){0,80}") {
            for check in [Check::Luhn, Check::Length] {
                if let Some(once) = mask(&text, check) {
                    prop_assert_eq!(mask(&once.text, check), None, "{}", once.text);
                }
            }
        }

        #[test]
        fn any_text_is_accepted(text in "(\\\\|u|[0-9a-f]|\\PC){0,60}") {
            let _: Option<Masked> = mask(&text, Check::Luhn);
            let _: Option<Masked> = mask(&text, Check::Length);
        }
    }

    /// The digits without separators; other symbols become `|`.
    fn digits_of(text: &str) -> String {
        Symbols {
            bytes: text.as_bytes(),
            at: 0,
        }
        .filter_map(|(_, _, symbol)| match symbol {
            Symbol::Digit(value) => Some(char::from(b'0' + value)),
            Symbol::Separator => None,
            Symbol::Other => Some('|'),
        })
        .collect()
    }

    #[test]
    fn long_texts_take_linear_time() {
        let digits = "4111 1111 1111 1111 ".repeat(50_000);
        let started = std::time::Instant::now();
        assert_eq!(
            mask(&digits, Check::Luhn).map(|masked| masked.text.contains("1111 1111 1111")),
            Some(false)
        );
        assert!(started.elapsed().as_secs() < 10);
    }
}
