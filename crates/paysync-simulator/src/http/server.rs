//! Routes requests to the simulated APIs and to the simulator's own pages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, header};
use futures_util::stream;

use super::response;
use crate::clock::instant;
use crate::fault::Fault;
use crate::providers::ecommpay;
use crate::providers::protocol::{Answer, Call, basic};
use crate::settings::Provider;
use crate::simulation::Simulation;

const MAX_BODY_BYTES: usize = 1 << 20;
/// Lines of a ledger per chunk of the response.
const LEDGER_CHUNK: usize = 1_000;

pub(crate) async fn serve(
    State(simulation): State<Arc<Simulation>>,
    request: Request,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let rest = path.strip_prefix('/').unwrap_or(&path);
    let (client, rest) = match rest.strip_prefix('~').and_then(|rest| rest.split_once('/')) {
        Some((client, rest)) => (Some(client.to_owned()), rest),
        None => (None, rest),
    };
    let (first, rest) = rest.split_once('/').unwrap_or((rest, ""));
    if first == "_simulator" {
        return simulator_page(simulation, rest);
    }
    match Provider::by_slug(first) {
        Some(provider) => {
            let path = format!("/{rest}");
            provider_page(&simulation, provider, client, path, request).await
        }
        None => not_found(),
    }
}

async fn provider_page(
    simulation: &Simulation,
    provider: Provider,
    client: Option<String>,
    path: String,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MAX_BODY_BYTES)
        .await
        .unwrap_or_else(|_| Bytes::from_static(b"too large"));
    let credential = match provider {
        Provider::Ecommpay => ecommpay::credential(&body),
        _ => credential(&parts.headers),
    };
    let in_flight = simulation.traffic.begin(provider, credential, client);
    if simulation.settings.latency > Duration::ZERO {
        tokio::time::sleep(simulation.settings.latency).await;
    }
    let mut call = Call {
        method: parts.method,
        path,
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
        now: simulation.clock.now(),
        number: 0,
    };
    let (answer, fault) = simulation.with(provider, |state, now| {
        call.now = instant(now);
        call.number = state.next_request();
        let fault = state.next_fault();
        // A request that fails on its way to the provider changes no rows.
        let arrives = !fault.as_ref().is_some_and(Fault::is_on_request);
        let answer = arrives.then(|| state.answer(&simulation.settings, &call));
        (answer, fault)
    });
    if fault.is_some() {
        in_flight.fault();
    }
    if fault == Some(Fault::Timeout) {
        simulation.stop.cancelled().await;
    }
    let answer = answer.unwrap_or_else(|| Answer::json(String::new()));
    if let Some(reason) = answer.refused {
        in_flight.refused(reason);
    }
    if let Some(positions) = &answer.page {
        in_flight.page(positions.len());
    }
    let mut response = response::send(answer, fault);
    let date = httpdate::fmt_http_date(call.now.into());
    if let Ok(date) = date.parse() {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

/// The ledgers and the counts.
fn simulator_page(simulation: Arc<Simulation>, path: &str) -> Response<Body> {
    if path == "requests" {
        let counts: BTreeMap<&str, _> = Provider::ALL
            .into_iter()
            .map(|provider| (provider.slug(), simulation.traffic.counts(provider)))
            .collect();
        let body = serde_json::to_string(&counts).unwrap_or_default();
        return response::send(Answer::json(body), None);
    }
    match path.strip_prefix("ledger/").and_then(Provider::by_slug) {
        Some(provider) => response::lines(stream::unfold(0, move |start| {
            let lines = simulation.with(provider, |state, _| state.ledger(start, LEDGER_CHUNK));
            let text: String = lines
                .iter()
                .filter_map(|line| serde_json::to_string(line).ok())
                .flat_map(|line| [line, "\n".to_owned()])
                .collect();
            let next = start.saturating_add(lines.len());
            async move { (!text.is_empty()).then_some((text, next)) }
        })),
        None => not_found(),
    }
}

fn not_found() -> Response<Body> {
    response::send(Answer::refusal(404, "path", "{}".to_owned()), None)
}

/// The credential that a request counts for: the token, or the user of basic authentication.
fn credential(headers: &HeaderMap) -> String {
    let authorization = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    authorization
        .strip_prefix("Bearer ")
        .map(str::to_owned)
        .or_else(|| basic(authorization).map(|(user, _)| user))
        .unwrap_or_default()
}
