//! The ledger of transactions.

use super::row::LedgerRow;
use super::{begateway, convergegate, ecommpay, firekassa};
use crate::merchants::details::{Details, non_empty};
use crate::merchants::row::{Kind, Phase, Row};
use crate::merchants::table::Table;
use crate::settings::Provider;

pub(crate) fn ledger_row(provider: Provider, table: &Table, row: &Row) -> LedgerRow {
    let details = Details::of(row);
    let shared = LedgerRow {
        kind: kind(row).to_owned(),
        status: status(row).to_owned(),
        amount: Some(row.amount.canonical()),
        currency: Some(row.currency.code.to_owned()),
        description: non_empty(details.description.clone()),
        ..LedgerRow::default()
    };
    match provider {
        Provider::Convergegate => convergegate::line(shared, table, row, &details),
        Provider::BegatewayDwh => begateway::dwh(shared, table, row, &details),
        Provider::BegatewayReport => begateway::report(shared, table, row, &details),
        Provider::Ecommpay => ecommpay::line(shared, row, &details),
        Provider::Firekassa => firekassa::line(shared, row, &details),
    }
}

fn kind(row: &Row) -> &'static str {
    match row.kind {
        Kind::Payment | Kind::Recurring | Kind::PeerToPeer => "payment",
        Kind::Authorization => "authorization",
        Kind::Capture => "capture",
        Kind::Void | Kind::Reversal => "void",
        Kind::Refund => "refund",
        Kind::Payout | Kind::Credit => "payout",
        Kind::Chargeback => "chargeback",
        Kind::Verification => "verification",
        Kind::Advice => "other",
    }
}

fn status(row: &Row) -> &'static str {
    match row.phase {
        Phase::Opened | Phase::Pending | Phase::Approval => "pending",
        Phase::Authorized => "authorized",
        Phase::Succeeded | Phase::Overpaid => "succeeded",
        Phase::Failed | Phase::Broken => "failed",
        Phase::Canceled | Phase::Expired => "canceled",
    }
}
