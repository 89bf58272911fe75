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
    request.authorization = match auth {
        Auth::Basic { user, password } => {
            let pair = format!(
                "{}:{}",
                credential.expose(user),
                credential.expose(password)
            );
            Some(SecretString::from(format!(
                "Basic {}",
                STANDARD.encode(pair)
            )))
        }
        Auth::Bearer { token } => Some(SecretString::from(format!(
            "Bearer {}",
            credential.expose(token)
        ))),
        Auth::Signed => None,
    };
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
