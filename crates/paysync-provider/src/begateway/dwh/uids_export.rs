//! `POST /api/v2/transactions/uids_export`: rows by their uids.
//!
//! Whether an export honours `response_parameters` is not documented: if one row lacks a requested
//! field, the answer is rejected, because it would replace more complete rows.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::PageError;
use crate::protocol::Response;
use crate::wire::{self, Object};

/// The rows of an answer, which has no pages; each must have all `fields`.
pub(super) fn items<'r>(
    response: &'r Response,
    fields: &[String],
) -> Result<Vec<&'r RawValue>, PageError> {
    let envelope: Export<'_> = wire::envelope(response)?;
    let items = wire::items(envelope.data, "data")?;
    for item in &items {
        let row = Object::of(Some(item));
        if !fields.iter().all(|field| row.has(field)) {
            return Err(PageError::Missing(
                "a field that response_parameters asks for",
            ));
        }
    }
    Ok(items)
}

#[derive(Deserialize)]
struct Export<'a> {
    #[serde(borrow)]
    data: Option<wire::Items<'a>>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_answer_without_a_requested_field_is_rejected() {
        let fields = ["uid", "updated_at"].map(str::to_owned);
        let rows = |rows: Value| {
            let response = Response::json(&json!({ "data": rows }));
            items(&response, &fields).map(|items| items.len())
        };
        assert_eq!(rows(json!([{"uid": "a", "updated_at": null}])), Ok(1));
        assert_eq!(rows(json!([])), Ok(0));
        for poor in [json!([{"uid": "a"}]), json!(["a"])] {
            assert!(matches!(rows(poor), Err(PageError::Missing(_))));
        }
        assert!(items(&Response::json(&json!({"data": {}})), &fields).is_err());
    }
}
