//! HTTP responses: answers with and without faults.

use std::convert::Infallible;
use std::io;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, StatusCode, header};
use futures_util::{StreamExt as _, stream};

use crate::fault::Fault;
use crate::providers::protocol::{Answer, HTML, JSON};

/// The HTTP response of an answer with a fault; the caller waits for a timeout.
pub(crate) fn send(answer: Answer, fault: Option<Fault>) -> Response<Body> {
    let correct = |body: Body| respond(answer.status, answer.content_type, body);
    match fault {
        None => correct(Body::from(answer.body)),
        Some(Fault::Status(status)) => respond(status, JSON, Body::from("{}")),
        Some(Fault::Html | Fault::Timeout) => web_page(502),
        Some(Fault::Web(status)) => web_page(status),
        Some(Fault::Truncated) => correct(Body::from(half(&answer.body))),
        Some(Fault::RateLimited(after)) => {
            let mut response = respond(429, JSON, Body::from("{}"));
            if let Some(value) = after.and_then(|after| HeaderValue::try_from(after).ok()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
            response
        }
        Some(Fault::Away(after)) => {
            let mut response = respond(503, JSON, Body::from("{}"));
            if let Ok(value) = HeaderValue::try_from(after) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
            response
        }
        Some(Fault::Reset) => {
            let first = half(&answer.body);
            let reset = async {
                // Lets the first half reach the client before the reset.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                Err(io::Error::from(io::ErrorKind::ConnectionReset))
            };
            correct(Body::from_stream(
                stream::iter([Ok::<_, io::Error>(first)]).chain(stream::once(reset)),
            ))
        }
        Some(Fault::WrongJson) => respond(200, JSON, Body::from(r#"{"surprise":[1,2,3]}"#)),
        Some(Fault::Body(body)) => respond(200, JSON, Body::from(body)),
        Some(Fault::Bytes(body)) => respond(200, JSON, Body::from(body)),
        Some(Fault::Extra(item)) => correct(Body::from(with_item(&answer.body, &item))),
        Some(Fault::Endless) => {
            let blanks = Bytes::from(vec![b' '; 1 << 16]);
            let body = stream::repeat(Ok::<_, Infallible>(blanks));
            respond(200, JSON, Body::from_stream(body))
        }
    }
}

/// A web page as a proxy writes it.
fn web_page(status: u16) -> Response<Body> {
    let title =
        StatusCode::from_u16(status).map_or_else(|_| status.to_string(), |it| it.to_string());
    let page = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n\
         <center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    );
    respond(status, HTML, Body::from(page))
}

/// A response with a streamed body.
pub(crate) fn lines(pieces: impl stream::Stream<Item = String> + Send + 'static) -> Response<Body> {
    let body = Body::from_stream(pieces.map(Ok::<_, Infallible>));
    respond(200, "application/x-ndjson", body)
}

fn respond(status: u16, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A page with one more item at the start: in every API's answers, the items are the first array.
fn with_item(page: &str, item: &str) -> String {
    let Some((head, items)) = page.split_once('[') else {
        return page.to_owned();
    };
    let comma = if items.trim_start().starts_with(']') {
        ""
    } else {
        ","
    };
    format!("{head}[{item}{comma}{items}")
}

/// The first half of a text, by characters.
fn half(text: &str) -> Bytes {
    let mut cut = text.len() / 2;
    while !text.is_char_boundary(cut) {
        cut = cut.saturating_sub(1);
    }
    let (first, _) = text.split_at_checked(cut).unwrap_or((text, ""));
    Bytes::copy_from_slice(first.as_bytes())
}
