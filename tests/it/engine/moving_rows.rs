//! Rows that are inserted and change while pages are read.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use paysync::clock::ShiftedClock;
use paysync::engine::{Account, Engine, Outcome};
use paysync::transport;
use paysync_provider::model;
use paysync_provider::wire::Object;
use paysync_provider::{
    Page, PageError, Paging, Position, Provider, RecordError, Request, Response, Spec,
};
use paysync_simulator::{BetweenPages, Handle};
use sqlx::PgPool;

use super::SMALL;
use crate::support::{
    TIMEOUT, account_of, assert_exact, assert_recounted, config_of, config_text, differences,
    engine_of, history, ledger, now, providers, start, stored, sync,
};

/// Old windows are read once: nothing repairs later what is lost now.
const ONCE: &str = "rescan = []\n";

/// Pages by plain offsets, as if the order did not move: what the engine must not do.
struct Plain(Box<dyn Provider>);

impl Provider for Plain {
    fn spec(&self) -> Spec {
        let mut spec = self.0.spec();
        for stream in &mut spec.streams {
            assert_eq!(stream.paging, Paging::Shifting);
            stream.paging = Paging::Numbered;
        }
        spec
    }

    fn request(&self, at: &Position<'_>) -> Result<Request, PageError> {
        self.0.request(at)
    }

    fn page<'r>(&self, at: &Position<'_>, response: &'r Response) -> Result<Page<'r>, PageError> {
        self.0.page(at, response)
    }

    fn normalize(&self, item: &str) -> Result<model::Transaction, RecordError> {
        self.0.normalize(item)
    }

    fn error_message(&self, body: &Object<'_>) -> Option<String> {
        self.0.error_message(body)
    }
}

/// The engine of a configuration as it will be some time from now.
async fn later(text: &str, by: TimeDelta, plain: bool) -> Engine {
    let mut engine = engine_of(text).await;
    engine.clock = Arc::new(ShiftedClock(by));
    if plain {
        let accounts = config_of(text).accounts;
        let plain = |settings: &paysync::config::Account| {
            let provider = Box::new(Plain(settings.provider().unwrap()));
            Arc::new(Account::new(
                settings,
                provider,
                transport::client().unwrap(),
            ))
        };
        engine.accounts = accounts.iter().map(plain).collect();
    }
    engine
}

async fn covers(engine: Engine) {
    let outcomes = sync(&engine, TIMEOUT).await;
    assert!(
        outcomes
            .values()
            .all(|outcome| *outcome == Outcome::Covered),
        "{outcomes:?}"
    );
    engine.store.pool().close().await;
}

/// Reads the history; then rows change and come; then these are read while others change and come,
/// which takes rows out of the windows being read; then the rest is read in peace.
async fn read_what_moves(
    simulator: &Handle,
    text: &str,
    providers: &[paysync_simulator::Provider],
    plain: bool,
) {
    covers(later(text, TimeDelta::zero(), plain).await).await;
    let begin: DateTime<Utc> = now() + TimeDelta::seconds(60);
    for step in 0..30 {
        simulator.set_now(begin + TimeDelta::seconds(step));
        for provider in providers {
            simulator.touch(*provider, 15);
            simulator.insert_now(*provider, 8);
        }
    }
    simulator.set_now(begin + TimeDelta::minutes(10));
    let moves = BetweenPages {
        insert: 2,
        update: 5,
    };
    for provider in providers {
        simulator.between_pages(*provider, moves);
    }
    // While it reads, the provider's time goes on quickly, so that no second holds a whole page.
    let life = async {
        loop {
            tokio::time::sleep(Duration::from_millis(2)).await;
            simulator.advance(TimeDelta::seconds(1));
            for provider in providers {
                simulator.touch(*provider, 1);
            }
        }
    };
    let reading = covers(later(text, TimeDelta::minutes(5), plain).await);
    tokio::select! {
        () = reading => {}
        () = life => {}
    }
    for provider in providers {
        simulator.between_pages(*provider, BetweenPages::default());
    }
    covers(later(text, TimeDelta::hours(12), plain).await).await;
}

#[sqlx::test(migrations = "./migrations")]
async fn moving_rows_are_not_lost(pool: PgPool) {
    let mut settings = history(600, 5);
    settings.burst = 40;
    let simulator = start(settings).await;
    let text = config_text(&simulator, &pool, &providers(), &format!("{SMALL}{ONCE}"));
    // Their streams show every change as it happens.
    let shown = [
        paysync_simulator::Provider::Convergegate,
        paysync_simulator::Provider::BegatewayDwh,
    ];
    read_what_moves(&simulator, &text, &providers(), false).await;
    assert_exact(&pool, &simulator, &shown).await;
    assert_recounted(&pool).await;

    // Where none does, old windows are read again.
    let again = "rescan = [{ within = \"40d\", every = \"1ms\" }]\n";
    let text = text.replace(ONCE, again);
    for hours in [13, 14] {
        covers(later(&text, TimeDelta::hours(hours), false).await).await;
    }
    assert_exact(&pool, &simulator, &providers()).await;
    assert_recounted(&pool).await;
    simulator.stop().await;
}

/// The same movement, paged by plain offsets: changes are lost, though all windows are closed. This
/// shows that the test above would notice.
#[sqlx::test(migrations = "./migrations")]
async fn plain_offsets_lose_moving_rows(pool: PgPool) {
    let only = [paysync_simulator::Provider::Convergegate];
    let simulator = start(history(600, 5)).await;
    let text = config_text(&simulator, &pool, &only, &format!("{SMALL}{ONCE}"));
    read_what_moves(&simulator, &text, &only, true).await;
    let held = stored(&pool, &account_of(only[0])).await;
    let lost = differences(&held, &ledger(&simulator, only[0]));
    assert!(!lost.is_empty());
    simulator.stop().await;
}

/// Three pages' rows share one second, and stand in another order in every answer.
#[sqlx::test(migrations = "./migrations")]
async fn rows_of_one_second_in_changing_order_are_all_read(pool: PgPool) {
    let mut settings = history(1_000, 3);
    settings.burst = 900;
    let simulator = start(settings).await;
    let shifting = [
        paysync_simulator::Provider::Convergegate,
        paysync_simulator::Provider::Ecommpay,
    ];
    let settings = format!("{ONCE}page_size = 300\n");
    let text = config_text(&simulator, &pool, &shifting, &settings);
    crate::support::sync_covers(&text).await;
    assert_exact(&pool, &simulator, &shifting).await;
    assert_recounted(&pool).await;
    simulator.stop().await;
}
