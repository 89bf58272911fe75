//! The truth about whole payments: what became of each, told from the rows' own links.
//!
//! A reader only sees what an API tells of these links; the simulator knows the places of parents.

use std::collections::BTreeMap;

use serde::Serialize;

use super::line;
use crate::firekassa;
use crate::money::Amount;
use crate::settings::Provider;
use crate::world::{Kind, Phase, Row, World};

/// One payment as paysync's view `payments` should have it; amounts as in `LedgerRow`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[allow(missing_docs, reason = "the fields are columns of `payments`")]
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

/// What happened to the money of a payment, in smallest units of its first amount.
#[derive(Debug, Default)]
struct Story {
    held: Option<u128>,
    taken: Option<u128>,
    undone: u128,
    refunded: u128,
    disputed: Option<u128>,
    is_released: bool,
    steps: usize,
}

/// Every payment that is no test, in the order of creation.
pub(crate) fn payments(provider: Provider, world: &World) -> Vec<LedgerPayment> {
    let mut stories: BTreeMap<usize, Story> = BTreeMap::new();
    for (place, row) in (0..world.len()).filter_map(|at| Some((at, world.row(at)?))) {
        let first = first_of(world, place);
        let starts = world.row(first).is_some_and(|first| {
            !first.test
                && matches!(
                    first.kind,
                    Kind::Payment | Kind::Recurring | Kind::PeerToPeer | Kind::Authorization
                )
        });
        if starts {
            tell(stories.entry(first).or_default(), provider, world, row);
        }
    }
    stories
        .iter()
        .filter_map(|(first, story)| Some(payment(provider, world, world.row(*first)?, story)))
        .collect()
}

fn first_of(world: &World, mut place: usize) -> usize {
    while let Some(parent) = world.row(place).and_then(|row| row.parent) {
        place = parent;
    }
    place
}

fn tell(story: &mut Story, provider: Provider, world: &World, row: &Row) {
    story.steps += 1;
    let digits = match provider {
        Provider::Firekassa => firekassa::item::paid(row).digits,
        _ => row.amount.digits,
    };
    if row.phase == Phase::Held {
        story.held = Some(digits);
    }
    if !matches!(row.phase, Phase::Succeeded | Phase::Overpaid) {
        return;
    }
    match row.kind {
        Kind::Authorization => story.held = Some(story.held.unwrap_or(0) + digits),
        Kind::Payment | Kind::Recurring | Kind::PeerToPeer | Kind::Capture => {
            story.taken = Some(story.taken.unwrap_or(0) + digits);
        }
        Kind::Refund => story.refunded += digits,
        Kind::Chargeback => story.disputed = Some(story.disputed.unwrap_or(0) + digits),
        Kind::Reversal => story.undone += digits,
        Kind::Void => match world.parent(row).map(|parent| parent.kind) {
            Some(Kind::Authorization) => story.is_released = true,
            _ => story.undone += digits,
        },
        Kind::Payout | Kind::Credit | Kind::Verification | Kind::Advice => {}
    }
}

fn payment(provider: Provider, world: &World, first: &Row, story: &Story) -> LedgerPayment {
    let text = |digits: u128| Amount::new(digits, first.amount.scale).canonical();
    let taken = story.taken.unwrap_or(0);
    let gone = story.undone + story.refunded + story.disputed.unwrap_or(0);
    let net = if gone > taken {
        format!("-{}", text(gone - taken))
    } else {
        text(taken - gone)
    };
    LedgerPayment {
        payment_id: line(provider, world, first).provider_transaction_id,
        state: state(first, story).to_owned(),
        currency: first.currency.code.to_owned(),
        amount: first.amount.canonical(),
        authorized_amount: story.held.map(text),
        captured_amount: text(taken),
        reversed_amount: text(story.undone),
        refunded_amount: text(story.refunded),
        charged_back_amount: text(story.disputed.unwrap_or(0)),
        net_amount: net,
        steps: story.steps.to_string(),
    }
}

fn state(first: &Row, story: &Story) -> &'static str {
    if story.disputed.is_some() {
        return "charged_back";
    }
    if let Some(taken) = story.taken {
        let back = story.undone + story.refunded;
        return match story.held {
            _ if back > 0 && back < taken => "partially_refunded",
            _ if back > 0 && story.refunded > 0 => "refunded",
            _ if back > 0 => "voided",
            Some(held) if taken < held => "partially_captured",
            _ => "captured",
        };
    }
    if story.is_released {
        return "voided";
    }
    if story.held.is_some() {
        return "authorized";
    }
    match first.phase {
        Phase::Opened | Phase::Pending | Phase::Approval => "pending",
        Phase::Failed | Phase::Broken => "failed",
        Phase::Canceled | Phase::Expired => "canceled",
        Phase::Held | Phase::Succeeded | Phase::Overpaid => "unknown",
    }
}
