//! Card numbers planted anywhere in what providers send, and looked for in all that paysync writes:
//! every column of every table, every line of the log, every answer of the HTTP port.

mod keys;
mod planted_numbers;
mod replay;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use paysync::app::App;
use paysync::engine::Outcome;
use paysync::engine::replay::replay;
use paysync::{http, transport};
use paysync_simulator::{Fault, Handle, Provider};
use proptest::test_runner::{Config, TestRunner};
use sqlx::{AssertSqlSafe, PgPool};
use tokio_util::sync::CancellationToken;

use planted_numbers::{CANARY, Defect, Plan, Template, plan};

use crate::engine::{SMALL, forget_everything};
use crate::support::servers;
use crate::support::{
    TIMEOUT, config_of, config_text, count, engine_of, history, providers, start, sync,
    sync_covers, url,
};

/// Each reads an item's worth of numbers from every provider into the database.
const CASES: u32 = 4;

/// So few that no page seems to be the answer to another question.
const ITEMS: usize = 8;

/// The log, whatever its level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// All that paysync wrote or shows.
struct Written {
    tables: String,
    log: String,
    pages: String,
}

impl Written {
    /// Where this can be read, though it be with gaps and escapes.
    fn holding(&self, secret: &str) -> Vec<&'static str> {
        let places = [
            ("a table", &self.tables),
            ("the log", &self.log),
            ("the HTTP port", &self.pages),
        ];
        let held = places.into_iter().filter(|(_, text)| text.contains(secret));
        held.map(|(place, _)| place).collect()
    }
}

/// A text without what can stand between the digits of a number or hide them.
fn plain(text: &str) -> String {
    let text = text
        .replace("\\u0020", "")
        .replace("\\u002d", "")
        .replace("\\u003", "");
    text.replace(['\\', ' ', '-'], "")
}

/// Runs an engine with this configuration once, as the daemon does, and gathers what it writes. To be
/// called where no task runs on another thread, as log and metrics are those of the thread.
async fn run(text: &str, pool: &PgPool, patience: Duration) -> (Vec<Outcome>, Written) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let recorder = PrometheusBuilder::new().build_recorder();
    let _measuring = metrics::set_default_local_recorder(&recorder);

    let engine = App::new(&config_of(text), &[]).unwrap().engine;
    engine.register().await.unwrap();
    let outcomes = sync(&engine, patience).await.into_values().collect();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_current, engines) = tokio::sync::watch::channel(engine.clone());
    let stop = CancellationToken::new();
    let server = http::serve(
        listener,
        engines,
        recorder.handle(),
        http::Limits::default(),
        stop.clone(),
    );
    let server = tokio::spawn(server);
    let pages = pages(address).await;
    stop.cancel();
    server.await.unwrap();
    engine.store.pool().close().await;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let written = Written {
        tables: tables(pool).await,
        log,
        pages,
    };
    (outcomes, written)
}

async fn pages(address: SocketAddr) -> String {
    let client = transport::local_client().unwrap();
    let mut pages = String::new();
    for path in ["/", "/status.json", "/metrics", "/healthz", "/readyz"] {
        let answer = client.get(format!("http://{address}{path}")).send().await;
        let text = answer.unwrap().text().await.unwrap();
        assert!(!text.is_empty(), "{path}");
        pages.push_str(&text);
    }
    pages
}

