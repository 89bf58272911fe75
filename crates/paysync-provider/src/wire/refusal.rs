//! Messages of refusals.

use std::collections::BTreeMap;

use super::object::Object;
use super::text::{Raw, text};
use crate::error::{Refusal, RefusalKind};
use crate::protocol::Response;

/// Longest message, in characters.
const MESSAGE_LENGTH: usize = 300;

/// What `message` finds in a body that is an object, on one line.
pub fn said(
    response: &Response,
    message: impl FnOnce(&Object<'_>) -> Option<String>,
) -> Option<String> {
    let message = Object::parse(&response.body).and_then(|body| message(&body))?;
    Some(one_line(&message)).filter(|line| !line.is_empty())
}

/// The refusal of an answer's status, with what the provider said. If it said nothing, the message is the type
/// and the length of the answer, and nothing of its text, which may be a payment.
pub fn refusal(response: &Response, said: Option<String>) -> Refusal {
    let html = response.is_html();
    let message = said.unwrap_or_else(|| match response.body.trim().len() {
        0 => "no message".to_owned(),
        _ if html => "a web page, not JSON".to_owned(),
        _ => format!(
            "no message of the provider's API ({}, {} bytes)",
            one_line(response.content_type.split(';').next().unwrap_or_default()),
            response.body.len()
        ),
    });
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
