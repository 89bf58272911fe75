//! Messages about a wrong configuration.

use super::*;

#[test]
fn problems_of_the_environment_name_the_variable() {
    for (name, value, said) in [
        (
            "PAYSYNC__HTTP__LISTEN",
            "8080",
            "PAYSYNC__HTTP__LISTEN: \"8080\" is not an address",
        ),
        (
            "PAYSYNC__ENGINE__LEASE_TTL",
            "30",
            "PAYSYNC__ENGINE__LEASE_TTL: \"30\" is not a duration",
        ),
        (
            "PAYSYNC__DATABASE__PORT",
            "1",
            "PAYSYNC__DATABASE__PORT: unknown setting, expected one of PAYSYNC__DATABASE__URL,",
        ),
        (
            "PAYSYNC__ACCOUNTS__0__ID",
            "a",
            "PAYSYNC__ACCOUNTS__0__ID: accounts are set in the file",
        ),
    ] {
        let error = load_with(DATABASE, [(name, value)])
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(said), "{error}");
    }
}

#[test]
fn a_named_file_must_exist() {
    let error = Config::load(Some(Path::new("no/such.toml")), &BTreeMap::new()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("no/such.toml: cannot be read: ")
    );
    let config = Config::of_text("", &environment([("DATABASE_URL", "postgres://x")]));
    assert!(config.is_ok());
}

#[test]
fn the_database_must_be_named() {
    let error = load_with("", []).unwrap_err().to_string();
    assert!(error.ends_with(
        "database.url is missing: set it in config/paysync.toml, in the file of --config, or in the environment as DATABASE_URL"
    ));
}

#[test]
fn secrets_that_cannot_be_had_are_named() {
    let with = |secret: &str| complaint(&account("a", "").replace("\"t0p\"", secret));
    let at = "account a: credentials.token: ";
    assert_eq!(
        with("{ env = \"NOT_SET\" }"),
        format!("{at}the environment variable NOT_SET is not set")
    );
    let missing = with("{ file = \"missing.txt\" }");
    assert!(
        missing.starts_with(&format!("{at}the file "))
            && missing.contains("missing.txt cannot be read: "),
        "{missing}"
    );
    for wrong in [
        "{ envs = \"X\" }",
        "{ env = \"X\", file = \"Y\" }",
        "{ env = 1 }",
        "[\"s3cret\"]",
        "true",
        "1.5",
        "{}",
    ] {
        assert_eq!(
            with(wrong),
            format!("{at}expected text, {{ env = \"NAME\" }} or {{ file = \"path\" }}"),
            "{wrong}"
        );
    }
    assert_eq!(with("\"\""), format!("{at}is empty"));
    let white_space = "contains white space: a secret is one word";
    assert_eq!(with("\"a b\""), format!("{at}{white_space}"));
    let text = account("a", "").replace("\"t0p\"", "{ env = \"BLANK\" }");
    for secret in [" t0p", "t0p ", "t\n0p"] {
        let error =
            load_with(&text, [("BLANK", secret), ("DATABASE_URL", "postgres://x")]).unwrap_err();
        let error = error.to_string();
        let expected = format!("{at}the environment variable BLANK {white_space}");
        assert!(error.ends_with(&expected), "{error}");
    }
}

#[test]
fn unknown_keys_are_named_with_their_place() {
    let in_document = r"
        [databases] => databases: unknown key, expected one of database, http, engine, retention, raw, log, redact, accounts
        [http];listen_on = 1 => http.listen_on: unknown key, expected one of listen
    ";
    check_messages(in_document, str::to_owned);
    let in_account = r#"
        pol = 1 => account a: pol: unknown key, expected one of id, provider, base_url,
        Concurrency = 1 => account a: Concurrency: unknown key
        rescan = [{ within = "1d", every = "1h", at = 1 }] => account a: rescan[0]: at: unknown key
    "#;
    check_messages(in_account, |more| account("a", more));
}

#[test]
fn a_key_that_is_misspelt_is_found_where_another_is_missing() {
    let misspelt = |right: &str, wrong: &str| complaint(&account("a", "").replace(right, wrong));
    assert_eq!(
        misspelt("base_url", "base_ulr"),
        "account a: base_url is missing; is base_ulr a misspelling?"
    );
    assert_eq!(
        misspelt("base_url", "url"),
        "account a: base_url is missing"
    );
}

