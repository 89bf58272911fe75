//! `paysync simulate`: the providers' APIs, served locally.

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::{output, signals};
use paysync_simulator::Args;

pub(crate) async fn simulate(args: &Args) -> anyhow::Result<bool> {
    let listener = TcpListener::bind(args.listen).await.with_context(|| {
        format!(
            "cannot listen on {}, choose another address by --listen",
            args.listen
        )
    })?;
    let stop = signals::stop_token()?;
    let handle = paysync_simulator::start(args.settings_now(), listener).await?;
    output::line(format!(
        "# simulated providers on http://{}; a configuration for them:\n",
        handle.addr()
    ));
    output::line(handle.config_toml("postgres://paysync@localhost/paysync"));
    stop.cancelled().await;
    handle.stop().await;
    Ok(true)
}
