//! The ledger of payments, from the links between rows.
//!
//! A reader only knows the links that an API sends; the simulator knows all parents.

use std::collections::BTreeMap;

use serde::Serialize;

use super::transaction::ledger_row;
use crate::merchants::money::Amount;
use crate::merchants::row::{Kind, Phase, Row};
use crate::merchants::table::Table;
use crate::providers::firekassa;
use crate::settings::Provider;

/// A payment that paysync's view `payments` should have; amounts as in `LedgerRow`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LedgerPayment {
    pub payment_id: String,
    pub state: String,
    pub currency: String,
    pub amount: String,
    pub authorized_amount: Option<String>,
    pub captured_amount: String,
    pub reversed_amount: String,
    pub refunded_amount: String,
    pub charged_back_amount: String,
    pub net_amount: String,
    pub steps: String,
}

/// The sums of a payment's rows, in the units of its first amount.
#[derive(Debug, Default)]
struct Totals {
    authorized: Option<u128>,
    captured: Option<u128>,
    reversed: u128,
    refunded: u128,
    charged_back: Option<u128>,
    is_voided: bool,
    steps: usize,
}

/// All payments except tests, in the order of creation.
pub(crate) fn payments(provider: Provider, table: &Table) -> Vec<LedgerPayment> {
    let mut payments: BTreeMap<usize, Totals> = BTreeMap::new();
    for (position, row) in (0..table.len()).filter_map(|at| Some((at, table.row(at)?))) {
        let first = root_of(table, position);
        let starts = table.row(first).is_some_and(|first| {
            !first.test
                && matches!(
                    first.kind,
                    Kind::Payment | Kind::Recurring | Kind::PeerToPeer | Kind::Authorization
                )
        });
        if starts {
            add(payments.entry(first).or_default(), provider, table, row);
        }
    }
    payments
        .iter()
        .filter_map(|(first, totals)| Some(payment(provider, table, table.row(*first)?, totals)))
        .collect()
}

fn root_of(table: &Table, mut position: usize) -> usize {
    while let Some(parent) = table.row(position).and_then(|row| row.parent) {
        position = parent;
    }
    position
}

fn add(totals: &mut Totals, provider: Provider, table: &Table, row: &Row) {
    totals.steps += 1;
    let digits = match provider {
        Provider::Firekassa => firekassa::item::paid(row).digits,
        _ => row.amount.digits,
    };
    if row.phase == Phase::Authorized {
        totals.authorized = Some(digits);
    }
    if !matches!(row.phase, Phase::Succeeded | Phase::Overpaid) {
        return;
    }
    match row.kind {
        Kind::Authorization => totals.authorized = Some(totals.authorized.unwrap_or(0) + digits),
        Kind::Payment | Kind::Recurring | Kind::PeerToPeer | Kind::Capture => {
            totals.captured = Some(totals.captured.unwrap_or(0) + digits);
        }
        Kind::Refund => totals.refunded += digits,
        Kind::Chargeback => totals.charged_back = Some(totals.charged_back.unwrap_or(0) + digits),
        Kind::Reversal => totals.reversed += digits,
        Kind::Void => match table.parent(row).map(|parent| parent.kind) {
            Some(Kind::Authorization) => totals.is_voided = true,
            _ => totals.reversed += digits,
        },
        Kind::Payout | Kind::Credit | Kind::Verification | Kind::Advice => {}
    }
}

fn payment(provider: Provider, table: &Table, first: &Row, totals: &Totals) -> LedgerPayment {
    let text = |digits: u128| Amount::new(digits, first.amount.scale).canonical();
    let captured = totals.captured.unwrap_or(0);
    let returned = totals.reversed + totals.refunded + totals.charged_back.unwrap_or(0);
    let net = if returned > captured {
        format!("-{}", text(returned - captured))
    } else {
        text(captured - returned)
    };
    LedgerPayment {
        payment_id: ledger_row(provider, table, first).provider_transaction_id,
        state: state(first, totals).to_owned(),
        currency: first.currency.code.to_owned(),
        amount: first.amount.canonical(),
        authorized_amount: totals.authorized.map(text),
        captured_amount: text(captured),
        reversed_amount: text(totals.reversed),
        refunded_amount: text(totals.refunded),
        charged_back_amount: text(totals.charged_back.unwrap_or(0)),
        net_amount: net,
        steps: totals.steps.to_string(),
    }
}

fn state(first: &Row, totals: &Totals) -> &'static str {
    if totals.charged_back.is_some() {
        return "charged_back";
    }
    if let Some(captured) = totals.captured {
        let returned = totals.reversed + totals.refunded;
        return match totals.authorized {
            _ if returned > 0 && returned < captured => "partially_refunded",
            _ if returned > 0 && totals.refunded > 0 => "refunded",
            _ if returned > 0 => "voided",
            Some(authorized) if captured < authorized => "partially_captured",
            _ => "captured",
        };
    }
    if totals.is_voided {
        return "voided";
    }
    if totals.authorized.is_some() {
        return "authorized";
    }
    match first.phase {
        Phase::Opened | Phase::Pending | Phase::Approval => "pending",
        Phase::Failed | Phase::Broken => "failed",
        Phase::Canceled | Phase::Expired => "canceled",
        Phase::Authorized | Phase::Succeeded | Phase::Overpaid => "unknown",
    }
}
