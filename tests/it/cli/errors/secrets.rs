//! Marked secrets everywhere, and nothing of them in what any command says.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use tokio::net::TcpListener;

use crate::cli::fixture::{self, Fixture};

/// In every credential, and in what the provider says.
const CANARY: &str = "C4N4RY";

/// Quotes what it was sent, as careless error pages do.
async fn quoting(State(seen): State<Arc<Mutex<u32>>>, request: Request) -> (StatusCode, String) {
    *seen.lock().unwrap() += 1;
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let body = String::from_utf8_lossy(&body).replace('"', "'");
    let header = parts.headers.get("authorization");
    let header = header.map_or("", |header| header.to_str().unwrap());
    let message = format!("who are you, {header} {body}? card 4242424242424242");
    let status = match parts.uri.path().split('/').nth(1) {
        Some("firekassa") => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::UNAUTHORIZED,
    };
    (
        status,
        serde_json::json!({ "message": message, "error": message }).to_string(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_shows_a_secret() {
    let fixture = Fixture::new().await;
    let seen = Arc::new(Mutex::new(0));
    let router = Router::new().fallback(quoting).with_state(seen.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

    let text = fixture.simulator.config_toml(fixture.database.url());
    let mut text = text.replace(&fixture.simulator.addr().to_string(), &address);
    for secret in [
        "\"simulator-token\"",
        "\"simulator-secret\"",
        "\"secret_key\"",
        "\"simulator-token-ecommpay-0000000\"",
    ] {
        assert!(text.contains(secret), "{secret}");
        text = text.replace(
            secret,
            &format!("\"{CANARY}-{}\"", secret.trim_matches('"')),
        );
    }
    // A password that the test's server does not ask for.
    let url = fixture.database.url();
    let marked = url.replacen("canary-8d1f-password", CANARY, 1);
    assert_ne!(url, marked, "{url}");
    let text = text.replace(url, &marked)
        + "\n[http]\nlisten = \"127.0.0.1:0\"\n[log]\nfilter = \"info,paysync=trace\"\n[engine]\nlease_ttl = \"2s\"\n";
    let file = fixture.file("canary.toml", &text);
    let broken = fixture.file("broken.toml", &format!("{text}\nnonsense = {CANARY}"));

    let account = "simulated-convergegate";
    let span = [
        "--from",
        "2026-01-01T00:00:00Z",
        "--to",
        "2026-01-02T00:00:00Z",
    ];
    let commands: Vec<Vec<&str>> = vec![
        vec!["migrate"],
        vec!["check"],
        vec!["check", "--json"],
        vec!["sync", "--give-up-after", "1s"],
        vec!["sync", "--give-up-after", "1s", "--json"],
        vec!["status"],
        vec!["status", "--json"],
        vec!["pause", "--account", account],
        vec!["resume", "--account", account],
        [&["resync", "--yes", "--account", account][..], &span].concat(),
        vec!["replay"],
        vec!["no-such-command"],
    ];
    for command in commands {
        let ran = fixture.run_with(&file, &command, &[]).await;
        let said = format!("{}{}", ran.out, ran.err);
        assert!(!said.is_empty(), "{command:?}");
        assert!(!said.contains(CANARY), "{command:?}: {said}");
        assert!(!said.contains("4242424242424242"), "{command:?}: {said}");
        let wrong = fixture.run_with(&broken, &command, &[]).await;
        assert!(
            !format!("{wrong:?}").contains(CANARY),
            "{command:?}: {wrong:?}"
        );
    }

    let mut daemon = fixture.spawn_with(&file, &["run"]);
    let at = daemon.address().await;
    fixture::until("the accounts are suspended", || async {
        let (_, status) = fixture::get(&at, "/status.json").await?;
        status.contains("who are you").then_some(())
    })
    .await;
    for path in ["/", "/status.json", "/metrics", "/healthz", "/readyz"] {
        let (_, said) = fixture::get(&at, path).await.unwrap();
        assert!(!said.contains(CANARY), "{path}: {said}");
    }
    daemon.terminate();
    let ran = daemon.end().await;
    assert!(!format!("{ran:?}").contains(CANARY), "{ran:?}");
    assert!(*seen.lock().unwrap() > 5, "the provider was not asked");
    serving.abort();
    fixture.end().await;
}
