//! Payment providers' list APIs, simulated.
//!
//! A local HTTP server with a path prefix per provider, generated merchants whose payments change while
//! it runs, faults on demand, and a ledger of the correct values. It shares no code with the provider
//! crate, because a mistake in shared code would go unnoticed. It is strict: it implements what a
//! provider's documentation describes and refuses what it forbids.
//!
//! It also serves `/_simulator/ledger/<provider>` (NDJSON) and `/_simulator/requests` (counts).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use args::Args;
pub use fault::Fault;
pub use ledger::{LedgerPayment, LedgerRow};
pub use paysync_config::config_toml;
pub use settings::{BetweenPages, Provider, Settings};
pub use traffic::{Call, Counts, CredentialUse};

use simulation::Simulation;

mod args;
mod clock;
pub mod credentials;
mod fault;
mod http;
mod ledger;
mod merchants;
mod paysync_config;
mod provider_state;
mod providers;
mod random;
mod settings;
mod simulation;
mod traffic;

/// How long open connections may take to end when the simulator stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// A running simulator. It stops when [`Handle::stop`] is called or the handle is dropped.
#[derive(Debug)]
pub struct Handle {
    addr: SocketAddr,
    simulation: Arc<Simulation>,
    tasks: Vec<JoinHandle<()>>,
}

/// Generates the histories and serves the APIs on `listener`.
pub async fn start(settings: Settings, listener: TcpListener) -> io::Result<Handle> {
    let addr = listener.local_addr()?;
    let simulation = tokio::task::spawn_blocking(move || Simulation::new(settings))
        .await
        .map_err(io::Error::other)?;
    let simulation = Arc::new(simulation);
    let router = Router::new()
        .fallback(http::server::serve)
        .with_state(Arc::clone(&simulation));
    let stop = simulation.stop.clone();
    let server = tokio::spawn(async move {
        let server = axum::serve(listener, router)
            .with_graceful_shutdown(async move { stop.cancelled().await });
        if let Err(error) = server.await {
            tracing::error!(%error, "the simulator stopped serving");
        }
    });
    let background = Arc::clone(&simulation);
    let merchants = tokio::spawn(async move { background.run_merchants().await });
    Ok(Handle {
        addr,
        simulation,
        tasks: vec![server, merchants],
    })
}

impl Handle {
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The `base_url` of a provider's account.
    pub fn base_url(&self, provider: Provider) -> String {
        paysync_config::base_url(self.addr, provider)
    }

    /// A paysync configuration with all simulated accounts.
    pub fn config_toml(&self, database_url: &str) -> String {
        config_toml(self.addr, database_url, &self.simulation.settings)
    }

    pub fn settings(&self) -> &Settings {
        &self.simulation.settings
    }

    /// Stops the server; requests in flight are aborted after a second.
    pub async fn stop(mut self) {
        self.simulation.stop.cancel();
        for mut task in self.tasks.drain(..) {
            if tokio::time::timeout(STOP_TIMEOUT, &mut task).await.is_err() {
                task.abort();
            }
        }
    }

    /// The correct values of every row of a provider, in the order of creation.
    pub fn ledger(&self, provider: Provider) -> Vec<LedgerRow> {
        self.simulation
            .with(provider, |state, _| state.ledger(0, usize::MAX))
    }

    /// The correct values of every payment of a provider except tests, in the order of creation.
    pub fn payments(&self, provider: Provider) -> Vec<LedgerPayment> {
        self.simulation.with(provider, |state, _| state.payments())
    }

    /// Inserts `count` rows, created "now"; returns their provider transaction ids.
    pub fn insert_now(&self, provider: Provider, count: u32) -> Vec<String> {
        self.simulation
            .with(provider, |state, now| state.insert(count, now))
    }

    /// Changes `count` rows "now", mostly pending ones; returns their ids, one per change.
    pub fn touch(&self, provider: Provider, count: u32) -> Vec<String> {
        self.simulation
            .with(provider, |state, now| state.touch(count, now))
    }

    /// Changes the row with this provider transaction id "now"; false if there is none.
    pub fn touch_one(&self, provider: Provider, id: &str) -> bool {
        self.simulation
            .with(provider, |state, now| state.touch_one(id, now))
    }

    /// Queues a fault: each request takes the next one.
    pub fn fail_next(&self, provider: Provider, fault: Fault) {
        self.simulation
            .with(provider, |state, _| state.faults.push_back(fault));
    }

    /// Clears the queue of faults.
    pub fn clear_faults(&self, provider: Provider) {
        self.simulation
            .with(provider, |state, _| state.faults.clear());
    }

    /// Sets how many of 1000 requests get a random fault from now on.
    pub fn fail_per_mille(&self, provider: Provider, per_mille: u32) {
        self.simulation
            .with(provider, |state, _| state.fail_per_mille = per_mille);
    }

    /// Sets the changes after every page from now on.
    pub fn between_pages(&self, provider: Provider, changes: BetweenPages) {
        self.simulation
            .with(provider, |state, _| state.between_pages = changes);
    }

    /// The requests of a provider so far.
    pub fn requests(&self, provider: Provider) -> Counts {
        self.simulation.traffic.counts(provider)
    }

