//! Things that go wrong between a provider and its clients.

use std::convert::Infallible;
use std::io;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, StatusCode, header};
use futures_util::{StreamExt as _, stream};

use super::dice::Dice;
use super::exchange::{Answer, HTML, JSON};

/// One thing going wrong with one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status with an empty JSON object.
    Status(u16),
    /// 502 with an HTML page, as a proxy writes it.
    Html,
    /// This status with an HTML page, as a proxy that lets nobody in writes it.
    Web(u16),
    /// No answer at all, until the client gives up.
    Timeout,
    /// The right answer with its second half missing; the transfer itself ends well.
    Truncated,
    /// 429, with this `Retry-After` if there is one.
    RateLimited(Option<String>),
    /// The right answer, and the connection breaks in the middle of it.
    Reset,
    /// 200 with JSON of another shape.
    WrongJson,
    /// 200 with this body as it is.
    Body(String),
    /// The same with bytes that need be no text.
    Bytes(Vec<u8>),
    /// The right answer with this item before its own.
    Extra(String),
    /// 200 with a body that does not end.
    Endless,
}

/// What `--fail` serves.
pub(crate) fn any(dice: &mut Dice) -> Fault {
    match dice.below(6) {
        0 => Fault::Status(500),
        1 => Fault::Html,
        2 => Fault::Status(503),
        3 => Fault::RateLimited(Some("1".to_owned())),
        4 => Fault::Reset,
        _ => Fault::Truncated,
    }
}

/// The answer as it is sent, spoilt by `fault`; a timeout is the caller's to wait for.
pub(crate) fn send(answer: Answer, fault: Option<Fault>) -> Response<Body> {
    let right = |body: Body| respond(answer.status, answer.content_type, body);
    match fault {
        None => right(Body::from(answer.body)),
        Some(Fault::Status(status)) => respond(status, JSON, Body::from("{}")),
        Some(Fault::Html | Fault::Timeout) => web_page(502),
        Some(Fault::Web(status)) => web_page(status),
        Some(Fault::Truncated) => right(Body::from(half(&answer.body))),
        Some(Fault::RateLimited(after)) => {
            let mut response = respond(429, JSON, Body::from("{}"));
            if let Some(value) = after.and_then(|after| HeaderValue::try_from(after).ok()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
            response
        }
        Some(Fault::Reset) => {
            let first = half(&answer.body);
            let broken = async {
                // Lets the first half reach the client before the connection goes.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                Err(io::Error::from(io::ErrorKind::ConnectionReset))
            };
            right(Body::from_stream(
                stream::iter([Ok::<_, io::Error>(first)]).chain(stream::once(broken)),
            ))
        }
        Some(Fault::WrongJson) => respond(200, JSON, Body::from(r#"{"surprise":[1,2,3]}"#)),
        Some(Fault::Body(body)) => respond(200, JSON, Body::from(body)),
        Some(Fault::Bytes(body)) => respond(200, JSON, Body::from(body)),
        Some(Fault::Extra(item)) => right(Body::from(with_item(&answer.body, &item))),
        Some(Fault::Endless) => {
            let blanks = Bytes::from(vec![b' '; 1 << 16]);
            let body = stream::repeat(Ok::<_, Infallible>(blanks));
            respond(200, JSON, Body::from_stream(body))
        }
    }
}

/// A page as proxies write it.
fn web_page(status: u16) -> Response<Body> {
    let title =
        StatusCode::from_u16(status).map_or_else(|_| status.to_string(), |it| it.to_string());
    let page = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n\
         <center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    );
    respond(status, HTML, Body::from(page))
}

/// A response whose body is sent piece by piece.
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

/// A page with an item before its own: their list is the first one in every answer.
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

/// The first half of a text, cut between characters.
fn half(text: &str) -> Bytes {
    let mut cut = text.len() / 2;
    while !text.is_char_boundary(cut) {
        cut = cut.saturating_sub(1);
    }
    let (first, _) = text.split_at_checked(cut).unwrap_or((text, ""));
    Bytes::copy_from_slice(first.as_bytes())
}
