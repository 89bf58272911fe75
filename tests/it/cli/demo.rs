//! `paysync simulate` and `paysync demo`.

use paysync_simulator::Provider;

use super::fixture::{self, Fixture};

#[tokio::test(flavor = "multi_thread")]
async fn simulate_serves_and_prints_a_configuration() {
    let fixture = Fixture::new().await;
    let mut simulator = fixture.spawn(&["simulate", "--listen", "127.0.0.1:0", "--rows", "50"]);
    let line = simulator.line().await;
    let address = line
        .split_once("http://")
        .unwrap()
        .1
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let (code, text) = fixture::get(&address, "/_simulator/requests")
        .await
        .unwrap();
    assert!(code == 200 && text.contains("convergegate"), "{text}");
    simulator.terminate();
    let ran = simulator.end_with_secrets().await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let configuration = fixture.file("simulated.toml", &ran.out);
    let sync = fixture.run_with(&configuration, &["status"], &[]).await;
    assert_eq!(
        sync.code, 1,
        "the printed configuration can be read: {sync:?}"
    );
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn demo_reads_shows_and_ends() {
    let fixture = Fixture::new().await;
    let arguments = ["demo", "--once", "--rows", "200", "--rate", "0"];
    let url = fixture.database.url().to_owned();
    let ran = fixture
        .run_plain(&arguments, &[("DATABASE_URL", url.as_str())])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    // A history that ends today may hold a kind that has no mapping, and nothing else to warn of.
    let surprises =
        |line: &&str| !line.contains("the provider's word is stored as unknown or other");
    assert_eq!(ran.err.lines().find(surprises), None, "{ran:?}");
    for part in [
        "using the database of DATABASE_URL",
        "everything is covered",
        "What was paid, by currency?",
        "How many payments are approved, by provider?",
        "Is anything missing?",
    ] {
        assert!(ran.out.contains(part), "{part} is missing: {}", ran.out);
    }
    for provider in Provider::ALL {
        let rows: i64 = fixture
            .ask(
                "SELECT count(*) FROM paysync.transactions WHERE provider = $1",
                provider.slug(),
            )
            .await;
        // A row that has not come to its end yet may not be shown yet.
        assert!(rows > 150, "{}: {rows}", provider.slug());
    }
    fixture.end().await;
}
