//! Signals: graceful and immediate stop, and reload.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Time limit of a graceful stop.
const GRACE_PERIOD: Duration = Duration::from_secs(30);

/// A token that the first SIGTERM or SIGINT cancels: a graceful stop, which finishes the pages in progress. A
/// second signal, or 30 s, ends the process at once; that is safe, because a page is stored atomically.
pub(crate) fn stop_token() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let graceful = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        info!("stopping: finishing the pages in progress");
        graceful.cancel();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = tokio::time::sleep(GRACE_PERIOD) => {}
        }
        warn!("stopping at once");
        std::process::exit(0);
    });
    Ok(stop)
}

/// Waits; false if `stop` is cancelled before.
pub(crate) async fn wait(pause: Duration, stop: &CancellationToken) -> bool {
    let pause = tokio::time::sleep(pause);
    stop.run_until_cancelled(pause).await.is_some()
}

/// Receives SIGHUP from now on.
pub(crate) fn hangups() -> anyhow::Result<Signal> {
    Ok(signal(SignalKind::hangup())?)
}
