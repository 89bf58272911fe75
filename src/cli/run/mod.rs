//! `paysync run`: the daemon.

mod reload;

use std::path::Path;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::interface::signals;
use crate::app::App;
use crate::config::{Config, environment};
use crate::engine::Engine;
use crate::transport::retry;
use crate::{http, telemetry};

pub(crate) async fn run(path: Option<&Path>) -> anyhow::Result<bool> {
    let config = Config::load(path, &environment())?;
    telemetry::init(config.log.format, &config.log.filter)?;
    let metrics = telemetry::install_metrics()?;
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

/// Migrates and registers the accounts; waits for a database that is away. False if stopped before.
async fn prepare(app: &App, stop: &CancellationToken) -> anyhow::Result<bool> {
    let mut failures = 0;
    loop {
        let prepared = match app.store.reach().await {
            Ok(()) => app.migrate_and_register().await,
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
                if !signals::wait(pause, stop).await {
                    return Ok(false);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}
