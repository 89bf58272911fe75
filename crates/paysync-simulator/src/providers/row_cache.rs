//! A cache of rendered rows, for measurements that share the machine with the simulator.
//!
//! Every change of a row changes its time of update, which invalidates the cached text.

use std::sync::Arc;

use crate::merchants::row::Row;
use crate::merchants::table::Table;
use crate::providers::json::Json;

/// The JSON of a row, and its part of the signed text where the provider signs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct RenderedRow {
    pub(crate) json: String,
    pub(crate) signed: String,
}

impl RenderedRow {
    fn size(&self) -> usize {
        self.json.len().saturating_add(self.signed.len())
    }
}

/// The rendered rows of one provider, up to a limit in bytes; rows beyond it are rendered each time.
#[derive(Debug)]
pub(crate) struct RowCache {
    limit: usize,
    size: usize,
    /// The requested fields and zone.
    format: String,
    /// By the row's position, with its time of update.
    rows: Vec<Option<(i64, Arc<RenderedRow>)>>,
}

impl RowCache {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            size: 0,
            format: String::new(),
            rows: Vec::new(),
        }
    }

    /// Clears the cache if the rows are now requested in another format.
    pub(crate) fn set_format(&mut self, format: String) {
        if self.format != format {
            *self = Self::new(self.limit);
            self.format = format;
        }
    }

    /// Writes the rows at `positions` as elements of an array; `write` renders one.
    pub(crate) fn write_rows(
        &mut self,
        json: &mut Json,
        table: &Table,
        positions: &[usize],
        write: impl Fn(&mut Json, &Row),
    ) {
        for (at, &position) in positions.iter().enumerate() {
            let Some(row) = table.row(position) else {
                continue;
            };
            if self.limit == 0 {
                write(json, row);
                continue;
            }
            let rendered = self.get_or_render(position, row, || {
                let mut json = Json::new();
                write(&mut json, row);
                RenderedRow {
                    json: json.finish(),
                    signed: String::new(),
                }
            });
            if at == 0 {
                json.reserve(rendered.json.len().saturating_mul(positions.len()));
            }
            json.element(&rendered.json);
        }
    }

    /// The cached row at `position`, or else the result of `render`.
    pub(crate) fn get_or_render(
        &mut self,
        position: usize,
        row: &Row,
        render: impl FnOnce() -> RenderedRow,
    ) -> Arc<RenderedRow> {
        if let Some(Some((updated, rendered))) = self.rows.get(position)
            && *updated == row.updated
        {
            return Arc::clone(rendered);
        }
        let rendered = Arc::new(render());
        if let Some((_, old)) = self.rows.get_mut(position).and_then(Option::take) {
            self.size = self.size.saturating_sub(old.size());
        }
        let size = self.size.saturating_add(rendered.size());
        if size <= self.limit {
            if self.rows.len() <= position {
                self.rows.resize(position.saturating_add(1), None);
            }
            if let Some(slot) = self.rows.get_mut(position) {
                *slot = Some((row.updated, Arc::clone(&rendered)));
                self.size = size;
            }
        }
        rendered
    }
}

#[cfg(test)]
mod tests {
    use super::{RenderedRow, RowCache};
    use crate::merchants::row::Row;

    /// The JSON of a row that would now be rendered as `fresh`.
    fn json(cache: &mut RowCache, position: usize, updated: i64, fresh: &str) -> String {
        let row = Row {
            updated,
            ..Row::default()
        };
        let render = || RenderedRow {
            json: fresh.to_owned(),
            ..RenderedRow::default()
        };
        cache.get_or_render(position, &row, render).json.clone()
    }

    #[test]
    fn a_row_is_rendered_again_when_it_or_the_format_changed() {
        let mut cache = RowCache::new(100);
        assert_eq!(json(&mut cache, 3, 1, "a"), "a");
        assert_eq!(json(&mut cache, 3, 1, "b"), "a");
        assert_eq!(json(&mut cache, 3, 2, "c"), "c");
        assert_eq!(json(&mut cache, 3, 2, "d"), "c");
        cache.set_format("UTC".to_owned());
        assert_eq!(json(&mut cache, 3, 2, "e"), "e");
        cache.set_format("UTC".to_owned());
        assert_eq!(json(&mut cache, 3, 2, "f"), "e");
    }

    #[test]
    fn the_cache_keeps_to_its_limit() {
        let mut cache = RowCache::new(3);
        assert_eq!(json(&mut cache, 0, 1, "aa"), "aa");
        assert_eq!(json(&mut cache, 1, 1, "bb"), "bb");
        assert_eq!(json(&mut cache, 1, 1, "cc"), "cc");
        assert_eq!(json(&mut cache, 0, 1, "dd"), "aa");
        assert_eq!(json(&mut cache, 0, 2, "eeee"), "eeee");
        assert_eq!(json(&mut cache, 1, 1, "ff"), "ff");
        assert_eq!(json(&mut cache, 1, 1, "gg"), "ff");
    }
}
