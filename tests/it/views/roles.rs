//! The roles: what each may and may not, as a user of its own who connects.

use std::borrow::Cow;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _, PgPool};

use crate::support::count;

/// Views that a reader for dashboards may ask.
const QUESTIONS: [&str; 13] = [
    "payments",
    "daily_totals",
    "approval_rates",
    "declines",
    "settlement_lag",
    "open_transactions",
    "transaction_timeline",
    "duplicate_charges",
    "data_as_of",
    "sync_health",
    "coverage_gaps",
    "ledger",
    "count_doubts",
];

/// Enough of a database's name to name a user of its own.
fn end_of(database: &str) -> String {
    let letters: Vec<char> = database.chars().collect();
    letters
        .iter()
        .skip(letters.len().saturating_sub(20))
        .collect()
}

/// A user who is a member of a role, connected to the test's database.
async fn member(pool: &PgPool, role: &str) -> (String, PgConnection) {
    let database: String = sqlx::query_scalar("SELECT current_database()")
        .fetch_one(pool)
        .await
        .unwrap();
    let name = format!("{role}_of_{}", end_of(&database));
    for statement in [
        format!("DROP ROLE IF EXISTS \"{name}\""),
        format!("CREATE ROLE \"{name}\" LOGIN PASSWORD 'secret' IN ROLE {role}"),
    ] {
        sqlx::query(AssertSqlSafe(statement))
            .execute(pool)
            .await
            .unwrap();
    }
    let options: PgConnectOptions = (*pool.connect_options()).clone();
    let options = options.username(&name).password("secret");
    (name, PgConnection::connect_with(&options).await.unwrap())
}

async fn leave(pool: &PgPool, (name, connection): (String, PgConnection)) {
    connection.close().await.unwrap();
    sqlx::query(AssertSqlSafe(format!("DROP ROLE \"{name}\"")))
        .execute(pool)
        .await
        .unwrap();
}

async fn may(connection: &mut PgConnection, statement: &str) -> bool {
    let done = sqlx::query(AssertSqlSafe(statement.to_owned()))
        .execute(connection)
        .await;
    match done {
        Ok(_) => true,
        Err(error) => {
            let code = error
                .as_database_error()
                .and_then(|error| error.code().map(Cow::into_owned));
            assert_eq!(code.as_deref(), Some("42501"), "{statement}: {error}");
            false
        }
    }
}

const INSERT: &str = "INSERT INTO paysync.transactions (account_id, provider, provider_transaction_id, kind, status, payload_hash, observed_at)
    VALUES ('a', 'p', gen_random_uuid()::text, 'payment', 'succeeded', gen_random_uuid(), now())";

#[sqlx::test(migrations = "./migrations")]
async fn a_reader_sees_no_payload_and_no_personal_data(pool: PgPool) {
    let mut user = member(&pool, "paysync_bi").await;
    for view in QUESTIONS {
        assert!(
            may(&mut user.1, &format!("SELECT * FROM paysync.{view}")).await,
            "{view}"
        );
    }
    for (statement, allowed) in [
        (
            "SELECT kind, status, amount, customer_id FROM paysync.transactions",
            true,
        ),
        ("SELECT count(*) FROM paysync.transactions", true),
        (
            "SELECT status, valid_from FROM paysync.transaction_history",
            true,
        ),
        ("SELECT * FROM paysync.windows", true),
        ("SELECT * FROM paysync.transactions", false),
        ("SELECT customer_email FROM paysync.transactions", false),
        (
            "SELECT kind FROM paysync.transactions WHERE customer_ip = '192.0.2.1'",
            false,
        ),
        (
            "SELECT customer_email FROM paysync.transaction_history",
            false,
        ),
        ("SELECT t FROM paysync.transactions AS t", false),
        ("SELECT count(*) FROM paysync.raw_transactions", false),
        ("SELECT count(*) FROM paysync.quarantine", false),
        ("SELECT paysync.recount_account('a')", false),
        (INSERT, false),
        ("UPDATE paysync.accounts SET paused = true", false),
        ("DELETE FROM paysync.daily_sums", false),
        ("CREATE TABLE paysync.mine (a int)", false),
    ] {
        assert_eq!(may(&mut user.1, statement).await, allowed, "{statement}");
    }
    // The owner grants further columns.
    sqlx::query("GRANT SELECT (customer_email) ON paysync.transactions TO paysync_bi")
        .execute(&pool)
        .await
        .unwrap();
    assert!(
        may(
            &mut user.1,
            "SELECT customer_email FROM paysync.transactions"
        )
        .await
    );
    leave(&pool, user).await;
}

#[sqlx::test(migrations = "./migrations")]
async fn an_operator_reads_all_and_changes_no_transaction(pool: PgPool) {
    let mut user = member(&pool, "paysync_operator").await;
    for (statement, allowed) in [
        ("SELECT * FROM paysync.transactions", true),
        ("SELECT * FROM paysync.raw_transactions", true),
        ("SELECT * FROM paysync.quarantine", true),
        ("SELECT * FROM paysync.payments", true),
        ("UPDATE paysync.accounts SET paused = true", true),
        ("UPDATE paysync.streams SET coverage = '{}'", true),
        ("UPDATE paysync.windows SET retry_at = NULL", true),
        (INSERT, false),
        ("UPDATE paysync.transactions SET amount = 0", false),
        ("DELETE FROM paysync.quarantine", false),
        ("TRUNCATE paysync.windows", false),
        ("DROP VIEW paysync.payments", false),
    ] {
        assert_eq!(may(&mut user.1, statement).await, allowed, "{statement}");
    }
    leave(&pool, user).await;
}

