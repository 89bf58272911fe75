//! `paysync health`: checks the daemon of this machine, as a container's health check.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;

use super::interface::output;
use crate::config::Config;
use crate::transport;

/// Time after which a daemon that does not answer counts as unhealthy.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fail also if a stream is stalled: /readyz in place of /healthz
    #[arg(long)]
    ready: bool,
}

pub(crate) async fn run(config: &Config, args: &Args) -> anyhow::Result<bool> {
    let Some(listen) = config.http.listen else {
        output::line("http.listen is off: there is nothing to check");
        return Ok(true);
    };
    let path = if args.ready { "readyz" } else { "healthz" };
    let url = format!("http://{}/{path}", reachable(listen));
    let client = transport::local_client()?;
    let no_answer = || format!("no answer from {url}: is paysync run running?");
    let response = client.get(&url).timeout(TIMEOUT).send().await;
    let response = response.with_context(no_answer)?;
    let is_healthy = response.status().is_success();
    output::line(response.text().await.with_context(no_answer)?.trim_end());
    Ok(is_healthy)
}

/// A daemon that listens on all addresses is reached on loopback.
fn reachable(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    listen
}
