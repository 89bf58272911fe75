//! Messages of refusals.

use std::collections::BTreeMap;

use super::object::object;
use super::text::{Raw, text};
use crate::error::{Refusal, RefusalKind};
use crate::protocol::Response;

/// Longest message, in characters.
const MESSAGE_LENGTH: usize = 300;

/// The refusal of an answer's status, with the provider's `message` or else the start of the body.
pub fn refusal(response: &Response, message: Option<String>) -> Refusal {
    let html = response.is_html();
    let message = match message {
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

/// Validation errors by field: `{"amount":["is too big"]}` as `amount: is too big`.
pub fn field_errors(errors: Raw<'_>) -> Vec<String> {
    object::<BTreeMap<String, Raw<'_>>>(errors)
        .into_iter()
        .filter_map(|(field, error)| {
            let list: Vec<Raw<'_>> = error
                .and_then(|raw| serde_json::from_str(raw.get()).ok())
                .unwrap_or_else(|| vec![error]);
            let texts: Vec<String> = list.into_iter().filter_map(text).collect();
            (!texts.is_empty()).then(|| format!("{field}: {}", texts.join(", ")))
        })
        .collect()
}

/// A message on one line, truncated to 300 characters.
pub fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len().min(MESSAGE_LENGTH));
    for word in message
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
    {
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
