//! `paysync simulate`: serves the providers' APIs locally.

use anyhow::Context as _;
use paysync_simulator::Args;
use tokio::net::TcpListener;

use super::interface::{output, signals};

pub(crate) async fn run(args: &Args) -> anyhow::Result<bool> {
    let address = args.listen;
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: choose another address with --listen")
    })?;
    let stop = signals::stop_token()?;
    let handle = paysync_simulator::start(args.settings_now(), listener).await?;
    let address = handle.addr();
    output::line(format!(
        "# simulated providers on http://{address}; a configuration for them:\n"
    ));
    output::line(handle.config_toml("postgres://paysync@localhost/paysync"));
    stop.cancelled().await;
    handle.stop().await;
    Ok(true)
}
