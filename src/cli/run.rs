//! `paysync run`: the daemon.

use std::path::Path;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{reload, signals, start_logging};
use crate::app::App;
use crate::config::{Config, environment};
use crate::engine::Engine;
use crate::store::{Store, StoreError};
use crate::transport::retry;
use crate::{http, telemetry};

pub(crate) async fn run(path: Option<&Path>) -> anyhow::Result<bool> {
    let config = Config::load(path, &environment())?;
    start_logging(&config, &config.log.filter)?;
    let metrics = install_metrics()?;
    let app = App::new(&config, &[])?;
    let stop = signals::stop_token()?;
    let hangups = signals::hangups()?;
    let (current, engines) = watch::channel(app.engine.clone());
    let server = match config.http.listen {
        Some(address) => {
            let listener = http::listen(address).await?;
            info!(http.listen = %listener.local_addr()?, "serving health, metrics and status");
            Some(tokio::spawn(http::serve(
                listener,
                engines.clone(),
                metrics,
                http::Limits::default(),
                stop.clone(),
            )))
        }
        None => None,
    };
    info!(
        version = env!("CARGO_PKG_VERSION"),
        accounts = app.engine.accounts.len(),
        "paysync starts"
    );
    tokio::spawn(reload::on_hangup(
        hangups,
        path.map(Path::to_owned),
        config,
        current,
    ));
    if prepare(&app, &stop).await? {
        Engine::follow(engines, &stop).await;
    }
    if let Some(server) = server {
        server.await?;
    }
    info!("paysync ends");
    Ok(true)
}

/// Installs the process's metrics recorder.
pub(crate) fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets(&[
            0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
        ])?
        .install_recorder()?;
    telemetry::describe();
    Ok(handle)
}

/// Migrates and registers, waiting for a database that is away; false if stopped meanwhile.
async fn prepare(app: &App, stop: &CancellationToken) -> anyhow::Result<bool> {
    let mut failures = 0;
    loop {
        let prepared = match app.store.reach().await {
            Ok(()) => migrate_and_register(&app.store, app).await,
            Err(error) => Err(error),
        };
        match prepared {
            Ok(()) => return Ok(true),
            Err(error) if error.passes() => {
                if failures == 0 {
                    let cause = error.cause().map(ToString::to_string).unwrap_or_default();
                    let hint = error.hint();
                    warn!(error = %error, cause, hint, "waiting for the database");
                }
                let pause = retry::jittered(retry::database_backoff(failures));
                failures += 1;
                if stop
                    .run_until_cancelled(tokio::time::sleep(pause))
                    .await
                    .is_none()
                {
                    return Ok(false);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

pub(crate) async fn migrate_and_register(store: &Store, app: &App) -> Result<(), StoreError> {
    store.migrate().await?;
    app.engine.register().await
}
