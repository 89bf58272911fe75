//! Objects: answers, items, nested objects and single members.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::text::Raw;
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

/// Reads an item, which must be an object, as a struct of [`Raw`] fields.
pub fn item<'a, T: Deserialize<'a>>(item: &'a str) -> Result<T, RecordError> {
    if !item.starts_with('{') {
        return Err(RecordError::Shape);
    }
    serde_json::from_str(item).map_err(|_| RecordError::Shape)
}

/// Reads a nested object; anything else counts as an empty one.
pub fn object<'a, T: Deserialize<'a> + Default>(raw: Raw<'a>) -> T {
    raw.filter(|raw| is_object(Some(raw)))
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default()
}

/// Whether a field holds an object.
pub fn is_object(raw: Raw<'_>) -> bool {
    raw.is_some_and(|raw| raw.get().starts_with('{'))
}

/// The last member of an object with this key; none if there is none, or `object` is not an object.
pub fn member<'a>(object: &'a str, key: &str) -> Raw<'a> {
    let mut reader = serde_json::Deserializer::from_str(object);
    reader.deserialize_map(Search(key)).ok().flatten()
}

struct Search<'k>(&'k str);

#[derive(Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for Search<'_> {
    type Value = Raw<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Raw<'de>, M::Error> {
        let mut found = None;
        while let Some(Key(key)) = members.next_key()? {
            if key == self.0 {
                found = members.next_value()?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn arrays_are_not_objects() {
        #[derive(Debug, Default, PartialEq, Deserialize)]
        #[serde(default)]
        struct One {
            id: u8,
        }
        assert_eq!(item::<One>(r#"{"id":1}"#), Ok(One { id: 1 }));
        assert_eq!(item::<One>("[1]"), Err(RecordError::Shape));
        assert_eq!(item::<One>("null"), Err(RecordError::Shape));
        let array = RawValue::from_string("[1]".to_owned()).unwrap();
        assert_eq!(object::<One>(Some(&array)), One { id: 0 });
        assert_eq!(
            envelope::<One>(&Response::json(&" {\"id\":1}")),
            Ok(One { id: 1 })
        );
        assert!(envelope::<One>(&Response::json(&"[1]")).is_err());
    }

    #[test]
    fn the_last_member_with_the_key_is_found() {
        let found = |object, key| member(object, key).map(|raw| raw.get().to_owned());
        let object = r#"{"a":1,"b":{"a":2},"\u0061":[3],"n":null,"é":"x"}"#;
        assert_eq!(found(object, "a").as_deref(), Some("[3]"));
        assert_eq!(found(object, "b").as_deref(), Some(r#"{"a":2}"#));
        assert_eq!(found(object, "é").as_deref(), Some("\"x\""));
        assert_eq!(found(object, "n"), None);
        assert_eq!(found(object, "c"), None);
        assert_eq!(found("[1]", "a"), None);
        assert_eq!(found(r#"{"a":1,"#, "a"), None);
    }
}
