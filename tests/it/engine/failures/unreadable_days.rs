//! Days that a provider never answers for.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use chrono::{NaiveDateTime, TimeDelta};
use paysync::engine::Outcome;
use sqlx::PgPool;
use tokio::net::TcpListener;

use crate::engine::failures::PROVIDER;
use crate::support::{account_of, config_text, count, engine_of, history, now, start, sync};

/// A provider's server, and the days for which another one before it answers with an error.
struct Flaky {
    address: String,
    days: Vec<(NaiveDateTime, NaiveDateTime)>,
}

async fn answer(State(flaky): State<Arc<Flaky>>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let query: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let time = |name: &str| {
        let (_, value) = query.iter().find(|(key, _)| key == name)?;
        value.get(..19)?.parse::<NaiveDateTime>().ok()
    };
    if let (Some(from), Some(to)) = (time("created.gte"), time("created.lt"))
        && flaky.days.iter().any(|day| from < day.1 && day.0 < to)
    {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let url = format!("http://{}{}", flaky.address, request.uri());
    let answer = paysync::transport::local_client()
        .unwrap()
        .get(url)
        .header("authorization", &request.headers()["authorization"])
        .send()
        .await
        .unwrap();
    (answer.status(), answer.text().await.unwrap()).into_response()
}

/// Windows that wait for their next try take no place, however many there are: all other windows are read.
#[sqlx::test(migrations = "./migrations")]
async fn unreadable_days_stop_nothing(pool: PgPool) {
    let simulator = start(history(300, 10)).await;
    let day = |ago| {
        let start = (now() - TimeDelta::days(ago)).naive_utc();
        (start, start + TimeDelta::hours(1))
    };
    let flaky = Flaky {
        address: simulator.addr().to_string(),
        days: [3, 5, 7].map(day).to_vec(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = Router::new().fallback(answer).with_state(Arc::new(flaky));
    let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

    let settings = "concurrency = 1\nmax_window = \"1d\"\nrescan = []\nrepoll = []\n";
    let text = config_text(&simulator, &pool, &[PROVIDER], settings);
    let text = text.replace(&simulator.addr().to_string(), &address);
    let engine = engine_of(&text).await;
    let outcomes = sync(&engine, Duration::from_secs(20)).await;
    assert_eq!(outcomes[&account_of(PROVIDER)], Outcome::GaveUp);
    engine.store.pool().close().await;
    let unread = "SELECT count(*) FROM paysync.coverage_gaps";
    assert_eq!(count(&pool, unread).await, 0);
    let failing = "SELECT count(*) FROM paysync.windows WHERE outcome IS NULL AND failures > 0";
    let open = "SELECT count(*) FROM paysync.windows WHERE outcome IS NULL";
    let failing = count(&pool, failing).await;
    assert_eq!(failing, count(&pool, open).await);
    assert!((3..=6).contains(&failing), "{failing}");
    serving.abort();
    simulator.stop().await;
}
