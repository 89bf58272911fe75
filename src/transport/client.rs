//! The HTTP clients: who is trusted, what is followed.

use std::time::Duration;

use reqwest::Certificate;
use reqwest::redirect::Policy;
use rustls::pki_types::CertificateDer;

use super::innermost;

/// Sent with every request: some providers refuse clients without one.
pub const USER_AGENT: &str = concat!("paysync/", env!("CARGO_PKG_VERSION"));

/// Time allowed for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The process's HTTP client. Certificates are verified by the system's roots; where a system has
/// none, as small containers do, by Mozilla's.
///
/// # Errors
/// If neither roots can be used.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    client_that_trusts(&[])
}

/// A client that trusts more authorities, given in DER, besides.
///
/// # Errors
/// If they cannot be used, or no other roots can.
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

/// A client for this machine's own addresses: past every proxy, without certificates.
///
/// # Errors
/// If it cannot be made.
pub fn local_client() -> Result<reqwest::Client, reqwest::Error> {
    install_tls();
    builder().no_proxy().tls_certs_only([]).build()
}

fn install_tls() {
    // A second call finds the provider installed already, which is as good.
    let _installed = rustls::crypto::ring::default_provider().install_default();
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(90))
        .tcp_nodelay(true)
        // A token goes to the configured host and nowhere else.
        .redirect(Policy::none())
}
