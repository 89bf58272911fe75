//! `paysync check`: what it tries, and the settings in force.

use paysync_simulator::Provider;
use serde_json::Value;

use super::fixture::{self, Fixture};

#[tokio::test(flavor = "multi_thread")]
async fn check_tries_everything_and_writes_nothing() {
    let fixture = Fixture::new().await;
    let ran = fixture.run(&["check"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 4, "{ran:?}");
    for (line, start) in lines.iter().zip([
        "configuration: ok, 2 accounts",
        "database: ok, PostgreSQL ",
        "account simulated-convergegate: ok, ",
        "account simulated-begateway-dwh: ok, ",
    ]) {
        assert!(line.starts_with(start), "{line}");
    }
    let json = fixture
        .run(&["check", "--json", "--account", "simulated-convergegate"])
        .await;
    let report: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json.code, &report["ok"]), (0, &true.into()));
    assert_eq!(report["checks"].as_array().unwrap().len(), 3);
    let schemas: i64 = fixture
        .ask("SELECT count(*) FROM information_schema.schemata WHERE schema_name = 'paysync' AND $1 = ''", "")
        .await;
    assert_eq!(schemas, 0, "check writes nothing");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_prints_the_settings_in_force_without_secrets() {
    let fixture = Fixture::new().await;
    let text = fixture.text().replace(
        "token = \"simulator-token\"",
        "token = { env = \"SOME_TOKEN\" }",
    );
    let text = text.replacen(
        "[[accounts]]",
        "[redact]\nmask = [\"a.b\"]\nsalt = { env = \"SOME_SALT\" }\n\n[[accounts]]\nredact = { drop = [\"c\"] }",
        1,
    );
    let file = fixture.file("printed.toml", &text);
    let variables = [
        ("SOME_SALT", "0123456789abcdef"),
        ("SOME_TOKEN", fixture::WRONG_TOKEN),
        ("PAYSYNC__LOG__FILTER", "debug"),
    ];
    let ran = fixture
        .run_with(&file, &["check", "--print-config"], &variables)
        .await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    let path = file.display();
    for line in [
        format!("database.url = \"***\"  # file {path}"),
        "database.max_connections = 8  # default".to_owned(),
        "log.filter = \"debug\"  # environment PAYSYNC__LOG__FILTER".to_owned(),
        format!("engine.lease_ttl = \"2s\"  # file {path}"),
        format!(
            "account simulated-convergegate: credentials.token = {{\"env\":\"SOME_TOKEN\"}}  # file {path}"
        ),
        format!("account simulated-begateway-dwh: credentials.secret_key = \"***\"  # file {path}"),
        "redact.hash = []  # default".to_owned(),
        format!("redact.salt = {{\"env\":\"SOME_SALT\"}}  # file {path}"),
        format!("account simulated-convergegate: redact.mask = [\"a.b\"]  # file {path}"),
        format!("account simulated-convergegate: redact.drop = [\"c\"]  # file {path}"),
        "account simulated-begateway-dwh: redact.drop = []  # default".to_owned(),
        format!("account simulated-convergegate: poll_interval = \"1s\"  # file {path}"),
        "account simulated-convergegate: concurrency = 2  # default".to_owned(),
        "account simulated-convergegate: page_size = 1000  # default of the provider".to_owned(),
    ] {
        let printed = ran.out.lines().any(|it| it == line);
        assert!(printed, "{line} is not in {}", ran.out);
    }
    let json = [
        "check",
        "--print-config",
        "--json",
        "--account",
        "simulated-convergegate",
    ];
    let ran = fixture.run_with(&file, &json, &variables).await;
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let settings = report["settings"].as_array().unwrap();
    let filter = settings
        .iter()
        .find(|it| it["key"] == "log.filter")
        .unwrap();
    let expected = ["debug", "environment", "PAYSYNC__LOG__FILTER"];
    assert_eq!(["value", "from", "name"].map(|key| &filter[key]), expected);
    assert!(!ran.out.contains("begateway"), "one account only: {ran:?}");
    let schemas = "SELECT count(*) FROM information_schema.schemata WHERE schema_name = 'paysync' AND $1 = ''";
    assert_eq!(fixture.ask(schemas, "").await, 0);
    assert_eq!(
        fixture.simulator.requests(Provider::Convergegate).pages,
        0,
        "nothing was tried"
    );
    fixture.end().await;
}
