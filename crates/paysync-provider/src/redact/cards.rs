//! Card numbers in text: found by length and Luhn's check digit, cut to first six and last four.
//!
//! Works on the text of a JSON string as it is written, so digits may hide behind `\u0031` and groups
//! may be set apart by single blanks or hyphens. Groups stand whole or not at all: a run of more than
//! 19 digits is no card. Every reading that could be a card is cut, even where two of them overlap,
//! and what is left holds none: cutting again changes nothing.

/// Card numbers have at least this many digits.
pub(super) const SHORTEST: usize = 13;
/// And at most this many.
const LONGEST: usize = 19;
/// Digits kept at the front.
const HEAD: usize = 6;
/// Digits kept at the end.
const TAIL: usize = 4;

/// Which digits are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Groups of 13 to 19 digits that pass Luhn's check.
    Luhn,
    /// Groups of 13 digits or more.
    Always,
}

/// A text whose card numbers were cut.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// The text, with `*` for each digit cut.
    pub(super) text: String,
    /// How many numbers were cut.
    pub(super) numbers: u32,
}

/// Cuts the card numbers of a text; `None` if it holds none.
pub(super) fn cut(text: &str, rule: Rule) -> Option<Cut> {
    if !is_suspect(text.as_bytes()) || (rule == Rule::Luhn && is_uuid(text.as_bytes())) {
        return None;
    }
    let mut digits = digits(text.as_bytes());
    let numbers = match rule {
        Rule::Luhn => mask_cards(&mut digits),
        Rule::Always => mask_groups(&mut digits),
    };
    (numbers > 0).then(|| Cut {
        text: render(text, &digits),
        numbers,
    })
}

/// What stands at one place of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Digit(u8),
    Separator,
    Other,
}

/// The places of a text: a byte or an escape each, with their position and width.
struct Marks<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Iterator for Marks<'_> {
    type Item = (usize, usize, Mark);

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        let byte = *self.bytes.get(at)?;
        let (width, mark) = if byte == b'\\' {
            escape(self.bytes.get(at..).unwrap_or_default())
        } else {
            (1, mark(byte))
        };
        self.at = at + width;
        Some((at, width, mark))
    }
}

fn mark(byte: u8) -> Mark {
    match byte {
        b'0'..=b'9' => Mark::Digit(byte - b'0'),
        b' ' | b'-' => Mark::Separator,
        _ => Mark::Other,
    }
}

/// Reads an escape; one that is no ASCII character, or broken, is of no interest.
fn escape(bytes: &[u8]) -> (usize, Mark) {
    if let [b'\\', b'u', b'0', b'0', high, low, ..] = bytes {
        let nibble = |hex: u8| {
            char::from(hex)
                .to_digit(16)
                .and_then(|n| u8::try_from(n).ok())
        };
        if let (Some(high), Some(low)) = (nibble(*high), nibble(*low)) {
            return (6, mark(high * 16 + low));
        }
    }
    if let [b'\\', b'u', a, b, c, d, ..] = bytes
        && [a, b, c, d].iter().all(|hex| hex.is_ascii_hexdigit())
    {
        return (6, Mark::Other);
    }
    let is_digit = bytes.get(1).is_some_and(u8::is_ascii_digit);
    (if is_digit { 1 } else { 2 }, Mark::Other)
}

/// Whether a text has a group of 13 digits or more.
fn is_suspect(bytes: &[u8]) -> bool {
    if bytes.len() < SHORTEST {
        return false;
    }
    let (mut count, mut gap) = (0_usize, false);
    for (_, _, mark) in (Marks { bytes, at: 0 }) {
        match mark {
            Mark::Digit(_) => {
                count += 1;
                gap = false;
                if count >= SHORTEST {
                    return true;
                }
            }
            Mark::Separator if count > 0 && !gap => gap = true,
            Mark::Separator | Mark::Other => count = 0,
        }
    }
    false
}

