//! Soft and hard stop, and the wish to read the configuration again.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long a soft stop may take.
const SOFT_STOP: Duration = Duration::from_secs(30);

/// A token that the first SIGTERM or SIGINT cancels: soft, pages in hand are finished. The second
/// signal, or 30 s, ends the process at once: safe, since a page is stored whole or not at all.
pub(crate) fn stop_token() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let soft = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        info!("stopping: finishing the pages in hand");
        soft.cancel();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = tokio::time::sleep(SOFT_STOP) => {}
        }
        warn!("stopping at once");
        std::process::exit(0);
    });
    Ok(stop)
}

/// SIGHUP, from now on.
pub(crate) fn hangups() -> anyhow::Result<Signal> {
    Ok(signal(SignalKind::hangup())?)
}
