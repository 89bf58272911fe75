//! Clocks that jump while a daemon reads: this machine's, and the provider's.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use paysync::clock::{Clock, ShiftedClock, SystemClock};
use paysync::engine::{Engine, Outcome};
use paysync_simulator::{Handle, Provider};
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::{
    TIMEOUT, account_of, assert_exact, config_text, count, differences, engine_of, eventually,
    history, in_time, ledger, providers, start, stored, sync,
};

/// Nothing is read twice: nothing repairs later what is lost now.
const ONCE: &str = "page_size = 50\nlag = \"0s\"\noverlap = \"5s\"\npoll_interval = \"200ms\"\nrescan = []\nrepoll = []\naudit = []\n";

/// A machine's clock that can be set while it is read.
#[derive(Debug, Default)]
struct JumpingClock(AtomicI64);

impl JumpingClock {
    fn jump(&self, hours: i64) {
        self.0.store(hours, Ordering::Relaxed);
    }
}

impl Clock for JumpingClock {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + TimeDelta::hours(self.0.load(Ordering::Relaxed))
    }
}

/// A daemon that works in this process.
struct AtWork {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl AtWork {
    fn start(engine: Engine) -> Self {
        let stop = CancellationToken::new();
        let until = stop.clone();
        let task = tokio::spawn(async move { engine.run(&until).await });
        Self { stop, task }
    }

    async fn end(self) {
        self.stop.cancel();
        in_time("a stop", self.task).await.unwrap();
    }
}

/// Waits until every account holds just what is true; meanwhile nothing is covered that is still to
/// come.
async fn until_exact(pool: &PgPool, simulator: &Handle) {
    let waiting = async {
        for provider in providers() {
            let account = account_of(provider);
            loop {
                nothing_to_come_is_covered(pool).await;
                let held = stored(pool, &account).await;
                if differences(&held, &ledger(simulator, provider)).is_empty() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    in_time("what is true", waiting).await;
}

async fn nothing_to_come_is_covered(pool: &PgPool) {
    let early = "SELECT count(*) FROM paysync.streams WHERE upper(coverage) > clock_timestamp()";
    assert_eq!(count(pool, early).await, 0, "the future is covered");
}

fn insert(simulator: &Handle) -> Vec<(Provider, Vec<String>)> {
    providers()
        .into_iter()
        .map(|provider| (provider, simulator.insert_now(provider, 10)))
        .collect()
}

/// Reads what is left some time later, when what was dated into the future has come.
async fn sync_later(text: &str, by: TimeDelta) {
    let mut engine = engine_of(text).await;
    engine.clock = Arc::new(ShiftedClock(by));
    let outcomes = sync(&engine, TIMEOUT).await;
    assert!(
        outcomes
            .values()
            .all(|outcome| *outcome == Outcome::Covered),
        "{outcomes:?}"
    );
    engine.store.pool().close().await;
}

/// An hour ahead and an hour back in the middle of the work, and right again after each.
#[sqlx::test(migrations = "./migrations")]
async fn a_jump_of_the_machines_clock_loses_nothing(pool: PgPool) {
    let mut settings = history(400, 3);
    settings.latency = Duration::from_millis(5);
    let simulator = start(settings).await;
    let text = config_text(&simulator, &pool, &providers(), ONCE);
    let clock = Arc::new(JumpingClock::default());
    let mut engine = engine_of(&text).await;
    engine.clock = clock.clone();
    let daemon = AtWork::start(engine);
    // In the middle of the history, too.
    for hours in [1, 0, -1, 0, 1, -1, 0] {
        clock.jump(hours);
        insert(&simulator);
        if hours >= 0 {
            // By a clock that is ahead, nothing is late.
            until_exact(&pool, &simulator).await;
        } else {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                nothing_to_come_is_covered(&pool).await;
            }
        }
    }
    daemon.end().await;
    sync_later(&text, TimeDelta::zero()).await;
    assert_exact(&pool, &simulator, &providers()).await;
    simulator.stop().await;
}

/// The provider dates its rows into the future, and then into what was read before they were made.
#[sqlx::test(migrations = "./migrations")]
async fn a_jump_of_the_providers_clock_loses_nothing(pool: PgPool) {
    let mut settings = history(400, 3);
    settings.latency = Duration::from_millis(5);
    let simulator = start(settings).await;
    let text = config_text(&simulator, &pool, &providers(), ONCE);
    let daemon = AtWork::start(engine_of(&text).await);
    insert(&simulator);
    until_exact(&pool, &simulator).await;
    for hours in [-1, 0, -1] {
        simulator.jump(TimeDelta::hours(hours));
        for (provider, ids) in insert(&simulator) {
            // Rows that change, where changes are shown.
            let shown = matches!(provider, Provider::Convergegate | Provider::BegatewayDwh);
            for id in ids.iter().take(if shown { 3 } else { 0 }) {
                assert!(simulator.touch_one(provider, id));
            }
        }
        until_exact(&pool, &simulator).await;
    }
    // Rows dated into the future are read when their time has come.
    for hours in [1, 0] {
        simulator.jump(TimeDelta::hours(hours));
        insert(&simulator);
        let asked = || -> Vec<u64> {
            let all = providers().into_iter();
            all.map(|provider| simulator.requests(provider).requests)
                .collect()
        };
        let before = asked();
        let polled = async || {
            asked()
                .iter()
                .zip(&before)
                .all(|(now, before)| *now > before + 1)
        };
        eventually("two polls of each", polled).await;
        nothing_to_come_is_covered(&pool).await;
    }
    daemon.end().await;
    sync_later(&text, TimeDelta::minutes(61)).await;
    assert_exact(&pool, &simulator, &providers()).await;
    simulator.stop().await;
}
