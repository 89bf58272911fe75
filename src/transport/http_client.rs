//! The HTTP clients: trusted authorities, timeouts, redirects.

use std::time::Duration;

use reqwest::Certificate;
use reqwest::redirect::Policy;
use rustls::pki_types::CertificateDer;

use super::error::innermost;
use url::Host;

/// Sent with every request: some providers refuse clients without one.
pub const USER_AGENT: &str = concat!("paysync/", env!("CARGO_PKG_VERSION"));

/// Time limit of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The HTTP client of this process. It trusts the system's root certificates, or Mozilla's on a system
/// without any, such as a small container.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    client_that_trusts(&[])
}

/// The same, trusting these authorities (DER), too.
pub fn client_that_trusts(
    authorities: &[CertificateDer<'static>],
) -> Result<reqwest::Client, reqwest::Error> {
    install_tls();
    let more: Result<Vec<Certificate>, _> = authorities
        .iter()
        .map(|authority| Certificate::from_der(authority))
        .collect();
    let more = more?;
    let with_system = builder().tls_certs_merge(more.iter().cloned()).build();
    with_system.or_else(|error| {
        tracing::debug!(error = %innermost(&error), "the system's root certificates cannot be used");
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
        let roots = roots.filter_map(|root| Certificate::from_der(root).ok());
        builder().tls_certs_only(roots.chain(more)).build()
    })
}

/// Whether a host is this machine.
pub fn is_local(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
        Host::Domain(name) => name.eq_ignore_ascii_case("localhost"),
    }
}

/// The variable of the environment that names a proxy for a scheme.
pub(super) fn proxy_variable(scheme: &str) -> Option<&'static str> {
    let names = match scheme {
        "https" => ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
        _ => ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"],
    };
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    names.into_iter().find(is_set)
}

/// A client for addresses of this machine: without proxies and certificates.
pub fn local_client() -> Result<reqwest::Client, reqwest::Error> {
    install_tls();
    builder().no_proxy().tls_certs_only([]).build()
}

fn install_tls() {
    // A second call fails, because the provider is installed already.
    let _installed = rustls::crypto::ring::default_provider().install_default();
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(90))
        .tcp_nodelay(true)
        // A token must not leave the configured host.
        .redirect(Policy::none())
}
