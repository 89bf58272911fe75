//! Redaction rules: how they add up, and which are refused.

use super::*;

#[test]
fn an_account_adds_to_what_is_taken_out_for_all() {
    let all = "[redact]\nmask = [\"a.b\"]\nhash = [\"ip\"]\nsalt = \"0123456789abcdef\"\n";
    let own = account("own", "redact = { mask = [\"*.c\"], drop = [\"d\"] }");
    let config = load(&format!("{all}{own}{}", account("other", "")));
    let lists = |redact: &RulePaths| redact.lists().map(|(_, paths)| paths.join(" "));
    assert_eq!(lists(&config.redact), ["a.b", "ip", ""]);
    assert_eq!(lists(&config.accounts[0].redact), ["a.b *.c", "ip", "d"]);
    assert_eq!(config.accounts[1].redact, config.redact);
    assert_ne!(config.accounts[0].redact, config.redact);
    // SIGHUP must replace an account whose salt changed.
    let salted = all.replace("abcdef", "fedcba");
    let salted = load(&format!("{salted}{own}{}", account("other", "")));
    assert_ne!(salted.accounts[1], config.accounts[1]);
    assert!(!format!("{config:?}").contains("0123456789"));
    assert_eq!(
        lists(&load(&account("bare", "")).accounts[0].redact),
        ["", "", ""]
    );
}

const SALT: &str = "salt = \"0123456789abcdef\"\n";

#[test]
fn rules_of_redaction_that_cannot_hold_are_named() {
    let example = "keys joined by dots, like \"customer.email\"";
    let needs_salt = "requires a secret of this installation: set redact.salt";
    for (text, said) in [
        (
            "mask = \"customer.email\"",
            format!("mask: expected a list of paths, {example}"),
        ),
        (
            "hash = [1]",
            format!("hash: expected a list of paths, {example}"),
        ),
        (
            "drop = [\"\"]",
            format!("drop: \"\" is not a path, expected {example}"),
        ),
        (
            "drop = [\"a\", \".b\"]",
            format!("drop: \".b\" is not a path, expected {example}"),
        ),
        (
            "mask = [\"a..b\"]",
            format!("mask: \"a..b\" is not a path, expected {example}"),
        ),
        (
            "mask = [\"a. \"]",
            format!("mask: \"a. \" is not a path, expected {example}"),
        ),
        (
            "mask = [\"x\", \"a.b\"]\ndrop = [\"a.b\"]",
            "mask: \"a.b\" is also under drop, but a path has one action".to_owned(),
        ),
        ("hash = [\"a\"]", format!("hash: {needs_salt}")),
        (
            "salt = \"0123456789abcde\"",
            "salt: shorter than 16 bytes: generate one with openssl rand -hex 32".to_owned(),
        ),
        (
            "salt = { env = \"NOT_SET\" }",
            "salt: the environment variable NOT_SET is not set".to_owned(),
        ),
        (
            "masks = []",
            "masks: unknown key, expected one of mask, hash, drop, salt".to_owned(),
        ),
    ] {
        let said_so = complaint(&format!("[redact]\n{text}\n"));
        assert!(said_so.starts_with(&format!("redact.{said}")), "{said_so}");
        assert!(!said_so.contains("0123456789"), "{said_so}");
    }
    for (all, own, said) in [
        ("", "hash = [\"a\"]", format!("hash: {needs_salt}")),
        (
            SALT,
            "salt = \"0123456789abcdef\"",
            "salt: unknown key, expected one of mask, hash, drop".to_owned(),
        ),
        (
            "",
            "mask = [\"a.\"]",
            format!("mask: \"a.\" is not a path, expected {example}"),
        ),
        (
            "mask = [\"a.b\"]\n",
            "drop = [\"c\", \"a.b\"]",
            "drop: \"a.b\" is already under mask for all accounts".to_owned(),
        ),
    ] {
        let text = format!(
            "[redact]\n{all}{}[accounts.redact]\n{own}\n",
            account("a", "")
        );
        let said_so = complaint(&text);
        let expected = format!("account a: redact.{said}");
        assert!(said_so.starts_with(&expected), "{said_so}");
    }
}
