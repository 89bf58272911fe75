//! The list of items in an answer, up to a cap.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::PageError;

/// Items that one answer may hold, many times what is asked for: each of them takes memory beyond its
/// text, and an answer of the smallest items would take far more than its size.
pub const MAX_ITEMS: usize = 100_000;

/// The items of an answer, as long as there are at most [`MAX_ITEMS`].
#[derive(Debug)]
pub struct Items<'a> {
    kept: Vec<&'a RawValue>,
    is_whole: bool,
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
                let mut kept = Vec::new();
                while kept.len() < MAX_ITEMS {
                    match list.next_element()? {
                        Some(item) => kept.push(item),
                        None => break,
                    }
                }
                let mut is_whole = true;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    is_whole = false;
                }
                Ok(Items { kept, is_whole })
            }
        }
        deserializer.deserialize_seq(Reader)
    }
}

/// The items of an answer that must have them under this name.
pub fn items<'a>(
    found: Option<Items<'a>>,
    name: &'static str,
) -> Result<Vec<&'a RawValue>, PageError> {
    let items = found.ok_or(PageError::Missing(name))?;
    if items.is_whole {
        Ok(items.kept)
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
        // Cut short beyond the cap is cut short.
        let cut = rows(MAX_ITEMS + 9).replace("]}", "");
        assert!(serde_json::from_str::<Envelope<'_>>(&cut).is_err());
    }
}
