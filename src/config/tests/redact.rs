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

#[test]
fn redaction_rules_that_cannot_hold_are_named() {
    let for_all = r#"
        mask = "customer.email" => redact.mask: expected a list of paths, keys joined by dots, like "customer.email"
        hash = [1] => redact.hash: expected a list of paths, keys joined by dots, like "customer.email"
        drop = [""] => redact.drop: "" is not a path, expected keys joined by dots, like "customer.email"
        drop = ["a", ".b"] => redact.drop: ".b" is not a path
        mask = ["a..b"] => redact.mask: "a..b" is not a path
        mask = ["a. "] => redact.mask: "a. " is not a path
        mask = ["x", "a.b"];drop = ["a.b"] => redact.mask: "a.b" is also under drop, but a path has one action
        hash = ["a"] => redact.hash: requires a secret of this installation: set redact.salt
        salt = "0123456789abcde" => redact.salt: shorter than 16 bytes: generate one with openssl rand -hex 32
        salt = { env = "NOT_SET" } => redact.salt: the environment variable NOT_SET is not set
        masks = [] => redact.masks: unknown key, expected one of mask, hash, drop, salt
    "#;
    check_messages(for_all, |rules| format!("[redact]\n{rules}\n"));
    let for_one = r#"
        hash = ["a"] => account a: redact.hash: requires a secret of this installation: set redact.salt
        salt = "0123456789abcdef" => account a: redact.salt: unknown key, expected one of mask, hash, drop
        mask = ["a."] => account a: redact.mask: "a." is not a path, expected keys joined by dots
        drop = ["c", "a.b"] => account a: redact.drop: "a.b" is already under mask for all accounts
    "#;
    check_messages(for_one, |rules| {
        let all = "[redact]\nmask = [\"a.b\"]\n";
        format!("{all}{}[accounts.redact]\n{rules}\n", account("a", ""))
    });
}
