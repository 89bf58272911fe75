//! The list of items in an answer, up to a cap.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::PageError;

/// Largest number of items in one answer, many times a page. Each item takes memory beyond its text, so
/// an answer of tiny items would take far more memory than its size.
pub const MAX_ITEMS: usize = 100_000;

/// The items of an answer, read up to [`MAX_ITEMS`].
#[derive(Debug)]
pub struct Items<'a> {
    items: Vec<&'a RawValue>,
    is_complete: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Items<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of items")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Items<'de>, S::Error> {
                let mut items = Vec::new();
                while items.len() < MAX_ITEMS {
                    match list.next_element()? {
                        Some(item) => items.push(item),
                        None => break,
                    }
                }
                let mut is_complete = true;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    is_complete = false;
                }
                Ok(Items { items, is_complete })
            }
        }
        deserializer.deserialize_seq(Reader)
    }
}

/// The items of an answer; an error if they are missing or too many. `name` is their key.
pub fn items<'a>(
    found: Option<Items<'a>>,
    name: &'static str,
) -> Result<Vec<&'a RawValue>, PageError> {
    let items = found.ok_or(PageError::Missing(name))?;
    if items.is_complete {
        Ok(items.items)
    } else {
        Err(PageError::TooMany(MAX_ITEMS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        rows: Option<Items<'a>>,
    }

    fn read(body: &str) -> Result<usize, PageError> {
        let envelope: Envelope<'_> = serde_json::from_str(body).unwrap();
        items(envelope.rows, "rows").map(|items| items.len())
    }

    #[test]
    fn items_are_read_up_to_the_cap() {
        let rows = |count: usize| format!("{{\"rows\":[{}1]}}", "1,".repeat(count - 1));
        assert_eq!(read("{\"rows\":[]}"), Ok(0));
        assert_eq!(read("{\"rows\":null}"), Err(PageError::Missing("rows")));
        assert_eq!(read(&rows(MAX_ITEMS)), Ok(MAX_ITEMS));
        let beyond = Err(PageError::TooMany(MAX_ITEMS));
        assert_eq!(read(&rows(MAX_ITEMS + 1)), beyond);
        assert!(serde_json::from_str::<Envelope<'_>>("{\"rows\":{}}").is_err());
        // A body that is truncated beyond the cap is still an error.
        let truncated = rows(MAX_ITEMS + 9).replace("]}", "");
        assert!(serde_json::from_str::<Envelope<'_>>(&truncated).is_err());
    }
}