#[sqlx::test(migrations = "./migrations")]
async fn a_writer_writes_and_owns_nothing(pool: PgPool) {
    let mut user = member(&pool, "paysync_writer").await;
    for (statement, allowed) in [
        (INSERT, true),
        (
            "UPDATE paysync.transactions SET amount = 5, currency = 'EUR', changed_at = clock_timestamp()",
            true,
        ),
        (
            "INSERT INTO paysync.accounts (account_id, provider) VALUES ('a', 'p')",
            true,
        ),
        (
            "SELECT paysync.register_account('a', 'p', 'Asia/Tokyo'), paysync.recount_account('a')",
            true,
        ),
        ("SELECT * FROM paysync.raw_transactions", true),
        ("DELETE FROM paysync.quarantine", true),
        (
            "ALTER TABLE paysync.transactions ADD COLUMN mine int",
            false,
        ),
        ("DROP TABLE paysync.windows", false),
        ("TRUNCATE paysync.transactions", false),
        ("CREATE TABLE paysync.mine (a int)", false),
    ] {
        assert_eq!(may(&mut user.1, statement).await, allowed, "{statement}");
    }
    assert_eq!(
        count(
            &pool,
            "SELECT count(*) FROM paysync.daily_totals WHERE amount = 5"
        )
        .await,
        1
    );
    leave(&pool, user).await;
}

/// Views run with the rights of their owner: what they are made of is what they could show. A view
/// that is forgotten in the grants is of no use.
#[sqlx::test(migrations = "./migrations")]
async fn no_view_is_made_of_what_a_reader_may_not_see(pool: PgPool) {
    let leaks: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT format('%s shows %s.%s', view.relname, source.relname, attribute.attname)
         FROM pg_depend AS dependency
         JOIN pg_rewrite AS rule ON rule.oid = dependency.objid AND dependency.classid = 'pg_rewrite'::regclass
         JOIN pg_class AS view ON view.oid = rule.ev_class
         JOIN pg_class AS source ON source.oid = dependency.refobjid AND dependency.refclassid = 'pg_class'::regclass
         JOIN pg_attribute AS attribute ON attribute.attrelid = source.oid AND attribute.attnum = dependency.refobjsubid
         WHERE view.relnamespace = 'paysync'::regnamespace AND source.relnamespace = 'paysync'::regnamespace
           AND source.oid <> view.oid
           AND (attribute.attname IN ('customer_email', 'customer_ip', 'payload', 'detail') OR source.relname = 'raw_transactions')",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(leaks.is_empty(), "{leaks:?}");
    let unreadable: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class
         WHERE relnamespace = 'paysync'::regnamespace AND relkind = 'v' AND NOT has_table_privilege('paysync_bi', oid, 'SELECT')",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(unreadable.is_empty(), "{unreadable:?}");
}

/// A user who may not create roles migrates all the same.
#[sqlx::test(migrations = false)]
async fn migrating_needs_no_right_to_create_roles(pool: PgPool) {
    let database: String = sqlx::query_scalar("SELECT current_database()")
        .fetch_one(&pool)
        .await
        .unwrap();
    let name = format!("owner_of_{}", end_of(&database));
    for statement in [
        format!("DROP ROLE IF EXISTS \"{name}\""),
        format!("CREATE ROLE \"{name}\" LOGIN PASSWORD 'secret'"),
        format!("GRANT CREATE ON DATABASE \"{database}\" TO \"{name}\""),
    ] {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&pool)
            .await
            .unwrap();
    }
    let options: PgConnectOptions = (*pool.connect_options()).clone();
    let owned = PgPool::connect_with(options.username(&name).password("secret"))
        .await
        .unwrap();
    paysync::store::Store::with_pool(owned.clone())
        .migrate()
        .await
        .unwrap();
    assert_eq!(
        count(&owned, "SELECT count(*) FROM paysync.payments").await,
        0
    );
    owned.close().await;
    for statement in [
        "DROP SCHEMA paysync CASCADE".to_owned(),
        format!("DROP OWNED BY \"{name}\""),
        format!("DROP ROLE \"{name}\""),
    ] {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&pool)
            .await
            .unwrap();
    }
}

/// A writer that finds the schema up to date starts without the right to change it.
#[sqlx::test(migrations = "./migrations")]
async fn a_writer_starts_on_a_schema_that_is_up_to_date(pool: PgPool) {
    let user = member(&pool, "paysync_writer").await;
    let options: PgConnectOptions = (*pool.connect_options()).clone();
    let writing = PgPool::connect_with(options.username(&user.0).password("secret"))
        .await
        .unwrap();
    paysync::store::Store::with_pool(writing.clone())
        .migrate()
        .await
        .unwrap();
    writing.close().await;
    leave(&pool, user).await;
}
