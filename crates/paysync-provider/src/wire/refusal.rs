//! Messages of refusals.

use std::collections::BTreeMap;

use super::object::Object;
use super::text::{Raw, text};
use crate::error::{Refusal, RefusalKind};
use crate::protocol::Response;

/// Longest message, in characters.
const MESSAGE_LENGTH: usize = 300;

/// The refusal of an answer's status. Its message is what `message` finds in a body that is an object, else
/// the start of the body.
pub fn refusal(
    response: &Response,
    message: impl FnOnce(&Object<'_>) -> Option<String>,
) -> Refusal {
    let html = response.is_html();
    let message = match Object::parse(&response.body).and_then(|body| message(&body)) {
        Some(message) => one_line(&message),
        None if html => "a web page, not JSON".to_owned(),
        None if response.body.trim().is_empty() => "no message".to_owned(),
        None => one_line(&response.body),
    };
    Refusal {
        kind: RefusalKind::of_status(response.status, html),
        message,
    }
}

/// Parts of a message, joined; none if there are none.
pub fn joined(parts: impl IntoIterator<Item = String>, separator: &str) -> Option<String> {
    let parts: Vec<String> = parts.into_iter().collect();
    (!parts.is_empty()).then(|| parts.join(separator))
}

/// Validation errors, sorted by field: `{"amount":["is too big"]}` as `amount: is too big`.
pub fn field_errors(errors: &Object<'_>) -> impl Iterator<Item = String> {
    let members = errors.0.iter().map(|(field, error)| (&field.0, *error));
    let sorted: BTreeMap<_, _> = members.collect();
    sorted.into_iter().filter_map(|(field, error)| {
        let list: Vec<Raw<'_>> =
            serde_json::from_str(error.get()).unwrap_or_else(|_| vec![Some(error)]);
        let texts = joined(list.into_iter().filter_map(text), ", ")?;
        Some(format!("{field}: {texts}"))
    })
}

/// A message on one line, truncated to 300 characters.
pub fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len().min(MESSAGE_LENGTH));
    let words = message.split(|c: char| c.is_whitespace() || c.is_control());
    for word in words.filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > MESSAGE_LENGTH {
            let cut: String = line.chars().take(MESSAGE_LENGTH).collect();
            return cut + "…";
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_fit_a_log_line() {
        assert_eq!(one_line(" a\r\n b\tc "), "a b c");
        assert!(one_line(&"word ".repeat(1000)).chars().count() <= MESSAGE_LENGTH + 1);
    }
}
