//! What an older program stored, which knew no redaction: `replay` redacts it wherever it is.

use std::collections::BTreeMap;

use paysync::engine::replay::{RedactedTexts, Replayed, replay};
use paysync::engine::{Account, Engine};
use paysync::store::replay::{Correction, RedactedPayload};
use paysync_provider::redact::redact_and_extract;
use paysync_simulator::{Fault, Handle, Provider};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::planted_numbers::{CANARY, Defect, Place, Plan, Planted, Spelling, Template, plan};
use super::{RULES, RULES_FOR_ALL, plain, tables};
use crate::engine::{SMALL, forget_everything};
use crate::support::{
    account_of, config_text, count, engine_of, history, in_time, providers, start, sync_covers,
    verification, versions,
};

/// A card number that is planted in columns and messages, and one in each item.
const CARD: &str = "4111111111111111";

/// What is wrong with the items of each provider.
const DEFECTS: [Defect; 8] = [
    Defect::No,
    Defect::No,
    Defect::No,
    Defect::Time,
    Defect::Id,
    Defect::Nesting,
    Defect::List,
    Defect::Text,
];

fn hash(payload: &str) -> Uuid {
    Uuid::from_u128(xxh3_128(payload.as_bytes()))
}

async fn execute(pool: &PgPool, sql: impl Into<String>) -> u64 {
    let done = sqlx::query(AssertSqlSafe(sql.into())).execute(pool).await;
    done.unwrap().rows_affected()
}

async fn replay_all(engine: &Engine, dry_run: bool) -> BTreeMap<String, Replayed> {
    let mut reports = BTreeMap::new();
    for account in &engine.accounts {
        let replayed = replay(&engine.store, account, dry_run, |_| ());
        let replayed = in_time("replay", replayed).await.unwrap();
        reports.insert(account.id.clone(), replayed);
    }
    reports
}

/// Has each provider send these items besides its own.
fn send(simulator: &Handle, items: &BTreeMap<String, Vec<String>>) {
    for provider in providers() {
        simulator.clear_faults(provider);
        simulator.fail_next(
            provider,
            Fault::Extra(items[&account_of(provider)].join(",")),
        );
    }
}

/// Items with card numbers, of every kind of defect that a provider's items have.
async fn planted_items(pool: &PgPool) -> BTreeMap<String, Vec<String>> {
    let mut runner = TestRunner::deterministic();
    let mut plans: Vec<Plan> = DEFECTS
        .map(|defect| Plan {
            defect,
            ..plan().new_tree(&mut runner).unwrap().current()
        })
        .into();
    for plan in &mut plans {
        let number = Planted {
            digits: CARD.to_owned(),
            gaps: vec![],
            escaped: vec![false; 16],
            spelling: Spelling::Number("", ""),
        };
        plan.numbers.push((number, Place::Member));
    }
    let mut items = BTreeMap::new();
    for provider in providers() {
        let template = Template::of(provider, pool).await;
        let filled = plans.iter().zip(0..);
        let filled =
            filled.map(|(plan, at): (_, usize)| template.fill(plan, &format!("planted {at}")));
        items.insert(account_of(provider), filled.collect());
    }
    items
}

/// Stores these items as they are sent, and their rows as they are read from that.
async fn store_unredacted(pool: &PgPool, engine: &Engine, account: &Account, items: &[String]) {
    let stored = engine.store.stored_after(&account.id, "").await.unwrap();
    let (mut rows, mut aside) = (Vec::new(), 0);
    for item in items {
        let redacted = redact_and_extract(item, &account.spec.redaction, &account.rules, [""; 2]);
        let (today, hash) = (hash(&redacted.text), hash(item));
        if let Some(row) = stored.iter().find(|row| row.hash == today) {
            let text = item.clone();
            let transaction = account.provider.normalize(item).unwrap();
            rows.push(Correction::of(
                row,
                transaction,
                Some(RedactedPayload { text, hash }),
            ));
            continue;
        }
        let damaged = sqlx::query(
            "UPDATE paysync.quarantine SET payload_hash = $3, payload = $4, detail = $5
             WHERE account_id = $1 AND payload_hash = $2",
        );
        let damaged = damaged.bind(&account.id).bind(today).bind(hash).bind(item);
        let damaged = damaged.bind(format!("cannot read {CARD}"));
        aside += damaged.execute(pool).await.unwrap().rows_affected();
    }
    assert!(aside > 3 && rows.len() > 2, "{aside}, {}", rows.len());
    let corrected = engine.store.correct(&account.id, &rows).await.unwrap();
    assert_eq!(corrected.written.len(), rows.len(), "{corrected:?}");
}