/// Every column of every table, as text.
async fn tables(pool: &PgPool) -> String {
    let tables: Vec<(String, String)> = sqlx::query_as(
        "SELECT table_name::text, string_agg(format('%I::text', column_name), ', ')
         FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
         WHERE table_schema = 'paysync' AND table_type = 'BASE TABLE' GROUP BY table_name",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(tables.len() > 10, "{tables:?}");
    let mut text = String::new();
    for (table, columns) in tables {
        let sql = format!("SELECT concat_ws('|', {columns}) FROM paysync.{table}");
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(pool)
            .await
            .unwrap();
        text.extend(rows.into_iter().map(|row| row + "\n"));
    }
    text
}

const RULES: &str =
    "redact = { mask = [\"ruled.mask\"], hash = [\"ruled.hash\"], drop = [\"*.drop\"] }\n";
const RULES_FOR_ALL: &str = "[redact]\nmask = [\"all.mask\"]\nsalt = \"a salt for this test\"\n";

/// The value of a counter of redactions, over all accounts.
fn redactions(pages: &str, what: &str) -> u64 {
    let label = format!("what=\"{what}\"}}");
    let lines = pages
        .lines()
        .filter(|line| line.starts_with("paysync_redactions_total{"));
    lines
        .filter_map(|line| line.split_once(&label))
        .map(|(_, value)| value.trim().parse::<u64>().unwrap())
        .sum()
}

/// Reads planted items of every provider, and looks for what must not be found.
async fn plant(simulator: &Handle, templates: &[Template], text: &str, url: &str, plans: &[Plan]) {
    let pool = PgPool::connect(url).await.unwrap();
    sqlx::query(
        "TRUNCATE paysync.transactions, paysync.raw_transactions, paysync.transaction_history, paysync.quarantine,
             paysync.daily_sums, paysync.windows, paysync.window_totals, paysync.streams, paysync.rescans",
    )
    .execute(&pool)
    .await
    .unwrap();
    for template in templates {
        let items: Vec<String> = plans
            .iter()
            .enumerate()
            .map(|(at, plan)| template.fill(plan, &format!("planted {at}")))
            .collect();
        simulator.clear_faults(template.provider);
        simulator.fail_next(template.provider, Fault::Extra(items.join(",")));
    }
    let (outcomes, written) = run(text, &pool, TIMEOUT).await;
    for outcome in outcomes {
        assert_eq!(outcome, Outcome::Covered);
    }

    let found = Written {
        tables: plain(&written.tables),
        log: plain(&written.log),
        pages: plain(&written.pages),
    };
    let numbers = plans.iter().flat_map(|plan| &plan.numbers);
    for (number, place) in numbers {
        let holding = found.holding(&number.digits);
        assert!(
            holding.is_empty(),
            "{number:?} planted {place:?} is in {holding:?}"
        );
    }
    let holding = found.holding(CANARY);
    assert!(holding.is_empty(), "what rules take out is in {holding:?}");

    // All were read: they are rows, or in quarantine.
    let held: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM paysync.transactions WHERE provider_transaction_id LIKE 'planted %'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    let aside = count(&pool, "SELECT count(*) FROM paysync.quarantine").await;
    let planted = plans.len() * templates.len();
    assert_eq!(usize::try_from(held + aside).unwrap(), planted);
    let objects = plans
        .iter()
        .filter(|plan| !matches!(plan.defect, Defect::List | Defect::Text));
    let objects = u64::try_from(objects.count() * templates.len()).unwrap();
    for (what, each) in [("mask", 2), ("hash", 1), ("drop", 1)] {
        assert_eq!(redactions(&written.pages, what), each * objects, "{what}");
    }
    assert!(redactions(&written.pages, "key") >= 2 * objects);
    assert!(redactions(&written.pages, "card") > 0);
    let hashes = written.tables.matches("\"hash:").count();
    assert_eq!(u64::try_from(hashes).unwrap(), objects);
    pool.close().await;
}

#[sqlx::test(migrations = "./migrations")]
async fn no_planted_number_is_found_anywhere(pool: PgPool) {
    let simulator = Arc::new(start(history(3, 1)).await);
    let settings = format!("{SMALL}{RULES}");
    let text = config_text(&simulator, &pool, &providers(), &settings) + RULES_FOR_ALL;
    sync_covers(&text).await;
    let mut templates = Vec::new();
    for provider in providers() {
        templates.push(Template::of(provider, &pool).await);
    }
    let (server, url) = (simulator.clone(), url(&pool));
    let trial = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut runner = TestRunner::new(Config {
            cases: CASES,
            max_shrink_iters: 40,
            failure_persistence: None,
            ..Config::default()
        });
        let plans = proptest::collection::vec(plan(), ITEMS);
        let tried = runner.run(&plans, |plans| {
            runtime.block_on(plant(&server, &templates, &text, &url, &plans));
            Ok(())
        });
        tried.unwrap_or_else(|failure| panic!("{failure}"));
    });
    trial.await.unwrap();
    Arc::into_inner(simulator).unwrap().stop().await;
}

