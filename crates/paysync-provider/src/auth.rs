//! Authentication of requests: the standard schemes, and the HMAC of those that sign.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::SecretString;
use sha2::Sha512;

use crate::protocol::{Credential, Request};
use crate::spec::Auth;

/// Adds the `Authorization` header; none for signed requests.
pub(crate) fn authorize(auth: Auth, credential: &Credential, mut request: Request) -> Request {
    let header = match auth {
        Auth::Basic { user, password } => {
            let (user, password) = (credential.expose(user), credential.expose(password));
            format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
        }
        Auth::Bearer { token } => format!("Bearer {}", credential.expose(token)),
        Auth::Signed => return request,
    };
    request.authorization = Some(SecretString::from(header));
    request
}

/// The HMAC-SHA512 of a text.
pub(crate) fn hmac_sha512(secret: &str, text: &str) -> Vec<u8> {
    // HMAC takes keys of any length.
    Hmac::<Sha512>::new_from_slice(secret.as_bytes()).map_or_else(
        |_| Vec::new(),
        |mut mac| {
            mac.update(text.as_bytes());
            mac.finalize().into_bytes().to_vec()
        },
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn each_scheme_has_its_header() {
        let part = |key: &str, value: &str| (key.to_owned(), SecretString::from(value));
        let parts = [part("user", "Aladdin"), part("key", "open sesame")];
        let credential = Credential::new(BTreeMap::from(parts));
        let header = |auth| {
            let request = authorize(auth, &credential, Request::get("/"));
            request
                .authorization
                .map(|it| it.expose_secret().to_owned())
        };
        let (user, password) = ("user", "key");
        // The example of RFC 7617.
        assert_eq!(
            header(Auth::Basic { user, password }).as_deref(),
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
        );
        assert_eq!(
            header(Auth::Bearer { token: "user" }).as_deref(),
            Some("Bearer Aladdin")
        );
        assert_eq!(header(Auth::Signed), None);
    }
}