/// All of the rows but when they were written, and the text of each item in quarantine.
async fn contents(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT concat_ws(' ', to_jsonb(held) - 'changed_at', payload)
         FROM paysync.transactions AS held LEFT JOIN paysync.raw_transactions USING (account_id, provider_transaction_id)
         UNION ALL SELECT concat_ws(' ', account_id, stream, payload_hash, detail, payload) FROM paysync.quarantine
         UNION ALL SELECT concat_ws(' ', account_id, provider_transaction_id, version) FROM paysync.transaction_history
         ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// Texts with a card number where no payload brings them back.
const OTHER_TEXTS: [&str; 5] = [
    "UPDATE paysync.transaction_history SET description = 'paid with 4111111111111111', error_message = 'x 4111 1111 1111 1111',
         customer_id = CASE WHEN provider = 'firekassa' THEN '4111111111111111' ELSE customer_id END",
    "UPDATE paysync.accounts SET suspended_reason = 'refused: 4111111111111111'",
    "UPDATE paysync.streams SET suspended_reason = 'refused: 4111111111111111', last_error = 'status 400: 4111-1111-1111-1111'",
    "UPDATE paysync.windows SET error = window_id || ': no such card: 4111111111111111' WHERE window_id % 2 = 0",
    // Its payload has expired.
    "WITH gone AS (
         DELETE FROM paysync.raw_transactions AS raw USING paysync.transactions AS held
         WHERE (raw.account_id, raw.provider_transaction_id) = (held.account_id, held.provider_transaction_id)
           AND hashtext(raw.provider_transaction_id) % 10 = 0 AND raw.provider_transaction_id NOT LIKE 'planted%'
         RETURNING raw.*
     ), known AS (UPDATE paysync.accounts SET payloads_from = now())
     UPDATE paysync.transactions AS held SET description = 'paid with 4111111111111111' FROM gone
     WHERE (gone.account_id, gone.provider_transaction_id) = (held.account_id, held.provider_transaction_id)",
];

/// The tables that still show a number.
async fn found(pool: &PgPool) -> bool {
    let tables = tables(pool).await;
    plain(&tables).contains(CARD) || tables.contains(CANARY)
}

