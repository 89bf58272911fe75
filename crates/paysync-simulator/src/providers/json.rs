//! A JSON writer that controls every digit of a number.

use std::fmt::Write as _;

/// A JSON text under construction; the caller closes every object and array.
#[derive(Debug, Default)]
pub(crate) struct Json {
    text: String,
    comma: bool,
}

impl Json {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }

    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.text.reserve(bytes);
    }

    /// Opens `{` or `[` as an element.
    pub(crate) fn open(&mut self, bracket: char) {
        self.separate();
        self.text.push(bracket);
        self.comma = false;
    }

    /// Opens `{` or `[` as the value of `key`.
    pub(crate) fn open_at(&mut self, key: &str, bracket: char) {
        self.key(key);
        self.text.push(bracket);
        self.comma = false;
    }

    pub(crate) fn close(&mut self, bracket: char) {
        self.text.push(bracket);
        self.comma = true;
    }

    /// An element in JSON.
    pub(crate) fn element(&mut self, value: &str) {
        self.separate();
        self.text.push_str(value);
    }

    /// A value in JSON, such as a number.
    pub(crate) fn raw(&mut self, key: &str, value: &str) {
        self.key(key);
        self.text.push_str(value);
    }

    pub(crate) fn number(&mut self, key: &str, value: impl std::fmt::Display) {
        self.key(key);
        // Writing to a string cannot fail.
        let _unfailing = write!(self.text, "{value}");
    }

    pub(crate) fn flag(&mut self, key: &str, value: bool) {
        self.raw(key, if value { "true" } else { "false" });
    }

    pub(crate) fn null(&mut self, key: &str) {
        self.raw(key, "null");
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.quote(value);
    }

    /// The text, or `null`.
    pub(crate) fn text_or_null(&mut self, key: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(key, value),
            None => self.null(key),
        }
    }

    /// The text, or no member.
    pub(crate) fn text_if(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn key(&mut self, key: &str) {
        self.separate();
        self.quote(key);
        self.text.push(':');
    }

    fn quote(&mut self, value: &str) {
        let is_plain = value
            .bytes()
            .all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
        if is_plain {
            self.text.extend(["\"", value, "\""]);
        } else {
            self.text
                .push_str(&serde_json::Value::from(value).to_string());
        }
    }

    fn separate(&mut self) {
        if self.comma {
            self.text.push(',');
        }
        self.comma = true;
    }
}

#[cfg(test)]
mod tests {
    use super::Json;

    #[test]
    fn numbers_keep_their_digits_and_texts_are_escaped() {
        let mut json = Json::new();
        json.open('{');
        json.raw("amount", "0.000010000000000001");
        json.text("note", "a \"b\"\n\u{1}é");
        json.open_at("rows", '[');
        json.open('{');
        json.close('}');
        json.open('{');
        json.text_if("absent", None);
        json.text_or_null("empty", None);
        json.close('}');
        json.close(']');
        json.close('}');
        assert_eq!(
            json.finish(),
            r#"{"amount":0.000010000000000001,"note":"a \"b\"\n\u0001é","rows":[{},{"empty":null}]}"#
        );
    }
}
