//! The list's siblings: `uids_export` for named rows, `count` for a number of rows.
//!
//! Whether an export honours `response_parameters` is not documented: rows that lack a field asked
//! for are refused as a whole, since they would replace fuller ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::wire::{self, Raw};
use crate::{PageError, Request, Response};

/// Asks for rows by their uids.
pub(super) fn request_by_id(
    uids: &[String],
    response_parameters: &str,
) -> Result<Request, PageError> {
    super::post(
        "/api/v2/transactions/uids_export",
        &ExportBody {
            filter: ExportFilter { uids },
            response_parameters,
        },
    )
}

/// The rows of an export, which has no pages; each must have the `fields` of the list's rows.
pub(super) fn items_by_id<'r>(
    response: &'r Response,
    fields: &[String],
) -> Result<Vec<&'r RawValue>, PageError> {
    let envelope: Export<'_> = wire::envelope(response)?;
    let items = wire::items(envelope.data, "data")?;
    for item in &items {
        let keys: BTreeMap<String, &RawValue> =
            serde_json::from_str(item.get()).unwrap_or_default();
        if !fields.iter().all(|field| keys.contains_key(field)) {
            return Err(PageError::Missing(
                "a field that response_parameters asks for",
            ));
        }
    }
    Ok(items)
}

/// The number in `{"data":{"count":1486}}`.
pub(super) fn count(response: &Response) -> Result<u64, PageError> {
    let envelope: Counted<'_> = wire::envelope(response)?;
    let data: Count<'_> = wire::object(envelope.data);
    wire::text(data.count)
        .and_then(|count| count.parse().ok())
        .ok_or(PageError::Missing("data.count"))
}

#[derive(Serialize)]
struct ExportBody<'a> {
    filter: ExportFilter<'a>,
    response_parameters: &'a str,
}

#[derive(Serialize)]
struct ExportFilter<'a> {
    uids: &'a [String],
}

#[derive(Deserialize)]
struct Export<'a> {
    #[serde(borrow)]
    data: Option<wire::Items<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Counted<'a> {
    #[serde(borrow)]
    data: Raw<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Count<'a> {
    #[serde(borrow)]
    count: Raw<'a>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn response(body: &Value) -> Response {
        Response {
            status: 200,
            content_type: "application/json".to_owned(),
            body: body.to_string(),
            lossy: false,
        }
    }

    #[test]
    fn rows_poorer_than_the_lists_are_refused() {
        let fields = ["uid", "updated_at"].map(str::to_owned);
        let rows = |rows: Value| {
            let response = response(&json!({ "data": rows }));
            items_by_id(&response, &fields).map(|items| items.len())
        };
        assert_eq!(rows(json!([{"uid": "a", "updated_at": null}])), Ok(1));
        assert_eq!(rows(json!([])), Ok(0));
        for poor in [json!([{"uid": "a"}]), json!(["a"])] {
            assert!(matches!(rows(poor), Err(PageError::Missing(_))));
        }
        assert!(items_by_id(&response(&json!({"data": {}})), &fields).is_err());
    }

    #[test]
    fn a_count_is_a_number_or_an_error() {
        assert_eq!(
            count(&response(&json!({"data": {"count": 1486}}))),
            Ok(1486)
        );
        assert_eq!(count(&response(&json!({"data": {"count": "7"}}))), Ok(7));
        for body in [
            json!({"data": {}}),
            json!({"data": {"count": -1}}),
            json!({}),
        ] {
            assert!(count(&response(&body)).is_err());
        }
    }

    #[test]
    fn an_export_names_its_rows_and_fields() {
        let request = request_by_id(&["a".to_owned(), "b".to_owned()], "query { x }").unwrap();
        let body: Value = serde_json::from_str(&request.body.unwrap()).unwrap();
        assert_eq!(request.path, "/api/v2/transactions/uids_export");
        assert_eq!(
            body,
            json!({"filter": {"uids": ["a", "b"]}, "response_parameters": "query { x }"})
        );
    }
}
