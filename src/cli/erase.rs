//! `paysync erase`: erases the data of one person and keeps the sums.

use anyhow::bail;
use serde_json::json;
use tracing::info;

use super::interface::confirmation::Confirmation;
use super::interface::output::{self, grouped};
use crate::app::{self, UsageError};
use crate::config::Config;
use crate::store::Store;
use crate::store::retention::erase::Erased;
use crate::telemetry;

/// Rows erased by one transaction.
const BATCH: usize = 500;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The person: the customer's id or e-mail address, exactly as it is stored
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    customer: String,
    /// Only this account, which need not be configured
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// The data of the person in one account.
struct Found {
    account: String,
    ids: Vec<String>,
    counts: Erased,
    /// Items in quarantine that contain the text and are left.
    mentions: u64,
}

pub(crate) async fn run(config: &Config, args: &Args) -> anyhow::Result<bool> {
    if args.customer.trim().is_empty() {
        return Err(UsageError("--customer is empty: name one person".to_owned()).into());
    }
    args.confirmation.check()?;
    let Confirmation { dry_run, json, .. } = args.confirmation;
    telemetry::init(config.log.format, &config.log.filter)?;
    let store = app::store(config)?;
    store.reach().await?;
    if !dry_run {
        store.migrate().await?;
    }
    let mut found = find(&store, args).await?;
    let is_found = found.iter().any(|found| !found.ids.is_empty());
    if !json {
        for line in found.iter().flat_map(|found| lines(found, dry_run)) {
            output::line(line);
        }
        if !is_found {
            bail!(
                "no transaction has this customer_id or customer_email: write it exactly as it is stored; \
                 nothing was changed"
            );
        }
    }
    if !dry_run {
        let question = "erase this person? it cannot be undone";
        if !args.confirmation.ask(question)? {
            output::line("nothing was changed");
            return Ok(false);
        }
        for found in found.iter_mut().filter(|found| !found.ids.is_empty()) {
            found.counts = erase(&store, found).await?;
            if !json {
                let (account, erased) = (&found.account, words(&found.counts));
                output::line(format!("{account}: erased: {erased}"));
            }
        }
    }
    if json {
        output::json(&json!({
            "erased": !dry_run && is_found,
            "accounts": found.iter().map(report).collect::<Vec<_>>(),
        }))?;
    }
    Ok(is_found)
}

async fn find(store: &Store, args: &Args) -> anyhow::Result<Vec<Found>> {
    let mut all = Vec::new();
    for account in app::stored_accounts(store, args.account.as_deref()).await? {
        let ids = store.rows_of_person(&account, &args.customer).await?;
        all.push(Found {
            counts: store.preview_erase(&account, &ids).await?,
            mentions: store.other_mentions(&account, &args.customer, &ids).await?,
            account,
            ids,
        });
    }
    Ok(all)
}

async fn erase(store: &Store, found: &Found) -> anyhow::Result<Erased> {
    let mut erased = Erased::default();
    for ids in found.ids.chunks(BATCH) {
        erased += store.erase(&found.account, ids).await?;
    }
    if erased != Erased::default() {
        // The log must not name the person.
        info!(
            account.id = found.account,
            rows = erased.rows,
            versions = erased.versions,
            payloads = erased.payloads,
            quarantined = erased.quarantined,
            "a person was erased"
        );
    }
    Ok(erased)
}

fn report(found: &Found) -> serde_json::Value {
    json!({
        "id": found.account,
        "rows": found.counts.rows,
        "versions": found.counts.versions,
        "payloads": found.counts.payloads,
        "quarantined": found.counts.quarantined,
        "left_in_quarantine": found.mentions,
    })
}

/// `acme: 3 rows, 1 replaced versions, 3 payloads, 0 items in quarantine to erase`, and the items left.
fn lines(found: &Found, dry_run: bool) -> Vec<String> {
    let mut lines = Vec::new();
    if !found.ids.is_empty() {
        let would = if dry_run {
            "would be erased"
        } else {
            "to erase"
        };
        let (account, counts) = (&found.account, words(&found.counts));
        lines.push(format!("{account}: {counts} {would}"));
    }
    if found.mentions > 0 {
        lines.push(format!(
            "{}: {} items in quarantine contain this text and belong to none of these rows: they are left; \
             erase again after paysync replay has read them, or delete them from paysync.quarantine",
            found.account,
            grouped(found.mentions)
        ));
    }
    lines
}

fn words(counts: &Erased) -> String {
    format!(
        "{} rows, {} replaced versions, {} payloads, {} items in quarantine",
        grouped(counts.rows),
        grouped(counts.versions),
        grouped(counts.payloads),
        grouped(counts.quarantined)
    )
}
