//! Every query of the dashboards in deploy/grafana, run on real data as Grafana would run it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{SecondsFormat, TimeDelta};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Column as _, PgConnection, PgPool, Row as _};

use crate::support::{account_of, config_text, history, now, providers, start, sync_covers};

/// Panels that rightly show nothing while all is well or nothing of the kind has happened.
const MAY_BE_EMPTY: [&str; 4] = [
    "Gaps",
    "Not settled after three days",
    "Charged twice?",
    "Worst BINs",
];

/// The dashboards by file name.
fn dashboards() -> BTreeMap<String, Value> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana/dashboards");
    let files = std::fs::read_dir(directory).unwrap();
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        (name, serde_json::from_str(&text).unwrap())
    };
    files.map(read).collect()
}

/// What Grafana's data source for PostgreSQL makes of its macros.
fn expand(sql: &str, from: &str, to: &str) -> String {
    let sql = sql
        .replace("$__timeFrom()", &format!("'{from}'"))
        .replace("$__timeTo()", &format!("'{to}'"));
    let sql = replace_calls(&sql, "$__timeFilter(", |column| {
        format!("{column} BETWEEN '{from}' AND '{to}'")
    });
    replace_calls(&sql, "$__timeGroup(", |arguments| {
        let (column, length) = arguments.split_once(',').unwrap();
        assert_eq!(length.trim(), "'1d'");
        format!("floor(extract(epoch from {column})/86400)*86400")
    })
}

/// Calls hold no brackets of their own.
fn replace_calls(sql: &str, call: &str, with: impl Fn(&str) -> String) -> String {
    let mut parts = sql.split(call);
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |done, part| {
        let (arguments, rest) = part.split_once(')').unwrap();
        done + &with(arguments) + rest
    })
}

/// Values as Grafana writes those of a variable with several.
fn quoted(values: &[String]) -> String {
    let values: Vec<String> = values
        .iter()
        .map(|value| format!("'{}'", value.replace('\'', "''")))
        .collect();
    values.join(",")
}

async fn query(reader: &mut PgConnection, what: &str, sql: &str) -> Vec<sqlx::postgres::PgRow> {
    assert!(!sql.contains('$'), "{what}: what is meant by {sql}");
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .fetch_all(reader)
        .await
        .unwrap_or_else(|error| panic!("{what}: {error}: {sql}"))
}

#[sqlx::test(migrations = "./migrations")]
async fn every_panel_of_the_dashboards_shows_data(pool: PgPool) {
    let simulator = start(history(900, 20)).await;
    sync_covers(&config_text(&simulator, &pool, &providers(), "")).await;
    let mut reader = pool.acquire().await.unwrap();
    sqlx::raw_sql("SET ROLE paysync_bi")
        .execute(&mut *reader)
        .await
        .unwrap();
    let time = |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let (from, to) = (time(now() - TimeDelta::days(30)), time(now()));
    let dashboards = dashboards();
    assert!(dashboards.len() >= 4, "{:?}", dashboards.keys());
    let mut asked = 0;
    for (name, dashboard) in &dashboards {
        let mut variables = BTreeMap::new();
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            let named = variable["name"].as_str().unwrap();
            let sql = fill(variable["query"].as_str().unwrap(), &variables);
            let rows = query(&mut reader, named, &sql).await;
            let values: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            assert!(!values.is_empty(), "{name}: {named} has no value");
            variables.insert(named.to_owned(), quoted(&values));
        }
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            let what = format!("{name}: {title}");
            for target in panel["targets"].as_array().unwrap() {
                let sql = target["rawSql"].as_str().unwrap();
                assert!(sql.contains("$account"), "{what} shows every account");
                let sql = expand(&fill(sql, &variables), &from, &to);
                let rows = query(&mut reader, &what, &sql).await;
                asked += 1;
                assert!(
                    !rows.is_empty() || MAY_BE_EMPTY.contains(&title),
                    "{what} is empty: {sql}"
                );
                if target["format"] == "time_series" {
                    assert_eq!(rows[0].columns()[0].name(), "time", "{what}");
                }
            }
        }
    }
    assert!(asked >= 25, "only {asked} queries");
    // The dashboard counts every row.
    let accounts: Vec<String> = providers().into_iter().map(account_of).collect();
    let overview = &dashboards["payments"]["panels"];
    let status = overview
        .as_array()
        .unwrap()
        .iter()
        .find(|panel| panel["title"] == "Transactions by status");
    let sql = status.unwrap()["targets"][0]["rawSql"].as_str().unwrap();
    let currencies = dashboards["payments"]["templating"]["list"][1]["query"]
        .as_str()
        .unwrap();
    let mut variables = BTreeMap::from([("account".to_owned(), quoted(&accounts))]);
    let rows = query(&mut reader, "currency", &fill(currencies, &variables)).await;
    let currencies: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    variables.insert("currency".to_owned(), quoted(&currencies));
    let inner = expand(&fill(sql, &variables), &from, &to);
    let rows = query(
        &mut reader,
        "sum",
        &format!("SELECT sum(transactions)::bigint FROM ({inner}) AS shown"),
    )
    .await;
    let all = "SELECT count(*) FROM paysync.transactions WHERE is_test IS NOT TRUE AND currency IS NOT NULL";
    let held: i64 = sqlx::query_scalar(all).fetch_one(&pool).await.unwrap();
    assert_eq!(rows[0].get::<i64, _>(0), held);
    simulator.stop().await;
}

fn fill(sql: &str, variables: &BTreeMap<String, String>) -> String {
    variables
        .iter()
        .fold(sql.to_owned(), |sql, (name, values)| {
            sql.replace(&format!("${name}"), values)
        })
}
