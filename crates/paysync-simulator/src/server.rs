//! The one HTTP server of all simulated APIs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, header};
use futures_util::stream;
use tokio_util::sync::CancellationToken;

use super::clock::{Clock, instant, lock};
use super::desk::Desk;
use super::exchange::{Answer, Call};
use super::fault::{self, Fault};
use super::settings::{Provider, Settings};
use super::traffic::Traffic;
use super::{ecommpay, exchange};

const LARGEST_BODY: usize = 1 << 20;
/// Lines of a ledger that are written at once.
const LINES: usize = 1_000;

/// What requests, the life in the background and the handle share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<Clock>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) stop: CancellationToken,
    desks: BTreeMap<Provider, Mutex<Desk>>,
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Self {
        let desks = Provider::ALL
            .into_iter()
            .map(|provider| (provider, Mutex::new(Desk::new(provider, &settings))))
            .collect();
        let clock = Arc::new(Clock::new(settings.now));
        Self {
            traffic: Arc::new(Traffic::new(clock.clone())),
            clock,
            settings,
            stop: CancellationToken::new(),
            desks,
        }
    }

    /// Does something at a provider's desk while nobody else is there.
    pub(crate) fn at<T: Default>(
        &self,
        provider: Provider,
        act: impl FnOnce(&mut Desk, i64) -> T,
    ) -> T {
        self.desks
            .get(&provider)
            .map(|desk| {
                let mut desk = lock(desk);
                // Read by whoever has the desk: what happens there happens in the order of its times.
                let now = self.clock.now().timestamp_micros();
                act(&mut desk, now)
            })
            .unwrap_or_default()
    }
}

pub(crate) async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let rest = path.strip_prefix('/').unwrap_or(&path);
    let (door, rest) = match rest.strip_prefix('~').and_then(|rest| rest.split_once('/')) {
        Some((door, rest)) => (Some(door.to_owned()), rest),
        None => (None, rest),
    };
    let (first, rest) = rest.split_once('/').unwrap_or((rest, ""));
    if first == "_simulator" {
        return own(shared, rest);
    }
    match Provider::by_slug(first) {
        Some(provider) => provide(&shared, provider, door, format!("/{rest}"), request).await,
        None => fault::send(Answer::refusal(404, "path", "{}".to_owned()), None),
    }
}

async fn provide(
    shared: &Shared,
    provider: Provider,
    door: Option<String>,
    path: String,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, LARGEST_BODY)
        .await
        .unwrap_or_else(|_| Bytes::from_static(b"too large"));
    let credential = match provider {
        Provider::Ecommpay => ecommpay::credential(&body),
        _ => credential(&parts.headers),
    };
    let visit = shared.traffic.enter(provider, credential, door);
    if shared.settings.latency > Duration::ZERO {
        tokio::time::sleep(shared.settings.latency).await;
    }
    let mut call = Call {
        method: parts.method,
        path,
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
        now: shared.clock.now(),
        number: 0,
    };
    let (answer, fault) = shared.at(provider, |desk, now| {
        call.now = instant(now);
        call.number = desk.next_request();
        let fault = desk.next_fault();
        // A request that fails on its way in moves nothing.
        let reached = !matches!(
            fault,
            Some(
                Fault::Timeout
                    | Fault::Html
                    | Fault::Web(_)
                    | Fault::Status(_)
                    | Fault::RateLimited(_)
            )
        );
        let answer = reached.then(|| desk.answer(&shared.settings, &call));
        (answer, fault)
    });
    if fault.is_some() {
        visit.fault();
    }
    if fault == Some(Fault::Timeout) {
        shared.stop.cancelled().await;
    }
    let answer = answer.unwrap_or_else(|| Answer::json(String::new()));
    if let Some(why) = answer.refused {
        visit.refused(why);
    }
    if let Some(places) = &answer.page {
        visit.page(places.len());
    }
    let mut response = fault::send(answer, fault);
    let date = httpdate::fmt_http_date(call.now.into());
    if let Ok(date) = date.parse() {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

/// The simulator's own pages: the ledgers and the counts.
fn own(shared: Arc<Shared>, path: &str) -> Response<Body> {
    if path == "requests" {
        let counts: BTreeMap<&str, _> = Provider::ALL
            .into_iter()
            .map(|provider| (provider.slug(), shared.traffic.counts(provider)))
            .collect();
        let body = serde_json::to_string(&counts).unwrap_or_default();
        return fault::send(Answer::json(body), None);
    }
    match path.strip_prefix("ledger/").and_then(Provider::by_slug) {
        Some(provider) => fault::lines(stream::unfold(0, move |start| {
            let lines = shared.at(provider, |desk, _| desk.ledger(start, LINES));
            let text: String = lines
                .iter()
                .filter_map(|line| serde_json::to_string(line).ok())
                .flat_map(|line| [line, "\n".to_owned()])
                .collect();
            let next = start.saturating_add(lines.len());
            async move { (!text.is_empty()).then_some((text, next)) }
        })),
        None => fault::send(Answer::refusal(404, "path", "{}".to_owned()), None),
    }
}

/// Whom the request counts for: the token, or the user of basic authentication.
fn credential(headers: &HeaderMap) -> String {
    let call = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    call.strip_prefix("Bearer ")
        .map(str::to_owned)
        .or_else(|| exchange::basic(call).map(|(user, _)| user))
        .unwrap_or_default()
}

/// Lets merchants act and rows change while the simulator runs.
pub(crate) async fn live(shared: Arc<Shared>) {
    let (rate, churn) = (shared.settings.rate, shared.settings.churn);
    if rate == 0 && churn == 0 {
        return;
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    // Credits count 600ths of an action, so that both rates come out exactly.
    let (mut inserts, mut updates) = (0_u32, 0_u32);
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        inserts = inserts.saturating_add(rate.saturating_mul(60));
        updates = updates.saturating_add(churn);
        for provider in Provider::ALL {
            shared.at(provider, |desk, now| {
                desk.insert(inserts / 600, now);
                desk.touch(updates / 600, now);
            });
        }
        inserts %= 600;
        updates %= 600;
    }
}