    /// The requests of named clients, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.simulation.traffic.calls()
    }

    /// Stops the simulator's clock at `now`.
    pub fn set_now(&self, now: DateTime<Utc>) {
        self.simulation.clock.set(now);
    }

    /// Sets the offset of a running clock from the machine's.
    pub fn jump(&self, offset: TimeDelta) {
        self.simulation.clock.set_offset(offset);
    }

    /// Moves a stopped clock; a running one is unchanged.
    pub fn advance(&self, by: TimeDelta) {
        self.simulation.clock.advance(by);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.simulation.stop.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Fault, Handle, Provider, Settings, start};

    async fn simulator(settings: Settings) -> Handle {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        start(settings, listener).await.unwrap()
    }

    fn client() -> reqwest::Client {
        // Another test may have installed it already.
        drop(rustls::crypto::ring::default_provider().install_default());
        reqwest::Client::builder()
            .user_agent("test")
            .timeout(Duration::from_secs(2))
            .build()
            .unwrap()
    }

    async fn page(client: &reqwest::Client, url: &str) -> reqwest::Result<(u16, String)> {
        let request = client.get(url).bearer_auth("simulator-token");
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok((status, response.text().await?))
    }

    #[tokio::test]
    async fn pages_ledger_and_counts_are_served() {
        let simulator = simulator(Settings::for_tests()).await;
        let base = simulator.base_url(Provider::Convergegate);
        let client = client();
        let url = format!("{base}/api/v1/payments?created.gte=2026-01-01T00:00:00&limit=7");
        let (status, body) = page(&client, &url).await.unwrap();
        assert_eq!(status, 200);
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(value["result"].as_array().unwrap().len(), 7);

        let root = format!("http://{}/_simulator", simulator.addr());
        let (_, ledger) = page(&client, &format!("{root}/ledger/convergegate"))
            .await
            .unwrap();
        assert_eq!(ledger.lines().count(), 1_000);
        let first: serde_json::Value =
            serde_json::from_str(ledger.lines().next().unwrap()).unwrap();
        let own = serde_json::to_value(&simulator.ledger(Provider::Convergegate)[0]).unwrap();
        assert_eq!(first, own);

        let (_, counts) = page(&client, &format!("{root}/requests")).await.unwrap();
        let counts: serde_json::Value = serde_json::from_str(&counts).unwrap();
        assert_eq!(counts["convergegate"]["rows"], 7);
        let user = &counts["convergegate"]["credentials"]["simulator-token"];
        assert_eq!(
            (&user["highest_concurrent"], &user["concurrent"]),
            (&1.into(), &0.into())
        );
        assert_eq!(simulator.calls(), []);
        let through = url.replace("/convergegate", "/~side/convergegate");
        assert_eq!(page(&client, &through).await.unwrap().0, 200);
        let calls = simulator.calls();
        assert_eq!((calls.len(), calls[0].client.as_str()), (1, "side"));
        assert!(calls[0].ended.is_some() && calls[0].credential == "simulator-token");
        let inserted = simulator.insert_now(Provider::Convergegate, 3);
        assert_eq!(simulator.ledger(Provider::Convergegate).len(), 1_003);
        assert!(simulator.touch_one(Provider::Convergegate, &inserted[0]));
        simulator.stop().await;
    }

    #[tokio::test]
    async fn queued_faults_occur_in_order() {
        let simulator = simulator(Settings::for_tests()).await;
        let base = simulator.base_url(Provider::Convergegate);
        let url = format!("{base}/api/v1/payments?created.gte=2026-01-01T00:00:00");
        let client = client();
        let (_, whole) = page(&client, &url).await.unwrap();
        for fault in [
            Fault::Status(503),
            Fault::Html,
            Fault::RateLimited(Some("1".to_owned())),
            Fault::Truncated,
            Fault::WrongJson,
            Fault::Body("null".to_owned()),
        ] {
            simulator.fail_next(Provider::Convergegate, fault);
        }
        assert_eq!(page(&client, &url).await.unwrap(), (503, "{}".to_owned()));
        let (status, html) = page(&client, &url).await.unwrap();
        assert!(status == 502 && html.starts_with("<html>"));
        assert_eq!(page(&client, &url).await.unwrap().0, 429);
        let (status, half) = page(&client, &url).await.unwrap();
        assert!(status == 200 && half.len() < whole.len());
        assert!(serde_json::from_str::<serde_json::Value>(&half).is_err());
        assert!(page(&client, &url).await.unwrap().1.contains("surprise"));
        assert_eq!(page(&client, &url).await.unwrap().1, "null");
        simulator.fail_next(Provider::Convergegate, Fault::Bytes(b"a\xffb".to_vec()));
        let body = page(&client, &url).await.unwrap().1;
        assert_eq!(body, "a\u{fffd}b");
        simulator.fail_next(Provider::Convergegate, Fault::Reset);
        assert!(page(&client, &url).await.is_err());
        simulator.fail_next(Provider::Convergegate, Fault::Timeout);
        assert!(page(&client, &url).await.unwrap_err().is_timeout());
        assert_eq!(page(&client, &url).await.unwrap().0, 200);
        assert_eq!(simulator.requests(Provider::Convergegate).faults, 9);
        simulator.stop().await;
    }

    #[tokio::test]
    async fn every_nth_row_can_have_changed() {
        let settings = |changed| Settings {
            changed,
            ..Settings::for_tests()
        };
        let (before, after) = (simulator(settings(0)).await, simulator(settings(10)).await);
        for provider in [Provider::BegatewayDwh, Provider::Firekassa] {
            let (before, after) = (before.ledger(provider), after.ledger(provider));
            let differs = |at: &usize| before[*at] != after[*at];
            let changed: Vec<usize> = (0..before.len()).filter(differs).collect();
            let every_tenth: Vec<usize> = (0..before.len()).step_by(10).collect();
            assert_eq!(changed, every_tenth);
        }
    }

    #[tokio::test]
    async fn rows_are_inserted_while_the_simulator_runs() {
        let simulator = simulator(Settings {
            rate: 50,
            churn: 600,
            ..Settings::for_tests()
        })
        .await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert!(simulator.ledger(Provider::BegatewayDwh).len() > 1_000);
        simulator.stop().await;
    }
}
