//! Every request of a sync as it arrives over the wire, against a strict reading of the providers'
//! pages: a third reading, beside that of `provider` and that of the simulator, which has to accept
//! each of them as well.

mod recorder;
mod rules;

use std::collections::BTreeSet;
use std::time::Duration;

use paysync::engine::Outcome;
use paysync_simulator::{Handle, Provider, Settings};
use sqlx::PgPool;

use crate::providers::fixture;
use crate::support::{config_text, engine_of, history, start, sync};
use recorder::{Recorder, Seen};

/// Small pages, and no window shorter than the provider wants it.
const SETTINGS: &str = "page_size = 50\nlag = \"0s\"\nmax_window = \"365d\"\n";

/// Parameters that paysync has no use for, and the start of a backward walk, which no answer names
/// (`engine::again` walks so).
const NEVER_SENT: &[(Provider, &[&str])] = &[
    (Provider::Convergegate, &["referenceId.eq"]),
    (Provider::Ecommpay, &["customer_email", "customer_id"]),
    (Provider::BegatewayReport, &["report_params.ending_before"]),
];

/// Accounts that together use every option of every provider.
const ACCOUNTS: &[(Provider, &[&str])] = &[
    (Provider::Convergegate, &[""]),
    (
        Provider::Ecommpay,
        &[
            "",
            "time_zone = \"Asia/Dubai\"\n[accounts.options]\nproject_ids = [360, 361, 369]\n\
             operation_types = [\"sale\", \"refund\", \"account verification\"]\n\
             operation_statuses = [\"success\", \"decline\"]\n\
             fields = [\"arn\", \"auth_code\", \"bin\", \"country_by_bin\", \"customer_email\", \
             \"customer_id\", \"operation_status\", \"operation_type\", \"provider_payment_id\", \
             \"rrn\", \"sum_initial.amount\", \"sum_initial.currency\"]\n",
            "options.operation_types = [\"payout\"]\noptions.operation_statuses = [\"success\"]\n\
             options.project_ids = [365]\n",
        ],
    ),
    (
        Provider::BegatewayReport,
        &[
            "",
            "time_zone = \"Europe/Minsk\"\noptions.status = \"successful\"\n\
             options.date_types = [\"settled_at\", \"created_at\"]\n",
        ],
    ),
    (
        Provider::BegatewayDwh,
        &[
            "",
            "[accounts.options]\ninclude_test = true\n\
             response_parameters = \"query { transactions { uid amount currency shop{id} } }\"\n\
             [accounts.options.filter]\n\
             amount = [1000, \"2000\"]\ncode = \"F.0114\"\ncredit_card_bin = \"420000\"\n\
             credit_card_bin_8 = \"42000012\"\ncredit_card_brand = \"visa\"\n\
             credit_card_first_1 = 4\ncredit_card_holder = \"JANE DOE\"\n\
             credit_card_issuer_country = \"IT\"\ncredit_card_last_4 = \"0000\"\n\
             credit_card_product = \"VISA\"\ncredit_card_stamp = \"5a8c\"\n\
             credit_card_sub_brand = \"classic\"\ncurrency = [\"EUR\", \"USD\"]\n\
             customer_email = \"jane@example.com\"\ncustomer_full_name = \"Jane Doe\"\n\
             customer_id = \"cus-7\"\ncustomer_ip = \"127.0.0.1\"\ncustomer_phone = \"+37120000000\"\n\
             description = \"Заказ\"\nfraud = \"review\"\ngateway_agent_id = 7\n\
             gateway_id = [312, 3405]\ngateway_type = [\"gw_312\", \"gw_3405\"]\n\
             merchant_id = [366, 367]\nmethod_alternative_account = \"9222\"\n\
             method_type = \"credit_card\"\nprovider_raw_ref_id = \"777908\"\n\
             provider_raw_rrn = \"001045563840\"\nrecipient_credit_card_bin = \"420000\"\n\
             recipient_credit_card_bin_8 = \"42000012\"\nrecipient_credit_card_brand = \"visa\"\n\
             recipient_credit_card_first_1 = \"4\"\nrecipient_credit_card_holder = \"JANE DOE\"\n\
             recipient_credit_card_issuer_country = \"IT\"\nrecipient_credit_card_last_4 = \"0000\"\n\
             recipient_credit_card_product = \"VISA\"\nrecipient_credit_card_stamp = \"5a8c\"\n\
             recipient_credit_card_sub_brand = \"classic\"\n\
             recipient_customer_email = \"jane@example.com\"\n\
             recipient_customer_full_name = \"Jane Doe\"\nrecipient_customer_id = \"cus-7\"\n\
             recipient_customer_ip = \"::1\"\nrecipient_customer_phone = \"+37120000000\"\n\
             recurring_type = [\"recurring\", \"initial\"]\nshop_business_category_id = 7\n\
             shop_id = \"343,344\"\nstatus = [\"successful\", \"failed\", \"error\"]\n\
             tracking_id = \"order-1\"\ntype = [\"payment\", \"credit\"]\n\
             uid = \"95813fc8-0488-4fda-893a-d03130456d2f\"\n",
        ],
    ),
    (
        Provider::Firekassa,
        &[
            "",
            "[accounts.options.filter]\naccount = \"a b+c&d=é\"\naction = \"deposit\"\n\
             amount = { min = \"10.50\", max = 100 }\nid = [507164249, \"507164250\"]\n\
             method = \"wallet-card\"\norder_id = \"order 123\"\ntype = \"invoice\"\n",
        ],
    ),
];