/// What providers say when they refuse is stored, logged and shown.
#[sqlx::test(migrations = "./migrations")]
async fn no_number_of_a_refusal_is_found_anywhere(pool: PgPool) {
    let numbers = [
        "4111 1111-1111 1111",
        r"\u0034111111111111111",
        "4222222222222",
    ];
    let said = format!("no such card: {}", numbers.join(", "));
    let body = format!(
        r#"{{"message":"{said}","error":"{said}","errors":{{"a":["{said}"]}},"response":{{"message":"{said}"}}}}"#
    );
    let refusing = servers::refusing("400 Bad Request", body).await;
    let simulator = start(history(3, 1)).await;
    let text = config_text(&simulator, &pool, &providers(), SMALL);
    let own = format!("http://{}/", simulator.addr());
    let text = text.replace(&own, &format!("http://{refusing}/"));
    let (outcomes, written) = run(&text, &pool, Duration::from_secs(1)).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::GaveUp));
    let found = Written {
        tables: plain(&written.tables),
        log: plain(&written.log),
        pages: plain(&written.pages),
    };
    for number in ["4111111111111111", "4222222222222"] {
        let holding = found.holding(number);
        assert!(holding.is_empty(), "{number} is in {holding:?}");
    }
    // The message itself is shown.
    assert_eq!(found.holding("411111******1111").len(), 3);
    simulator.stop().await;
}

/// New rules hold for what is stored from then on; replay brings back nothing.
#[sqlx::test(migrations = "./migrations")]
async fn new_rules_apply_to_rows_that_are_read_again(pool: PgPool) {
    let provider = [Provider::BegatewayReport];
    let simulator = start(history(60, 3)).await;
    let bare = config_text(&simulator, &pool, &provider, SMALL);
    sync_covers(&bare).await;
    let emails = "SELECT count(DISTINCT customer_email) FROM paysync.transactions";
    let before = count(&pool, emails).await;
    assert!(before > 1);
    let rules = "[redact]\nhash = [\"customer.email\"]\nsalt = \"a salt for this test\"\n";
    let ruled = bare + rules;
    sync_covers(&ruled).await;
    let hashed = "SELECT count(*) FROM paysync.transactions WHERE customer_email LIKE 'hash:%'";
    assert_eq!(count(&pool, hashed).await, 0, "nothing was read again");

    forget_everything(&ruled).await;
    sync_covers(&ruled).await;
    let clear = "SELECT count(*) FROM paysync.transactions WHERE customer_email NOT LIKE 'hash:%'";
    let clear_payloads =
        "SELECT count(*) FROM paysync.raw_transactions WHERE payload::text LIKE '%@%'";
    let versions =
        "SELECT count(*) FROM paysync.transaction_history WHERE customer_email LIKE '%@%'";
    let check = async || {
        assert_eq!(count(&pool, clear).await, 0);
        assert_eq!(count(&pool, clear_payloads).await, 0);
        assert_eq!(
            count(&pool, emails).await,
            before,
            "they can still be told apart"
        );
        count(&pool, versions).await
    };
    let kept = check().await;
    assert!(kept > 0);
    let engine = engine_of(&ruled).await;
    let replayed = replay(&engine.store, &engine.accounts[0], false, |_| ())
        .await
        .unwrap();
    assert_eq!(replayed.unchanged, replayed.read);
    assert_eq!(check().await, kept);
    engine.store.pool().close().await;
    simulator.stop().await;
}