/// Whether a text is a UUID: an identifier, though some are all digits.
fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// How a digit follows the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Joined,
    Apart,
    Broken,
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
    let mut link = Link::Broken;
    for (at, width, mark) in (Marks { bytes, at: 0 }) {
        link = match (mark, link) {
            (Mark::Digit(value), link) => {
                digits.push(Digit {
                    at,
                    width,
                    value,
                    link,
                    masked: false,
                });
                Link::Joined
            }
            (Mark::Separator, Link::Joined) => Link::Apart,
            (Mark::Separator | Mark::Other, _) => Link::Broken,
        };
    }
    digits
}

/// Masks every reading that passes Luhn, then what the pieces left over would read as.
fn mask_cards(digits: &mut [Digit]) -> u32 {
    let found: Vec<(usize, usize)> = (0..digits.len())
        .flat_map(|start| readings(digits, start).map(move |length| (start, length)))
        .collect();
    let mut numbers = 0;
    for (start, length) in found {
        numbers += u32::from(mask(digits, start, length));
    }
    let mut start = 0;
    while numbers > 0 && start < digits.len() {
        let longest = readings(digits, start).last();
        if let Some(length) = longest {
            numbers += u32::from(mask(digits, start, length));
            start = start.saturating_sub(LONGEST);
        } else {
            start += 1;
        }
    }
    numbers
}

/// Lengths of the digit sequences from `start` that are whole groups and pass Luhn, shortest first.
fn readings(digits: &[Digit], start: usize) -> impl Iterator<Item = usize> + '_ {
    let before = start.checked_sub(1).and_then(|place| digits.get(place));
    let at_start = digits.get(start).is_some_and(|digit| {
        digit.link != Link::Joined || before.is_none_or(|before| before.masked)
    });
    let rest = digits.get(start..).filter(|_| at_start).unwrap_or_default();
    let mut sums = (0_u32, 0_u32);
    rest.iter()
        .enumerate()
        .take(LONGEST)
        .take_while(|(place, digit)| !digit.masked && (*place == 0 || digit.link != Link::Broken))
        .filter_map(move |(place, digit)| {
            let plain = u32::from(digit.value);
            let doubled = plain * 2 - if plain > 4 { 9 } else { 0 };
            let length = place + 1;
            // The last digit counts once, the one before it twice, and so on: which of the two sums
            // holds depends on the length.
            let sum = if place % 2 == 0 {
                sums = (sums.0 + doubled, sums.1 + plain);
                sums.1
            } else {
                sums = (sums.0 + plain, sums.1 + doubled);
                sums.0
            };
            let at_end = rest
                .get(length)
                .is_none_or(|next| next.masked || next.link != Link::Joined);
            (length >= SHORTEST && at_end && sum % 10 == 0).then_some(length)
        })
}

/// Masks the middle of a number; tells whether that is news.
fn mask(digits: &mut [Digit], start: usize, length: usize) -> bool {
    let middle = start + HEAD..(start + length).saturating_sub(TAIL);
    let mut news = false;
    for digit in digits.get_mut(middle).unwrap_or_default() {
        news |= !digit.masked;
        digit.masked = true;
    }
    news
}

