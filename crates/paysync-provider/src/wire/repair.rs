//! An answer that is no JSON because of single items: they are set aside, and the others can be read.

use std::fmt::Write as _;

use serde::de::IgnoredAny;

/// More broken items than this, and the answer is not worth reading.
const MAX_BROKEN_ITEMS: usize = 100;

/// The body with each broken element of its outermost list mended and put into a list of its own, as which no
/// provider's item can be read. None if that does not make it JSON.
///
/// Broken are raw control characters and unknown escapes in strings, and numbers that JSON does not know, such as
/// NaN.
pub fn repaired(body: &str) -> Option<String> {
    let mut body = body.to_owned();
    for _ in 0..MAX_BROKEN_ITEMS {
        let error = serde_json::from_str::<IgnoredAny>(&body).err()?;
        let lines = body.split_inclusive('\n').take(error.line() - 1);
        let at = lines.map(str::len).sum::<usize>() + error.column();
        let (start, end) = element_at(&body, at)?;
        let broken = body.get(start..end)?;
        let mended = mended(broken);
        if mended == broken || !is_json(&mended) {
            return None;
        }
        body = format!("{}[{mended}]{}", body.get(..start)?, body.get(end..)?);
        if is_json(&body) {
            return Some(body);
        }
    }
    None
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The element of the outermost list around a place.
fn element_at(body: &str, at: usize) -> Option<(usize, usize)> {
    let (mut depth, mut list_depth, mut start) = (0_usize, None, 0);
    for (place, byte) in outside_strings(body) {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if byte == b'[' && list_depth.is_none() {
                    (list_depth, start) = (Some(depth), place + 1);
                }
            }
            b',' | b']' if list_depth == Some(depth) => {
                if at <= place {
                    return (start < at).then_some((start, place));
                }
                start = place + 1;
                if byte == b']' {
                    (list_depth, depth) = (None, depth - 1);
                }
            }
            b']' | b'}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

/// The bytes of a JSON text that are not in a string, with their places.
fn outside_strings(text: &str) -> impl Iterator<Item = (usize, u8)> {
    let (mut in_string, mut is_escaped) = (false, false);
    text.bytes().enumerate().filter(move |(_, byte)| {
        let was_in_string = in_string;
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            _ => {}
        }
        !was_in_string && !in_string
    })
}

/// The text with control characters in strings escaped, unknown escapes taken as they are written, and null for
/// what is no number.
fn mended(text: &str) -> String {
    let mut mended = String::with_capacity(text.len() + 16);
    let mut rest = text;
    let mut in_string = false;
    while let Some(next) = rest.chars().next() {
        let mut length = next.len_utf8();
        match next {
            '"' => {
                in_string = !in_string;
                mended.push('"');
            }
            '\\' if in_string => {
                let escape = rest.get(..escape_length(rest)).unwrap_or("\\");
                if escape == "\\" {
                    mended.push_str("\\\\");
                } else {
                    mended.push_str(escape);
                    length = escape.len();
                }
            }
            control if in_string && control < ' ' => {
                // Writing to a string cannot fail.
                let _written = write!(mended, "\\u{:04x}", u32::from(control));
            }
            _ if in_string => mended.push(next),
            _ => {
                let words = ["NaN", "-NaN", "Infinity", "-Infinity", "undefined"];
                match words.iter().find(|word| rest.starts_with(**word)) {
                    Some(word) => {
                        mended.push_str("null");
                        length = word.len();
                    }
                    None => mended.push(next),
                }
            }
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    mended
}

/// The length of the escape that a text begins with; 1 if JSON does not know it.
fn escape_length(text: &str) -> usize {
    let mut after = text.bytes().skip(1);
    match after.next() {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
        Some(b'u') if after.by_ref().take(4).filter(u8::is_ascii_hexdigit).count() == 4 => 6,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_items_are_set_aside() {
        for (broken, mended) in [
            ("{\"a\":NaN}", "{\"a\":null}"),
            (
                "{\"a\":-Infinity,\"b\":[1,NaN]}",
                "{\"a\":null,\"b\":[1,null]}",
            ),
            ("{\"a\":\"x\ny\u{1}\"}", "{\"a\":\"x\\u000ay\\u0001\"}"),
            (
                "{\"a\":\"C:\\dir \\x41 \\u12\"}",
                "{\"a\":\"C:\\\\dir \\\\x41 \\\\u12\"}",
            ),
            (
                "{\"a\":\"NaN [,]{}\",\"b\":undefined}",
                "{\"a\":\"NaN [,]{}\",\"b\":null}",
            ),
        ] {
            for (before, after) in [
                ("", ""),
                ("{\"id\":1},", ""),
                ("", ",{\"id\":\"]\"}"),
                ("{\"id\":1}, \n", " ,{}"),
            ] {
                let body = |item: &str| {
                    format!("{{\"n\":{{}},\"list\":[{before}{item}{after}],\"more\":false}}")
                };
                let found = repaired(&body(broken));
                let place = |item: &str| item.trim().to_owned();
                let found: serde_json::Value =
                    serde_json::from_str(&found.unwrap_or_else(|| panic!("{broken}"))).unwrap();
                let expected: serde_json::Value =
                    serde_json::from_str(&body(&format!("[{}]", place(mended)))).unwrap();
                assert_eq!(found, expected, "{broken}");
            }
        }
    }

    #[test]
    fn all_broken_items_are_found() {
        let items = ["NaN", "1", "{\"a\":NaN}", "\"\t\""].join(",");
        let found = repaired(&format!("{{\"list\":[{items}]}}"));
        assert_eq!(
            found.as_deref(),
            Some("{\"list\":[[null],1,[{\"a\":null}],[\"\\u0009\"]]}")
        );
    }

    #[test]
    fn other_answers_stay_broken() {
        for body in [
            "",
            "{",
            "[1,2",
            "{\"list\":[{\"a\":1},{\"a\":",
            "{\"list\":[{\"a\":\"x\"y\"}]}",
            "{\"n\":NaN,\"list\":[]}",
            "<html>",
        ] {
            assert_eq!(repaired(body), None, "{body}");
        }
        let many = vec!["NaN"; MAX_BROKEN_ITEMS + 1].join(",");
        assert_eq!(repaired(&format!("[{many}]")), None);
    }
}