/// The configuration of one account, whose requests go by the recorder. Its history starts at an odd
/// moment.
fn configuration(
    (simulator, pool, recorder): (&Handle, &PgPool, &Recorder),
    provider: Provider,
    number: usize,
    options: &str,
) -> String {
    let text = config_text(
        simulator,
        pool,
        &[provider],
        &format!("{SETTINGS}{options}"),
    );
    let line = |line: &str| match line.split(' ').next() {
        Some("options") => String::new(),
        Some("start_from") => line.replace("Z\"", ".123456Z\"\n"),
        _ => format!("{line}\n"),
    };
    let text: String = text.lines().map(line).collect();
    text.replace(&simulator.addr().to_string(), &recorder.address.to_string())
        .replace("id = \"simulated-", &format!("id = \"account-{number}-"))
}

#[sqlx::test(migrations = "./migrations")]
async fn every_sent_request_is_documented(pool: PgPool) {
    let simulator = start(Settings {
        // More in one second than a page holds, so that offsets must be used.
        burst: 60,
        // A report has no size of its own.
        page_cap: Some(60),
        firekassa_sign_token: Some("sign-token".to_owned()),
        ..history(250, 2)
    })
    .await;
    let recorder = Recorder::before(&simulator).await;
    let parts = (&simulator, &pool, &recorder);
    let configurations: Vec<String> = ACCOUNTS
        .iter()
        .flat_map(|(provider, accounts)| accounts.iter().map(move |options| (*provider, options)))
        .enumerate()
        .map(|(number, (provider, options))| configuration(parts, provider, number, options))
        .collect();
    let syncs = configurations.iter().map(|text| async {
        let engine = engine_of(text).await;
        let outcomes = sync(&engine, Duration::from_secs(5)).await;
        engine.store.pool().close().await;
        outcomes
    });
    let outcomes = futures_util::future::join_all(syncs).await;

    let mut seen = recorder.take();
    for (provider, _) in ACCOUNTS {
        let prefix = format!("/{}/", provider.slug());
        let (own, others) = seen
            .into_iter()
            .partition(|seen| seen.path.starts_with(&prefix));
        seen = others;
        check(*provider, &simulator, &own);
    }
    assert!(seen.is_empty(), "{seen:?}");
    for (account, outcome) in outcomes.iter().flatten() {
        assert_eq!(*outcome, Outcome::Covered, "{account}");
    }
    recorder.stop();
    simulator.stop().await;
}

/// Each request is right, and together they use all that is documented.
fn check(provider: Provider, simulator: &Handle, requests: &[Seen]) {
    let mut sent = BTreeSet::new();
    let mut places = BTreeSet::new();
    for (at, request) in requests.iter().enumerate() {
        let parameters = rules::check(provider, request, &requests[..at]);
        let place = ["offset", "page[number]"].map(|name| parameters.get(name).cloned());
        places.extend(place.into_iter().flatten().map(|place| place.to_string()));
        sent.extend(parameters.into_keys());
    }
    let refused = simulator.requests(provider).refused;
    assert!(refused.is_empty(), "{provider:?}: {refused:?}");
    let by_cursor = matches!(provider, Provider::BegatewayDwh | Provider::BegatewayReport);
    assert_eq!(places.len() > 1, !by_cursor, "{provider:?}: {places:?}");
    let mut documented: BTreeSet<String> =
        serde_json::from_value(fixture(provider.slug(), "documented").json()).unwrap();
    for (_, names) in NEVER_SENT.iter().filter(|(known, _)| *known == provider) {
        documented.retain(|name| !names.contains(&name.as_str()));
    }
    assert_eq!(sent, documented, "{provider:?}");
}