/// Masks every group of 13 digits or more.
fn mask_groups(digits: &mut [Digit]) -> u32 {
    let mut starts: Vec<usize> = digits
        .iter()
        .enumerate()
        .filter(|(_, digit)| digit.link == Link::Broken)
        .map(|(place, _)| place)
        .collect();
    starts.push(digits.len());
    let mut numbers = 0;
    for (start, end) in starts.iter().zip(starts.iter().skip(1)) {
        let length = end - start;
        if length >= SHORTEST {
            numbers += u32::from(mask(digits, *start, length));
        }
    }
    numbers
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
        cut(text, Rule::Luhn).map(|cut| cut.text)
    }

    #[test]
    fn published_test_numbers_are_cut() {
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
            let cut = luhn(number);
            assert_eq!(cut.as_deref().unwrap_or(number), left, "{number}");
        }
    }

    #[test]
    fn other_numbers_stay() {
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
    fn a_number_next_to_other_digits_is_found() {
        assert_eq!(
            luhn("4111111111111111 123 12-26").unwrap(),
            "411111******1111 123 12-26"
        );
        assert_eq!(
            luhn("no 77 4111 1111 1111 1111 1234 5678").unwrap(),
            "no 77 4111 11** **** 1111 1234 5678"
        );
    }

    #[test]
    fn card_keys_are_cut_whatever_the_check_digit() {
        let always = |text: &str| cut(text, Rule::Always).map(|cut| cut.text);
        assert_eq!(always("4111111111111112").unwrap(), "411111******1112");
        assert_eq!(always(&"4".repeat(25)).unwrap().matches('*').count(), 15);
        assert_eq!(always("411111111111"), None);
    }

    #[test]
    fn readings_that_overlap_are_all_cut() {
        let chance = (1..10)
            .find(|digit| is_luhn(&format!("{digit}411111111111")))
            .unwrap();
        assert_eq!(
            luhn(&format!("{chance} 4111 1111 1111 1111")).unwrap(),
            format!("{chance} 4111 1*** **** 1111")
        );
    }

    #[test]
    fn what_is_left_holds_no_number_either() {
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

    /// A number with a check digit that fits.
    fn valid(body: &str) -> String {
        (0..10)
            .map(|check| format!("{body}{check}"))
            .find(|number| is_luhn(number))
            .unwrap()
    }

    /// Luhn's check as the books write it: from the right.
    fn is_luhn(number: &str) -> bool {
        let sum: u32 = number
            .bytes()
            .rev()
            .enumerate()
            .map(|(place, byte)| {
                let digit = u32::from(byte - b'0') * if place % 2 == 1 { 2 } else { 1 };
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
            cuts in proptest::collection::vec("(|||[ -]|\\\\u0020)", 18),
            escapes in proptest::collection::vec(0..6, 19),
            before in "([0-9 -]|[a-z]|\\\\u0037){0,30}[ -]?",
            after in "[ -]?([0-9 -]|[a-z]|\\\\u0037){0,30}",
        ) {
            let number = valid(&body);
            let spelled: String = number
                .chars()
                .zip(escapes)
                .map(|(digit, escape)| if escape == 0 { format!("\\u003{digit}") } else { digit.to_string() })
                .zip(cuts.iter().map(String::as_str).chain([""]))
                .fold(String::new(), |text, (digit, cut)| text + &digit + cut);
            // The number's groups are whole only where no digit touches them.
            let text = format!("{before}x{spelled}y{after}");
            let spaced = format!("{} {spelled} {after}", before.trim_end_matches([' ', '-']));
            for text in [text, spaced.replace("  ", " ")] {
                let cut = luhn(&text).unwrap_or(text.clone());
                let plain = digits_of(&cut);
                prop_assert!(!plain.contains(&number), "{} in {}", number, cut);
                prop_assert_eq!(luhn(&cut), None);
            }
        }

        #[test]
        fn cutting_again_changes_nothing(text in "([0-9]{1,9}|[ -]|\\*|[0-9]|\\\\u003[0-9]|\\\\u0020){0,80}") {
            for rule in [Rule::Luhn, Rule::Always] {
                if let Some(once) = cut(&text, rule) {
                    prop_assert_eq!(cut(&once.text, rule), None, "{}", once.text);
                }
            }
        }

        #[test]
        fn any_text_is_taken(text in "(\\\\|u|[0-9a-f]|\\PC){0,60}") {
            let _: Option<Cut> = cut(&text, Rule::Luhn);
            let _: Option<Cut> = cut(&text, Rule::Always);
        }
    }

    /// The digits with everything else that could stand between two of a number left out.
    fn digits_of(text: &str) -> String {
        Marks {
            bytes: text.as_bytes(),
            at: 0,
        }
        .filter_map(|(_, _, mark)| match mark {
            Mark::Digit(value) => Some(char::from(b'0' + value)),
            Mark::Separator => None,
            Mark::Other => Some('|'),
        })
        .collect()
    }

    #[test]
    fn long_texts_take_linear_time() {
        let digits = "4111 1111 1111 1111 ".repeat(50_000);
        let started = std::time::Instant::now();
        assert_eq!(
            cut(&digits, Rule::Luhn).map(|cut| cut.text.contains("1111 1111 1111")),
            Some(false)
        );
        assert!(started.elapsed().as_secs() < 10);
    }
}
