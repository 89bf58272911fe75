//! A first load and a re-scan end to end, beside COPY of the same rows into the same tables.
//!
//! `cargo bench --bench sync -- [ROWS]` starts a durable PostgreSQL, the simulator and `paysync sync`
//! as processes of their own, all on this machine, and prints one table. ROWS are per provider.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::float_arithmetic,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::format_collect,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a benchmark prints ratios, and may stop at the first surprise"
)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use paysync::launcher::{Cluster, Options};
use sqlx::postgres::PgPoolCopyExt as _;
use sqlx::{AssertSqlSafe, PgPool};

const PAYSYNC: &str = env!("CARGO_BIN_EXE_paysync");
const TABLES: [&str; 2] = ["transactions", "raw_transactions"];

/// What one run took.
struct Figure {
    what: &'static str,
    rows: u64,
    elapsed: Duration,
    peak_kib: u64,
    wal_bytes: u64,
}

#[tokio::main]
async fn main() {
    let rows: u64 = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(100_000);
    let cluster = Cluster::start(Options {
        durable: true,
        ..Options::default()
    })
    .await
    .unwrap();
    let url = cluster.create_database("paysync").await.unwrap();
    let pool = PgPool::connect(&url).await.unwrap();
    let directory = std::env::temp_dir().join(format!("paysync-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let mut simulator = simulator(rows, &directory);
    let config = configuration(&directory, &url);

    let mut figures = vec![sync("load", &config, &pool).await];
    sqlx::query("UPDATE paysync.streams SET coverage = '{}'")
        .execute(&pool)
        .await
        .unwrap();
    figures.push(sync("re-scan, unchanged", &config, &pool).await);
    figures.push(copy(&pool).await);
    simulator.kill().unwrap();
    simulator.wait().unwrap();

    println!(
        "\n{:22} {:>9} {:>9} {:>10} {:>10} {:>9}",
        "", "rows", "seconds", "rows/s", "WAL B/row", "peak MiB"
    );
    for figure in &figures {
        let seconds = figure.elapsed.as_secs_f64();
        println!(
            "{:22} {:>9} {:>9.2} {:>10.0} {:>10.0} {:>9}",
            figure.what,
            figure.rows,
            seconds,
            figure.rows as f64 / seconds,
            figure.wal_bytes as f64 / figure.rows.max(1) as f64,
            if figure.peak_kib == 0 {
                "-".to_owned()
            } else {
                (figure.peak_kib / 1024).to_string()
            },
        );
    }
    let rate = |figure: &Figure| figure.rows as f64 / figure.elapsed.as_secs_f64();
    println!(
        "\nload / COPY: {:.2}",
        rate(&figures[0]) / rate(&figures[2])
    );
    println!(
        "re-scan / load: {:.2}",
        rate(&figures[1]) / rate(&figures[0])
    );
    pool.close().await;
    cluster.stop().await.unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
}

fn simulator(rows: u64, directory: &Path) -> Child {
    let config = std::fs::File::create(directory.join("simulated.toml")).unwrap();
    let child = Command::new(PAYSYNC)
        .args([
            "simulate",
            "--listen",
            "127.0.0.1:7979",
            "--rate",
            "0",
            "--churn",
            "0",
            "--rows",
            &rows.to_string(),
        ])
        .stdout(Stdio::from(config))
        .spawn()
        .unwrap();
    let written = || std::fs::read_to_string(directory.join("simulated.toml")).unwrap();
    while !written().contains("firekassa") {
        std::thread::sleep(Duration::from_millis(50));
    }
    child
}

/// The simulator's own configuration, with the two accounts of opposite habits.
fn configuration(directory: &Path, url: &str) -> std::path::PathBuf {
    let text = std::fs::read_to_string(directory.join("simulated.toml")).unwrap();
    let mut parts = text.split("\n[[accounts]]\n");
    let head = parts
        .next()
        .unwrap()
        .replace("postgres://paysync@localhost/paysync", url);
    let chosen = parts.filter(|part| {
        ["\"convergegate\"", "\"begateway_dwh\""]
            .iter()
            .any(|code| part.contains(code))
    });
    let accounts: String = chosen
        .map(|part| format!("\n[[accounts]]\n{part}"))
        .collect();
    let path = directory.join("paysync.toml");
    std::fs::write(&path, head + &accounts).unwrap();
    path
}

async fn sync(what: &'static str, config: &Path, pool: &PgPool) -> Figure {
    let before = items(pool).await;
    let wal = wal(pool).await;
    let clock = Instant::now();
    let mut child = Command::new(PAYSYNC)
        .arg("--config")
        .arg(config)
        .arg("sync")
        // Cargo's runner offers a database of its own, which is not durable.
        .env_remove("DATABASE_URL")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak_kib = 0;
    let status = loop {
        peak_kib = peak_kib.max(peak(child.id()));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(status.success(), "sync failed");
    let elapsed = clock.elapsed();
    Figure {
        what,
        rows: items(pool).await - before,
        elapsed,
        peak_kib,
        wal_bytes: self::wal(pool).await - wal,
    }
}

/// COPY of what was loaded into equal, empty tables; two connections, as the sync has two accounts.
async fn copy(pool: &PgPool) -> Figure {
    let mut parts = Vec::new();
    for account in ["simulated-begateway-dwh", "simulated-convergegate"] {
        for table in TABLES {
            let sql = format!(
                "COPY (SELECT * FROM paysync.{table} WHERE account_id = '{account}' ORDER BY provider_transaction_id) \
                 TO STDOUT (FORMAT binary)"
            );
            let mut out = pool.copy_out_raw(&sql).await.unwrap();
            let mut bytes = Vec::new();
            while let Some(chunk) = out.next().await {
                bytes.extend_from_slice(&chunk.unwrap());
            }
            parts.push((account, table, bytes));
        }
    }
    for table in TABLES {
        let sql = format!("CREATE TABLE copied_{table} (LIKE paysync.{table} INCLUDING ALL)");
        sqlx::query(AssertSqlSafe(sql)).execute(pool).await.unwrap();
    }
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM paysync.transactions")
        .fetch_one(pool)
        .await
        .unwrap();
    let wal = wal(pool).await;
    let clock = Instant::now();
    let of_account = |account: &'static str| {
        let parts = &parts;
        async move {
            for (_, table, bytes) in parts.iter().filter(|part| part.0 == account) {
                let sql = format!("COPY copied_{table} FROM STDIN (FORMAT binary)");
                let mut copy = pool.copy_in_raw(&sql).await.unwrap();
                for chunk in bytes.chunks(1 << 20) {
                    copy.send(chunk).await.unwrap();
                }
                copy.finish().await.unwrap();
            }
        }
    };
    futures_util::join!(
        of_account("simulated-begateway-dwh"),
        of_account("simulated-convergegate")
    );
    let elapsed = clock.elapsed();
    let wal_bytes = self::wal(pool).await - wal;
    Figure {
        what: "COPY, same rows",
        rows: u64::try_from(rows).unwrap(),
        elapsed,
        peak_kib: 0,
        wal_bytes,
    }
}

async fn items(pool: &PgPool) -> u64 {
    let known: bool = sqlx::query_scalar("SELECT to_regclass('paysync.windows') IS NOT NULL")
        .fetch_one(pool)
        .await
        .unwrap();
    if !known {
        return 0;
    }
    let items: i64 =
        sqlx::query_scalar("SELECT coalesce(sum(items), 0)::bigint FROM paysync.windows")
            .fetch_one(pool)
            .await
            .unwrap();
    u64::try_from(items).unwrap()
}

async fn wal(pool: &PgPool) -> u64 {
    let bytes: i64 = sqlx::query_scalar("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
        .fetch_one(pool)
        .await
        .unwrap();
    u64::try_from(bytes).unwrap()
}

/// Peak resident memory of a process, KiB; 0 where the system does not tell.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1))
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(0)
}
