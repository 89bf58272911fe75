//! The built program, killed without warning in the middle of a sync.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use paysync_simulator::Handle;
use sqlx::PgPool;

use crate::support::{
    TIMEOUT, assert_exact, config_text, count, file_of, history, in_time, providers, start,
};

const KILLS: u32 = 20;

fn spawn(config: &std::path::Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_paysync"))
        .arg("sync")
        .arg("--config")
        .arg(config)
        .args(["--give-up-after", "2m"])
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn requests(simulator: &Handle) -> u64 {
    providers()
        .into_iter()
        .map(|provider| simulator.requests(provider).requests)
        .sum()
}

/// Waits until the process asks the provider for something, or ends.
async fn until_at_work(child: &mut Child, simulator: &Handle) {
    let before = requests(simulator);
    let at_work = async {
        while requests(simulator) == before {
            assert_eq!(
                child.try_wait().unwrap(),
                None,
                "it ended without asking anything"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(TIMEOUT, at_work).await.is_err() {
        child.kill().unwrap();
        panic!("the process does not begin");
    }
}

#[sqlx::test(migrations = "./migrations")]
async fn a_killed_sync_resumes_with_the_same_tables(pool: PgPool) {
    let mut settings = history(6_000, 30);
    settings.burst = 60;
    settings.latency = Duration::from_millis(4);
    let simulator = start(settings).await;
    let settings = "page_size = 70\nlag = \"0s\"\n";
    let text =
        config_text(&simulator, &pool, &providers(), settings).replace("\"2s\"", "\"500ms\"");
    let config = file_of(&text);
    let mut random = fastrand::Rng::with_seed(20);
    for kill in 0..KILLS {
        let mut child = spawn(config.path());
        until_at_work(&mut child, &simulator).await;
        tokio::time::sleep(Duration::from_millis(random.u64(0..300))).await;
        let ended = child.try_wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(
            ended, None,
            "the history is too short: read after {kill} kills"
        );
    }
    let stored = count(&pool, "SELECT count(*) FROM paysync.transactions").await;
    assert!(stored > 0);
    let mut child = spawn(config.path());
    let ended = async {
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let status = in_time("the last sync", ended).await;
    assert_eq!(status.code(), Some(0));
    assert_exact(&pool, &simulator, &providers()).await;
    assert_eq!(
        count(&pool, "SELECT count(*) FROM paysync.transaction_history").await,
        0
    );
    simulator.stop().await;
}