#[test]
fn wrong_values_are_named_with_what_would_be_right() {
    let in_account = r#"
        poll_interval = "60 parsecs" => account a: poll_interval: "60 parsecs" is not a duration: write it like "60s", "10m" or "3d"
        timeout = "60" => account a: timeout: "60" is not a duration: write it like "60s", "10m" or "3d"
        lag = 60 => account a: lag: expected a duration, like "60s", "10m" or "3d"
        max_window = "0s" => account a: max_window: too short
        overlap = "900years" => account a: overlap: "900years" is too long
        time_zone = "Riga" => account a: time_zone: "Riga" is not an IANA time zone, like "UTC"
        concurrency = 17 => account a: concurrency: expected a number from 1 to 16
        concurrency = 0 => account a: concurrency: expected a number from 1
        requests_per_minute = 0 => account a: requests_per_minute: expected a number from 1
        page_size = -1 => account a: page_size: expected a whole number
        rescan = [{ within = "3d" }] => account a: rescan[0]: every is missing
        rescan = "1d" => account a: rescan: expected a list of tables
        allow_http = 7.5 => account a: allow_http: expected true or false
        options = [1] => account a: options: expected a table
    "#;
    check_messages(in_account, |more| account("a", more));
    let in_document = r#"
        accounts = 3 => accounts: expected a list of tables
        accounts = [3] => accounts[0]: expected a table
        http = 3 => http: expected a table
        "a\nb" = 1 => a\nb: unknown key
        [[accounts]] => accounts[0]: id is missing
        [[accounts]];id = "Acme" => accounts[0]: id: "Acme" is not an id
        [log];format = "xml" => log.format: "xml" is not a format, expected "json" or "text"
        [log];filter = "a=b=c" => log.filter: "a=b=c" is not a log filter
        [http];listen = "localhost" => http.listen: "localhost" is not an address and port
    "#;
    check_messages(in_document, str::to_owned);
    let two = format!("{}{}", account("a", ""), account("a", ""));
    assert_eq!(
        complaint(&two),
        "accounts[1]: id: \"a\" is also the id of another account"
    );
    let day = account("a", "").replace("T00:00:00Z", "");
    assert_eq!(
        complaint(&day),
        "account a: start_from: \"2024-01-01\" is not an instant, write date, time and zone like \"2024-01-01T00:00:00Z\""
    );
}

#[test]
fn base_urls_are_safe() {
    let with = |url: &str, more: &str| account("a", more).replace("https://api.example.com", url);
    for url in [
        "https://x.example/v1",
        "http://localhost:81",
        "http://127.0.0.9",
        "http://[::1]:8080/x",
        "http://a.localhost",
    ] {
        assert_eq!(load(&with(url, "")).accounts.len(), 1, "{url}");
    }
    let unsafe_urls = r##"
        http://10.0.0.1 => account a: base_url: plain http sends secrets
        http://localhost.example => account a: base_url: plain http sends secrets
        http://127.0.0.1.example => account a: base_url: plain http sends secrets
        https://user:0123456789@x.example => account a: base_url: contains a user name or password
        https://x.example/?a=b => account a: base_url: contains "?" or "#"
        https://x.example/#a => account a: base_url: contains "?" or "#"
        ftp://x.example => account a: base_url: expected an https URL
        x.example => account a: base_url: not a URL
    "##;
    check_messages(unsafe_urls, |url| with(url, ""));
    assert!(only(&with("http://10.0.0.1", "allow_http = true")).allow_http);
}

#[test]
fn syntax_errors_quote_no_lines() {
    for text in [
        "token = s3cret",
        "token = \"s3cret",
        "token = \"s3cret\"\"",
        "a = 's3cret' b",
        "[s3cret",
        "a = \"s3cret\\q\"",
        "a = 99999999999999999999999",
        "a = { env = \"s3cret\"",
        "s3cret",
        "a = 1\na = \"s3cret\"",
    ] {
        let said = complaint(text);
        assert!(!said.contains("s3cret"), "{said}");
        assert!(said.contains("line") || said.contains("number"), "{said}");
    }
}

fn spec() -> Spec {
    Spec {
        code: "convergegate",
        documentation: "",
        streams: Vec::new(),
        auth: Auth::Signed,
        credentials: &["token"],
        optional_credentials: &["sign_token"],
        page_size: 100,
        max_page_size: 1000,
        requests_per_minute: 60,
        timeout: Duration::from_mins(1),
        retry_after_floor: Duration::from_secs(1),
        by_id: None,
        id_key: "id",
        payment_links: paysync_provider::model::PaymentLinks {
            parent: true,
            group: false,
        },
        redaction: Redaction::default(),
    }
}

#[test]
fn accounts_are_checked_against_their_provider() {
    let check = |credentials: &str, more: &str| {
        only(&account("acme-eur", more).replace("{ token = \"t0p\" }", credentials)).check(&spec())
    };
    let said = |result: Result<(), ConfigError>| result.unwrap_err().to_string();
    assert_eq!(
        check("{ token = \"x\", sign_token = \"y\" }", "page_size = 1000"),
        Ok(())
    );
    assert_eq!(
        said(check("{ sign_token = \"y\" }", "")),
        "account acme-eur: credentials.token is missing (convergegate needs token)"
    );
    assert_eq!(
        said(check("{ tokn = \"s3cret\" }", "")),
        "account acme-eur: credentials.tokn: unknown key, convergegate takes token, sign_token"
    );
    assert_eq!(
        said(check("{ token = \"x\" }", "page_size = 1001")),
        "account acme-eur: page_size: 1001 is more than convergegate allows, expected 1 to 1000"
    );
    for (path, holds) in [("id", true), ("*", true), ("*.id", false), ("id.x", false)] {
        let checked = check(
            "{ token = \"x\" }",
            &format!("redact = {{ drop = [\"{path}\"] }}"),
        );
        let expected = format!(
            "account acme-eur: redact.drop: \"{path}\" removes id, the id of convergegate's rows"
        );
        assert_eq!(
            checked.err().map(|it| it.to_string()),
            holds.then_some(expected)
        );
    }
    let error = only(&account("acme-eur", "")).provider().err().unwrap();
    assert!(
        error
            .to_string()
            .starts_with("account acme-eur: provider: unknown provider \"nowhere\"")
    );
}
