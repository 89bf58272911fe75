//! One member of an object, by a key that is known only when it is read.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::Raw;

/// The last member of an object under this key; none if there is none, or no object.
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
    use super::*;

    #[test]
    fn the_last_member_of_the_name_is_found() {
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
