//! Members that are dropped whatever the provider, by a list that does not come from the code.

use paysync_provider::PROVIDERS;
use paysync_provider::redact::redact;
use serde_json::json;

use crate::providers::build;

/// Card verification codes, and payloads of 3-D Secure.
const DROPPED: &str = "cvv cvc csc cvn cvv2 cvc2 cvn2 cvv_code cvc_code card_cvv card_cvc card_cvv2 card_cvc2 \
    cardcvv cardcvc card_csc security_code securitycode card_security_code verification_value \
    card_verification_value pareq pa_req pares pa_res cavv creq cres md";

#[test]
fn verification_codes_and_3d_secure_payloads_are_dropped() {
    for entry in PROVIDERS {
        let keys = build(entry.code, json!({})).spec().redaction;
        for key in DROPPED.split_whitespace() {
            for key in [key.to_owned(), key.to_uppercase()] {
                let item = format!(r#"{{"id":1,"deep":[{{"{key}":"123"}}],"{key}":{{"a":123}}}}"#);
                let redacted = redact(&item, &keys);
                assert_eq!(redacted.text, r#"{"id":1,"deep":[{}]}"#, "{}", entry.code);
                assert_eq!(redacted.counts.keys, 2, "{}: {key}", entry.code);
            }
        }
    }
}
