//! `paysync demo`: a database, simulated providers and the daemon, without set-up.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use paysync_provider::PROVIDERS;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::interface::output::{self, grouped};
use super::interface::signals;
use crate::app::App;
use crate::config::{Config, environment};
use crate::launcher::{Cluster, Options};
use crate::{http, telemetry};

/// Arguments of the demonstration.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Rows of history per provider
    #[arg(long, default_value_t = 5000)]
    rows: u64,
    /// New payments per second and provider
    #[arg(long, default_value_t = 2)]
    rate: u32,
    /// Exit when everything is covered, instead of continuing until Ctrl-C
    #[arg(long)]
    once: bool,
}

/// Queries that the demonstration shows, each with its question.
const QUESTIONS: [(&str, &str); 3] = [
    (
        "What was paid, by currency?",
        "SELECT currency, count(*) AS payments, sum(amount) AS total\n\
         FROM paysync.transactions\n\
         WHERE kind = 'payment' AND status = 'succeeded'\n\
         GROUP BY currency ORDER BY payments DESC LIMIT 5",
    ),
    (
        "How many payments are approved, by provider?",
        "SELECT provider, count(*) FILTER (WHERE status = 'succeeded') AS approved, count(*) AS decided,\n       \
         round(100.0 * count(*) FILTER (WHERE status = 'succeeded') / count(*), 1) AS percent\n\
         FROM paysync.transactions\n\
         WHERE kind = 'payment' AND status IN ('succeeded', 'failed', 'canceled')\n\
         GROUP BY provider ORDER BY provider",
    ),
    (
        "Is anything missing?",
        "SELECT account_id, stream, wanted_from::date AS since, lag_seconds, gap_seconds\n\
         FROM paysync.sync_health ORDER BY account_id, stream",
    ),
];

pub(crate) async fn run(args: &Args) -> anyhow::Result<bool> {
    telemetry::init(None, "warn")?;
    let stop = signals::stop_token()?;
    let (cluster, url) = database().await?;
    let result = demonstrate(args, &url, &stop).await;
    if let Some(cluster) = cluster {
        output::line("stopping PostgreSQL and removing its data");
        cluster.stop().await?;
    }
    result
}

/// The database of `DATABASE_URL`, or a new PostgreSQL cluster.
async fn database() -> anyhow::Result<(Option<Cluster>, String)> {
    let url = environment().remove("DATABASE_URL");
    if let Some(url) = url.filter(|url| !url.is_empty()) {
        output::line("using the database of DATABASE_URL");
        return Ok((None, url));
    }
    let options = Options {
        durable: true,
        ..Options::default()
    };
    let cluster = Cluster::start(&options).await?;
    let url = cluster.create_database("paysync").await?;
    output::line(format!("PostgreSQL runs: psql {url}"));
    Ok((Some(cluster), url))
}

async fn demonstrate(args: &Args, url: &str, stop: &CancellationToken) -> anyhow::Result<bool> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let settings = paysync_simulator::Args::demo(args.rows, args.rate).settings_now();
    let simulated = paysync_simulator::start(settings, listener).await?;
    let address = simulated.addr();
    output::line(format!("simulated providers run: http://{address}"));

    let environment = BTreeMap::from([("DATABASE_URL".to_owned(), url.to_owned())]);
    let mut config = Config::of_text(&simulated.config_toml(url), &environment)?;
    // The simulator may have providers that this version does not support yet.
    let is_known = |code: &str| PROVIDERS.iter().any(|provider| provider.code == code);
    config.accounts.retain(|it| is_known(&it.provider));

    let app = App::new(&config, &[])?;
    let registered = app.migrate_and_register().await;
    registered.context("the demonstration's database")?;
    let metrics = telemetry::install_metrics()?;
    let page = match TcpListener::bind("127.0.0.1:8080").await {
        Ok(page) => page,
        Err(_) => TcpListener::bind("127.0.0.1:0").await?,
    };
    output::line(format!(
        "the daemon runs: http://{}/ shows its status\n",
        page.local_addr()?
    ));
    let server = tokio::spawn(http::serve(
        page,
        watch::channel(app.engine.clone()).1,
        metrics,
        http::Limits::default(),
        stop.clone(),
    ));
    let (engine, stopped) = (app.engine.clone(), stop.clone());
    let daemon = tokio::spawn(async move { engine.run(&stopped).await });

    let covered = wait_until_covered(&app, stop).await?;
    if covered {
        for (question, sql) in QUESTIONS {
            output::line(format!("\n{question}\n{sql};\n"));
            output::line(query_table(&app, sql).await?);
        }
        if args.once {
            stop.cancel();
        } else {
            output::line("\nnew payments keep arriving; Ctrl-C ends everything");
            while signals::wait(Duration::from_secs(15), stop).await {
                output::line(counts(&app).await?);
            }
        }
    }
    daemon.await?;
    server.await?;
    simulated.stop().await;
    Ok(covered || stop.is_cancelled())
}

/// Prints row counts until everything is covered; false if stopped before.
async fn wait_until_covered(app: &App, stop: &CancellationToken) -> anyhow::Result<bool> {
    let started = Instant::now();
    while signals::wait(Duration::from_millis(500), stop).await {
        output::line(counts(app).await?);
        let health = app.store.health().await?;
        let is_covered = health.iter().all(|stream| {
            let has_started = stream.role == "change" || stream.covered_until.is_some();
            has_started && stream.gap_seconds == 0 && stream.open_windows == 0
        });
        if is_covered && !health.is_empty() {
            let seconds = started.elapsed().as_secs();
            output::line(format!(
                "everything is covered, after {seconds} s: paysync.coverage_gaps is empty"
            ));
            return Ok(true);
        }
    }
    Ok(false)
}

async fn counts(app: &App) -> anyhow::Result<String> {
    let rows = sqlx::query!(
        r#"SELECT account_id, count(*) AS "rows!" FROM paysync.transactions GROUP BY account_id ORDER BY account_id"#
    )
    .fetch_all(app.store.pool())
    .await?;
    if rows.is_empty() {
        return Ok("no rows yet".to_owned());
    }
    let rows = rows.iter();
    let parts = rows.map(|row| format!("{} {}", row.account_id, grouped(row.rows)));
    Ok(format!("rows: {}", parts.collect::<Vec<_>>().join(", ")))
}

/// The result of a query as a table. PostgreSQL converts the values to text.
async fn query_table(app: &App, sql: &str) -> anyhow::Result<String> {
    let sql = format!(
        "SELECT ARRAY(SELECT key FROM json_each_text(row_to_json(answer))),
                ARRAY(SELECT value FROM json_each_text(row_to_json(answer)))
         FROM ({sql}) AS answer"
    );
    let rows: Vec<(Vec<String>, Vec<Option<String>>)> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .fetch_all(app.store.pool())
        .await?;
    let names = rows.first().map(|(names, _)| names.clone());
    let text = |values: Vec<_>| values.into_iter().map(Option::unwrap_or_default).collect();
    let values = rows.into_iter().map(|(_, values)| text(values));
    let table: Vec<Vec<String>> = names.into_iter().chain(values).collect();
    Ok(output::table(&table).join("\n"))
}
