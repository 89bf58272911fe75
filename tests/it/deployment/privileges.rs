//! Least privilege, by the built program: one role owns the tables and migrates, the daemon is a login that is a
//! member of `paysync_writer` and nothing else, people are members of `paysync_operator`.

use paysync::store::ROLES;
use paysync_simulator::Provider;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

use crate::support::daemon::{Daemon, paysync};
use crate::support::{
    account_of, assert_exact, config_text, count, eventually, history, start, tables_with, url,
};

const PROVIDERS: [Provider; 1] = [Provider::Convergegate];

const SETTINGS: &str = "page_size = 50\nlag = \"0s\"\noverlap = \"5s\"\npoll_interval = \"1s\"\n";

/// The roles of the cluster, as a superuser makes them; other tests may be making them as well.
const CREATE: &str = "DO $$ DECLARE role text;
    BEGIN
        FOREACH role IN ARRAY ARRAY['paysync_writer', 'paysync_bi', 'paysync_operator'] LOOP
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END LOOP;
    END $$";

async fn run(pool: &PgPool, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(pool)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// The logins of one test, and the configuration as each of them uses it.
struct Logins {
    names: Vec<String>,
    database: String,
}

impl Logins {
    async fn new(pool: &PgPool) -> Self {
        let database: String = sqlx::query_scalar("SELECT current_database()")
            .fetch_one(pool)
            .await
            .unwrap();
        run(pool, CREATE).await;
        let mut logins = Self {
            names: Vec::new(),
            database,
        };
        for (name, member) in [
            ("owner", ""),
            ("writer", " IN ROLE paysync_writer"),
            ("operator", " IN ROLE paysync_operator"),
        ] {
            let name = logins.name(name);
            run(
                pool,
                &format!("CREATE ROLE \"{name}\" LOGIN PASSWORD 'secret'{member}"),
            )
            .await;
            logins.names.push(name);
        }
        let (owner, database) = (&logins.names[0], &logins.database);
        let create = format!("GRANT CREATE ON DATABASE \"{database}\" TO \"{owner}\"");
        run(pool, &create).await;
        logins
    }

    fn name(&self, of: &str) -> String {
        let letters: Vec<char> = self.database.chars().collect();
        let start = letters.len().saturating_sub(20);
        let end: String = letters.iter().skip(start).collect();
        format!("least_{of}_{end}")
    }

    /// The text with the URL of one of them in the place of the superuser's.
    fn configured(&self, of: &str, pool: &PgPool, text: &str) -> String {
        let all = url(pool);
        let mut own = url::Url::parse(&all).unwrap();
        own.set_username(&self.name(of)).unwrap();
        own.set_password(Some("secret")).unwrap();
        assert!(text.contains(&all), "{text}");
        text.replace(&all, own.as_str())
    }

    async fn leave(self, pool: &PgPool) {
        run(pool, "DROP SCHEMA paysync CASCADE").await;
        for name in &self.names {
            run(
                pool,
                &format!("DROP OWNED BY \"{name}\"; DROP ROLE \"{name}\""),
            )
            .await;
        }
    }
}

async fn done(text: &str, arguments: &[&str]) -> String {
    let (code, out, err) = paysync(text, arguments).await;
    assert_eq!(code, 0, "{arguments:?}: {out} {err}");
    assert!(!err.contains("permission denied"), "{arguments:?}: {err}");
    out
}

#[sqlx::test(migrations = false)]
async fn the_daemon_works_with_the_writer_role(pool: PgPool) {
    let simulator = start(history(200, 3)).await;
    let logins = Logins::new(&pool).await;
    let text = config_text(&simulator, &pool, &PROVIDERS, SETTINGS);
    let owner = logins.configured("owner", &pool, &text);
    let writer = logins.configured("writer", &pool, &text);
    let operator = logins.configured("operator", &pool, &text);
    let account = account_of(PROVIDERS[0]);
    let (from, to) = ("2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z");
    let resync = [
        "resync",
        "--yes",
        "--account",
        &account,
        "--from",
        from,
        "--to",
        to,
    ];

    let (code, _, err) = paysync(&writer, &["migrate"]).await;
    assert_eq!(code, 1, "the daemon creates no schema: {err}");
    done(&owner, &["migrate"]).await;
    done(&writer, &["migrate"]).await;
    done(&writer, &["sync"]).await;
    assert_exact(&pool, &simulator, &PROVIDERS).await;

    // All that changes something, with versions, payloads and windows that are old enough to go.
    let keeping = "[retention]\nwindows = \"1ms\"\nhistory = \"1ms\"\nquarantine = \"1ms\"\n[raw]\nretention = \"30d\"\n";
    run(
        &pool,
        "UPDATE paysync.transactions SET payload_hash = gen_random_uuid(), version_from = now() - interval '40 days'
         WHERE provider_transaction_id IN (SELECT provider_transaction_id FROM paysync.transactions ORDER BY 1 LIMIT 20)",
    )
    .await;
    let payloads = "SELECT count(*) FROM paysync.raw_transactions";
    let held = count(&pool, payloads).await;
    done(&writer, &resync).await;
    done(&format!("{writer}{keeping}"), &["sync"]).await;
    assert!(
        count(
            &pool,
            "SELECT sum(windows)::bigint FROM paysync.window_totals"
        )
        .await
            > 0
    );
    assert_eq!(count(&pool, payloads).await, held, "they were read anew");
    run(
        &pool,
        "UPDATE paysync.transactions SET version_from = version_from - interval '40 days'
         WHERE provider_transaction_id IN (SELECT provider_transaction_id FROM paysync.transactions ORDER BY 1 LIMIT 20)",
    )
    .await;
    // Payloads expire once a day.
    run(
        &pool,
        "UPDATE paysync.accounts SET payloads_from = payloads_from - interval '1 day'",
    )
    .await;
    done(&format!("{writer}{keeping}"), &["sync"]).await;
    assert_eq!(count(&pool, payloads).await, held - 20);
    done(&writer, &["replay"]).await;
    done(&writer, &["pause", "--account", &account]).await;
    done(&writer, &["resume", "--account", &account]).await;

    let person: String = sqlx::query_scalar(
        "SELECT min(customer_email) FROM paysync.transactions WHERE customer_email IS NOT NULL",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    let erase = ["erase", "--customer", &person, "--yes"];
    let (code, out, err) = paysync(&operator, &erase).await;
    assert_eq!(code, 1, "an operator must not erase: {out}");
    assert!(err.contains("permission denied"), "{err}");
    done(&writer, &erase).await;
    assert_eq!(tables_with(&pool, &person).await, [""; 0]);

    let closed = "SELECT count(*) FROM paysync.windows WHERE outcome = 'closed'";
    let before = count(&pool, closed).await;
    let daemon = Daemon::start(&writer);
    let reads = async || count(&pool, closed).await > before;
    eventually("the daemon reads", reads).await;
    let log = daemon.stop().await;
    let log = Value::from(log).to_string();
    assert!(!log.contains("permission denied"), "{log}");

    // An operator may look, and direct the daemon; no more.
    for login in [&writer, &operator] {
        done(login, &["status"]).await;
        done(login, &["verify"]).await;
        let report = ["report", "--account", &account, "--from", from, "--to", to];
        let (code, out, err) = paysync(login, &report).await;
        assert!(
            code <= 1 && err.is_empty() && !out.is_empty(),
            "{out} {err}"
        );
    }
    done(&operator, &["pause", "--account", &account]).await;
    done(&operator, &["resume", "--account", &account]).await;
    done(&operator, &resync).await;

    done(&operator, &["pause", "--account", &account]).await;
    let forget = ["forget", "--account", &account, "--yes"];
    let (code, out, err) = paysync(&operator, &forget).await;
    assert_eq!(code, 1, "an operator must not forget: {out}");
    assert!(err.contains("permission denied"), "{err}");
    done(&writer, &forget).await;
    assert_eq!(count(&pool, payloads).await, 0);
    done(&operator, &["resume", "--account", &account]).await;

    // Running the roles' statements again takes no right away.
    run(&pool, ROLES).await;
    done(&writer, &["sync"]).await;
    simulator.stop().await;
    logins.leave(&pool).await;
}
