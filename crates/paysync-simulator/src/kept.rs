//! Rows as they were written last, so that reading them again costs next to nothing.
//!
//! For measurements, in which the provider shares a machine with what is measured. Whatever changes a row moves the
//! time of its update: by that a text is known to be old.

use std::sync::Arc;

use super::json::Json;
use super::world::{Row, World};

/// A row's text, and what is signed of it where the provider signs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) json: String,
    pub(crate) signed: String,
}

impl Written {
    fn size(&self) -> usize {
        self.json.len().saturating_add(self.signed.len())
    }
}

/// The texts of one provider's rows, up to so many bytes; further ones are written anew each time.
#[derive(Debug)]
pub(crate) struct Kept {
    limit: usize,
    held: usize,
    /// What the texts were asked for as: fields and zone.
    shape: String,
    /// By place, each with its row's time of update.
    texts: Vec<Option<(i64, Arc<Written>)>>,
}

impl Kept {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            held: 0,
            shape: String::new(),
            texts: Vec::new(),
        }
    }

    /// Forgets texts that were asked for as something else.
    pub(crate) fn reshape(&mut self, shape: String) {
        if self.shape != shape {
            *self = Self::new(self.limit);
            self.shape = shape;
        }
    }

    /// Adds the rows at `places` to a list; `write` adds one.
    pub(crate) fn list(
        &mut self,
        json: &mut Json,
        world: &World,
        places: &[usize],
        write: impl Fn(&mut Json, &Row),
    ) {
        for (at, &place) in places.iter().enumerate() {
            let Some(row) = world.row(place) else {
                continue;
            };
            if self.limit == 0 {
                write(json, row);
                continue;
            }
            let text = self.text(place, row, || {
                let mut json = Json::new();
                write(&mut json, row);
                Written {
                    json: json.finish(),
                    signed: String::new(),
                }
            });
            if at == 0 {
                json.reserve(text.json.len().saturating_mul(places.len()));
            }
            json.element(&text.json);
        }
    }

    /// The text of the row at `place`: as kept, or else as `write` makes it.
    pub(crate) fn text(
        &mut self,
        place: usize,
        row: &Row,
        write: impl FnOnce() -> Written,
    ) -> Arc<Written> {
        if let Some(Some((updated, text))) = self.texts.get(place)
            && *updated == row.updated
        {
            return Arc::clone(text);
        }
        let text = Arc::new(write());
        if let Some((_, old)) = self.texts.get_mut(place).and_then(Option::take) {
            self.held = self.held.saturating_sub(old.size());
        }
        let held = self.held.saturating_add(text.size());
        if held <= self.limit {
            if self.texts.len() <= place {
                self.texts.resize(place.saturating_add(1), None);
            }
            if let Some(kept) = self.texts.get_mut(place) {
                *kept = Some((row.updated, Arc::clone(&text)));
                self.held = held;
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Kept, Written};
    use crate::world::Row;

    /// What is shown of a row that would now be written as `fresh`.
    fn shown(kept: &mut Kept, place: usize, updated: i64, fresh: &str) -> String {
        let row = Row {
            updated,
            ..Row::default()
        };
        let write = || Written {
            json: fresh.to_owned(),
            ..Written::default()
        };
        kept.text(place, &row, write).json.clone()
    }

    #[test]
    fn a_row_is_written_again_when_it_or_the_question_changed() {
        let mut kept = Kept::new(100);
        assert_eq!(shown(&mut kept, 3, 1, "a"), "a");
        assert_eq!(shown(&mut kept, 3, 1, "b"), "a");
        assert_eq!(shown(&mut kept, 3, 2, "c"), "c");
        assert_eq!(shown(&mut kept, 3, 2, "d"), "c");
        kept.reshape("UTC".to_owned());
        assert_eq!(shown(&mut kept, 3, 2, "e"), "e");
        kept.reshape("UTC".to_owned());
        assert_eq!(shown(&mut kept, 3, 2, "f"), "e");
    }

    #[test]
    fn no_more_is_kept_than_allowed() {
        let mut kept = Kept::new(3);
        assert_eq!(shown(&mut kept, 0, 1, "aa"), "aa");
        assert_eq!(shown(&mut kept, 1, 1, "bb"), "bb");
        assert_eq!(shown(&mut kept, 1, 1, "cc"), "cc");
        assert_eq!(shown(&mut kept, 0, 1, "dd"), "aa");
        assert_eq!(shown(&mut kept, 0, 2, "eeee"), "eeee");
        assert_eq!(shown(&mut kept, 1, 1, "ff"), "ff");
        assert_eq!(shown(&mut kept, 1, 1, "gg"), "ff");
    }
}