#[sqlx::test(migrations = "./migrations")]
async fn what_an_older_program_stored_is_redacted_everywhere(pool: PgPool) {
    let simulator = start(history(60, 3)).await;
    let settings = format!("{SMALL}{RULES}");
    let text = config_text(&simulator, &pool, &providers(), &settings) + RULES_FOR_ALL;
    sync_covers(&text).await;
    let items = planted_items(&pool).await;
    for provider in providers() {
        simulator.touch(provider, 10);
    }
    send(&simulator, &items);
    forget_everything(&text).await;
    sync_covers(&text).await;
    assert!(!found(&pool).await, "nothing of it is stored today");

    let engine = engine_of(&text).await;
    for sql in OTHER_TEXTS {
        assert!(execute(&pool, sql).await > 0, "{sql}");
    }
    let erased =
        "SELECT min(provider_transaction_id) FROM paysync.transactions WHERE account_id = $1";
    for account in &engine.accounts {
        let id: String = sqlx::query_scalar(erased)
            .bind(&account.id)
            .fetch_one(&pool)
            .await
            .unwrap();
        engine.store.erase(&account.id, &[id]).await.unwrap();
    }
    execute(&pool, "UPDATE paysync.transactions SET error_message = 'x 4111111111111111' WHERE erased_at IS NOT NULL").await;
    execute(
        &pool,
        "UPDATE paysync.transaction_history SET merchant_reference = '5555555555554444'",
    )
    .await;
    let mut expected = contents(&pool).await;
    for account in &engine.accounts {
        store_unredacted(&pool, &engine, account, &items[&account.id]).await;
    }
    assert!(found(&pool).await, "it would be seen");
    let damaged = (contents(&pool).await, versions(&pool).await);

    let preview = replay_all(&engine, true).await;
    assert_eq!(
        (contents(&pool).await, versions(&pool).await),
        damaged,
        "a dry run writes nothing"
    );
    let replayed = replay_all(&engine, false).await;
    for (account, replayed) in &replayed {
        assert_eq!(replayed, &preview[account], "{account}");
        for (what, texts) in replayed.redacted.by_kind() {
            assert!(texts > 0, "{account}: {what}");
        }
        assert_eq!(replayed.unreadable + replayed.overtaken, 0, "{replayed:?}");
    }
    assert!(!found(&pool).await, "{}", tables(&pool).await);
    // Rows, payloads, hashes and reasons are what today's program stores, without a version; only what no payload
    // brings back is cut in its columns.
    for line in &mut expected {
        *line = line.replace(CARD, "411111******1111");
    }
    expected.sort();
    let mut replayed = contents(&pool).await;
    replayed.sort();
    for (replayed, expected) in replayed.iter().zip(&expected) {
        assert_eq!(replayed, expected);
    }
    assert_eq!(replayed.len(), expected.len());
    let exact = "SELECT count(*) FROM paysync.transaction_history WHERE merchant_reference <> '5555555555554444'";
    assert_eq!(count(&pool, exact).await, 0, "references stay exact");
    let personal = "SELECT count(*) FROM paysync.transactions
        WHERE erased_at IS NOT NULL AND coalesce(description, customer_email, customer_id, card_bin) IS NOT NULL";
    assert_eq!(count(&pool, personal).await, 0, "erased rows stay erased");

    // Nothing is left to do: not for replay, and not for what the provider sends again.
    let right = versions(&pool).await;
    for replayed in replay_all(&engine, false).await.into_values() {
        assert_eq!(replayed.redacted, RedactedTexts::default());
        assert_eq!((replayed.changed, replayed.unchanged), (0, replayed.read));
    }
    assert_eq!(
        versions(&pool).await,
        right,
        "a second replay writes nothing"
    );
    execute(&pool, "UPDATE paysync.accounts SET suspended_reason = NULL").await;
    let quarantined = count(&pool, "SELECT count(*) FROM paysync.quarantine").await;
    send(&simulator, &items);
    forget_everything(&text).await;
    sync_covers(&text).await;
    assert_eq!(versions(&pool).await, right, "a re-scan writes nothing");
    assert_eq!(
        count(&pool, "SELECT count(*) FROM paysync.quarantine").await,
        quarantined
    );
    let verified = verification(&engine).await;
    assert!(verified.proven, "{verified:?}");
    engine.store.pool().close().await;
    simulator.stop().await;
}

/// New rules apply to what is stored already, without a version and without the provider.
#[sqlx::test(migrations = "./migrations")]
async fn replay_applies_new_rules(pool: PgPool) {
    let provider = [Provider::BegatewayReport];
    let simulator = start(history(60, 3)).await;
    let bare = config_text(&simulator, &pool, &provider, SMALL);
    sync_covers(&bare).await;
    let hashed = "SELECT count(DISTINCT customer_email) FROM paysync.transactions WHERE customer_email LIKE 'hash:%'";
    let ruled = bare
        + "[redact]\nhash = [\"customer.email\"]\nmask = [\"customer.ip\"]\ndrop = [\"customer.id\"]\nsalt = \"a salt for this test\"\n";
    let engine = engine_of(&ruled).await;
    let replayed = replay_all(&engine, false).await.pop_first().unwrap().1;
    assert_eq!(replayed.redacted.payloads, replayed.changed);
    assert!(replayed.changed > 0 && count(&pool, hashed).await > 1);
    let clear = "SELECT count(*) FROM paysync.transactions AS held JOIN paysync.raw_transactions USING (account_id, provider_transaction_id)
        WHERE payload::text LIKE '%@%' OR concat(customer_email) LIKE '%@%' OR customer_ip <> '***' OR version > 1";
    assert_eq!(count(&pool, clear).await, 0);

    let right = versions(&pool).await;
    forget_everything(&ruled).await;
    sync_covers(&ruled).await;
    assert_eq!(versions(&pool).await, right, "a re-scan writes nothing");
    assert!(verification(&engine).await.proven);
    engine.store.pool().close().await;
    simulator.stop().await;
}
