//! Objects: answers, items and nested objects, with their members as values.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::text::{Raw, flag, text};
use crate::error::{PageError, RecordError};
use crate::protocol::Response;

/// Reads an answer's body, which must be an object.
pub fn envelope<'r, T: Deserialize<'r>>(response: &'r Response) -> Result<T, PageError> {
    let envelope = serde_json::from_str(&response.body).map_err(|error| {
        if response.is_html() {
            PageError::Html
        } else if error.is_data() {
            PageError::Missing("the expected fields")
        } else {
            PageError::NotJson {
                line: error.line(),
                column: error.column(),
            }
        }
    })?;
    // Serde also reads a struct from an array, by position.
    if response.body.trim_start().starts_with('{') {
        Ok(envelope)
    } else {
        Err(PageError::Missing("the expected fields"))
    }
}

/// A JSON object: its members in their exact text. The last of several members with one key counts, as in
/// PostgreSQL.
///
/// A list, because it is faster than a map: most objects are read once, and have few members.
#[derive(Debug, Default)]
pub struct Object<'a>(pub(super) Vec<(Key<'a>, &'a RawValue)>);

/// A key, borrowed unless it is written with escapes.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Key<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Object<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object<'de>, M::Error> {
                let mut members = Vec::with_capacity(32);
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl<'a> Object<'a> {
    /// Reads a text; none if it is not an object.
    pub fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Reads an item, which must be an object.
    pub fn item(text: &'a str) -> Result<Self, RecordError> {
        Self::parse(text).ok_or(RecordError::Shape)
    }

    /// Reads a field; anything but an object counts as an empty one.
    pub fn of(raw: Raw<'a>) -> Self {
        raw.and_then(|raw| Self::parse(raw.get()))
            .unwrap_or_default()
    }

    /// Whether there is a member with this key, even null.
    pub fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(known, _)| known.0 == key)
    }

    /// The exact text of a member; none for null.
    pub fn raw(&self, key: &str) -> Raw<'a> {
        let (_, raw) = self.0.iter().rev().find(|(known, _)| known.0 == key)?;
        Some(*raw).filter(|raw| raw.get() != "null")
    }

    /// Whether a member is an object.
    pub fn is_object(&self, key: &str) -> bool {
        self.raw(key).is_some_and(|raw| raw.get().starts_with('{'))
    }

    /// A nested object; anything else counts as an empty one.
    #[must_use]
    pub fn object(&self, key: &str) -> Self {
        Self::of(self.raw(key))
    }

    /// The [`text`] of a member.
    pub fn text(&self, key: &str) -> Option<String> {
        text(self.raw(key))
    }

    /// The [`flag`] of a member.
    pub fn flag(&self, key: &str) -> Option<bool> {
        flag(self.raw(key))
    }

    /// The text of an identifier; an error if there is none.
    pub fn id(&self, field: &'static str) -> Result<String, RecordError> {
        self.text(field).ok_or(RecordError::MissingId(field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_not_objects() {
        assert_eq!(
            Object::item(r#"{"id":1}"#).unwrap().text("id").as_deref(),
            Some("1")
        );
        for other in ["[1]", "null"] {
            assert_eq!(Object::item(other).err(), Some(RecordError::Shape));
        }
        let nested = Object::parse(r#"{"list":[1],"object":{"id":2}}"#).unwrap();
        assert!(nested.object("list").0.is_empty());
        assert_eq!(nested.object("object").text("id").as_deref(), Some("2"));
        let id = |body: &str| {
            envelope::<Object<'_>>(&Response::json(&body)).map(|object| object.text("id"))
        };
        assert_eq!(id(" {\"id\":1}"), Ok(Some("1".to_owned())));
        assert!(id("[1]").is_err());
    }

    #[test]
    fn the_last_member_with_the_key_is_found() {
        let object = r#"{"a":1,"b":{"a":2},"\u0061":[3],"n":null,"é":"x"}"#;
        let object = Object::parse(object).unwrap();
        let found = |key| object.raw(key).map(RawValue::get);
        assert_eq!(found("a"), Some("[3]"));
        assert_eq!(found("b"), Some(r#"{"a":2}"#));
        assert_eq!(found("é"), Some("\"x\""));
        assert_eq!(found("n"), None);
        assert!(object.has("n"));
        assert_eq!(found("c"), None);
        assert!(!object.has("c"));
        assert!(Object::parse(r#"{"a":1,"#).is_none());
    }
}
