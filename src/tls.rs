//! Why a TLS handshake failed.

use std::error::Error;
use std::io;

use rustls::CertificateError;

/// The error of the peer's certificate, if it is among the causes of an error.
pub(crate) fn certificate_error<'e>(
    error: &'e (dyn Error + 'static),
) -> Option<&'e CertificateError> {
    let mut causes = std::iter::successors(Some(error), |error| source(*error));
    causes.find_map(|cause| match cause.downcast_ref()? {
        rustls::Error::InvalidCertificate(error) => Some(error),
        _ => None,
    })
}

/// The next cause. An `io::Error` leaves out of its sources the error that it wraps.
fn source<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().map(io::Error::get_ref) {
        Some(Some(wrapped)) => Some(wrapped),
        _ => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_error_is_found_below_other_errors() {
        let wrapped = |error: rustls::Error| io::Error::other(io::Error::other(error));
        let unknown = CertificateError::UnknownIssuer;
        let error = wrapped(rustls::Error::InvalidCertificate(unknown.clone()));
        assert_eq!(certificate_error(&error), Some(&unknown));
        let other = wrapped(rustls::Error::HandshakeNotComplete);
        assert_eq!(certificate_error(&other), None);
        assert_eq!(certificate_error(&io::Error::other("UnknownIssuer")), None);
    }
}
