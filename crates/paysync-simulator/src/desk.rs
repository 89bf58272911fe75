//! One provider's side of the counter: its rows, its merchants, its faults to come.

use std::collections::VecDeque;

use super::dice::Dice;
use super::exchange::{Answer, Call};
use super::fault::{self, Fault};
use super::kept::Kept;
use super::ledger::{self, LedgerPayment, LedgerRow};
use super::merchant::{self, Merchant};
use super::settings::{BetweenPages, Provider, Settings};
use super::world::World;
use super::{begateway_dwh, begateway_report, convergegate, ecommpay, firekassa};

/// Before the end of the history, microseconds: out of the reach of polls, which look for what is new.
const LATE: i64 = 3_600_000_000;

/// What a provider's lock protects.
#[derive(Debug)]
pub(crate) struct Desk {
    provider: Provider,
    world: World,
    kept: Kept,
    merchant: Merchant,
    dice: Dice,
    requests: u64,
    pub(crate) between_pages: BetweenPages,
    pub(crate) fail_per_mille: u32,
    pub(crate) faults: VecDeque<Fault>,
}

impl Desk {
    pub(crate) fn new(provider: Provider, settings: &Settings) -> Self {
        let mut world = merchant::history(provider, settings);
        if let Ok(step @ 1..) = usize::try_from(settings.changed) {
            // Merchants of their own: what comes later is as without these changes.
            let mut merchant = Merchant::new(provider, settings.seed.wrapping_add(2));
            let late = settings.until.timestamp_micros() - LATE;
            for place in (0..world.len()).step_by(step) {
                let row = world.row(place).copied().unwrap_or_default();
                merchant.advance(&mut world, place, late.max(row.updated + 1));
            }
        }
        Self {
            provider,
            world,
            kept: Kept::new(settings.keep),
            merchant: Merchant::new(provider, settings.seed.wrapping_add(1)),
            dice: Dice::new(settings.seed ^ u64::from(provider.position())),
            requests: 0,
            between_pages: settings.between_pages,
            fail_per_mille: settings.fail_per_mille,
            faults: VecDeque::new(),
        }
    }

    /// Counts the requests of this provider, from 1.
    pub(crate) fn next_request(&mut self) -> u64 {
        self.requests = self.requests.saturating_add(1);
        self.requests
    }

    /// The fault that the next answer meets, by order or by chance.
    pub(crate) fn next_fault(&mut self) -> Option<Fault> {
        let ordered = self.faults.pop_front();
        ordered.or_else(|| {
            self.dice
                .per_mille(self.fail_per_mille)
                .then(|| fault::any(&mut self.dice))
        })
    }

    /// The answer to a call; after a page, rows move as `between_pages` says.
    pub(crate) fn answer(&mut self, settings: &Settings, call: &Call) -> Answer {
        let answer = match self.provider {
            Provider::Convergegate => convergegate::answer,
            Provider::BegatewayDwh => begateway_dwh::answer,
            Provider::BegatewayReport => begateway_report::answer,
            Provider::Ecommpay => ecommpay::answer,
            Provider::Firekassa => firekassa::answer,
        };
        let answer = answer(&self.world, &mut self.kept, settings, call);
        if let Some(places) = &answer.page {
            let now = call.now.timestamp_micros();
            for _ in 0..self.between_pages.insert {
                self.merchant.act(&mut self.world, now);
            }
            let updates = usize::try_from(self.between_pages.update).unwrap_or(usize::MAX);
            for &place in places.iter().take(updates) {
                self.merchant.advance(&mut self.world, place, now);
            }
        }
        answer
    }

    /// Inserts `count` rows created `now`; their identifiers.
    pub(crate) fn insert(&mut self, count: u32, now: i64) -> Vec<String> {
        (0..count)
            .map(|_| self.merchant.act(&mut self.world, now))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|place| self.id(place))
            .collect()
    }

    /// Changes `count` rows `now`, open ones first of all; their identifiers.
    pub(crate) fn touch(&mut self, count: u32, now: i64) -> Vec<String> {
        (0..count)
            .map(|_| {
                let place = self.merchant.choose(&self.world);
                self.merchant.advance(&mut self.world, place, now);
                self.id(place)
            })
            .collect()
    }

    /// Changes the row with this identifier `now`; false if there is none.
    pub(crate) fn touch_one(&mut self, id: &str, now: i64) -> bool {
        let place = (0..self.world.len()).find(|&place| self.id(place) == id);
        if let Some(place) = place {
            self.merchant.advance(&mut self.world, place, now);
        }
        place.is_some()
    }

    /// Up to `count` lines of the ledger from the row at `start` on.
    pub(crate) fn ledger(&self, start: usize, count: usize) -> Vec<LedgerRow> {
        (start..start.saturating_add(count))
            .map_while(|place| self.world.row(place))
            .map(|row| ledger::line(self.provider, &self.world, row))
            .collect()
    }

    pub(crate) fn payments(&self) -> Vec<LedgerPayment> {
        ledger::payments(self.provider, &self.world)
    }

    fn id(&self, place: usize) -> String {
        self.world
            .row(place)
            .map(|row| ledger::line(self.provider, &self.world, row).provider_transaction_id)
            .unwrap_or_default()
    }
}
