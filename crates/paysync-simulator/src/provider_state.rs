//! A provider's rows, merchants and pending faults.

use std::collections::VecDeque;

use crate::fault::Fault;
use crate::ledger::{self, LedgerPayment, LedgerRow};
use crate::merchants::merchant::{self, Merchant};
use crate::merchants::table::Table;
use crate::providers::protocol::{Answer, Call};
use crate::providers::row_cache::RowCache;
use crate::providers::{begateway_dwh, begateway_report, convergegate, ecommpay, firekassa};
use crate::random::Rng;
use crate::settings::{BetweenPages, Provider, Settings};

/// Microseconds between the changes of `Settings::changed` and the end of the history: polls do not read
/// back so far.
const CHANGED_BEFORE_END: i64 = 3_600_000_000;

#[derive(Debug)]
pub(crate) struct ProviderState {
    provider: Provider,
    table: Table,
    cache: RowCache,
    merchant: Merchant,
    rng: Rng,
    requests: u64,
    pub(crate) between_pages: BetweenPages,
    pub(crate) fail_per_mille: u32,
    pub(crate) faults: VecDeque<Fault>,
}

impl ProviderState {
    pub(crate) fn new(provider: Provider, settings: &Settings) -> Self {
        let mut table = merchant::history(provider, settings);
        if let Ok(step @ 1..) = usize::try_from(settings.changed) {
            // A generator of its own, so that later rows do not depend on these changes.
            let mut merchant = Merchant::new(provider, settings.seed.wrapping_add(2));
            let late = settings.until.timestamp_micros() - CHANGED_BEFORE_END;
            for position in (0..table.len()).step_by(step) {
                let row = table.row(position).copied().unwrap_or_default();
                merchant.advance(&mut table, position, late.max(row.updated + 1));
            }
        }
        Self {
            provider,
            table,
            cache: RowCache::new(settings.keep),
            merchant: Merchant::new(provider, settings.seed.wrapping_add(1)),
            rng: Rng::new(settings.seed ^ u64::from(provider.ordinal())),
            requests: 0,
            between_pages: settings.between_pages,
            fail_per_mille: settings.fail_per_mille,
            faults: VecDeque::new(),
        }
    }

    /// The number of the next request, from 1.
    pub(crate) fn next_request(&mut self) -> u64 {
        self.requests = self.requests.saturating_add(1);
        self.requests
    }

    /// The fault of the next answer: the first of the queue, or a random one.
    pub(crate) fn next_fault(&mut self) -> Option<Fault> {
        self.faults.pop_front().or_else(|| {
            self.rng
                .per_mille(self.fail_per_mille)
                .then(|| Fault::random(&mut self.rng))
        })
    }

    /// The answer to a call; after a page, rows change by `between_pages`.
    pub(crate) fn answer(&mut self, settings: &Settings, call: &Call) -> Answer {
        let answer = match self.provider {
            Provider::Convergegate => convergegate::answer,
            Provider::BegatewayDwh => begateway_dwh::answer,
            Provider::BegatewayReport => begateway_report::answer,
            Provider::Ecommpay => ecommpay::answer,
            Provider::Firekassa => firekassa::answer,
        };
        let (Ok(answer) | Err(answer)) = answer(&self.table, &mut self.cache, settings, call);
        if let Some(positions) = &answer.page {
            let now = call.now.timestamp_micros();
            for _ in 0..self.between_pages.insert {
                self.merchant.insert_row(&mut self.table, now);
            }
            let updates = usize::try_from(self.between_pages.update).unwrap_or(usize::MAX);
            for &position in positions.iter().take(updates) {
                self.merchant.advance(&mut self.table, position, now);
            }
        }
        answer
    }

    /// Inserts `count` rows, created `now`; returns their ids.
    pub(crate) fn insert(&mut self, count: u32, now: i64) -> Vec<String> {
        (0..count)
            .map(|_| self.merchant.insert_row(&mut self.table, now))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|position| self.id(position))
            .collect()
    }

    /// Changes `count` rows `now`, preferably open ones; returns their ids.
    pub(crate) fn touch(&mut self, count: u32, now: i64) -> Vec<String> {
        (0..count)
            .map(|_| {
                let position = self.merchant.choose_row(&self.table);
                self.merchant.advance(&mut self.table, position, now);
                self.id(position)
            })
            .collect()
    }

    /// Changes the row with this id `now`; false if there is none.
    pub(crate) fn touch_one(&mut self, id: &str, now: i64) -> bool {
        let position = (0..self.table.len()).find(|&position| self.id(position) == id);
        if let Some(position) = position {
            self.merchant.advance(&mut self.table, position, now);
        }
        position.is_some()
    }

    /// Up to `count` lines of the ledger, from the row at `start`.
    pub(crate) fn ledger(&self, start: usize, count: usize) -> Vec<LedgerRow> {
        (start..start.saturating_add(count))
            .map_while(|position| self.table.row(position))
            .map(|row| ledger::ledger_row(self.provider, &self.table, row))
            .collect()
    }

    pub(crate) fn payments(&self) -> Vec<LedgerPayment> {
        ledger::payments(self.provider, &self.table)
    }

    fn id(&self, position: usize) -> String {
        self.table
            .row(position)
            .map(|row| ledger::ledger_row(self.provider, &self.table, row).provider_transaction_id)
            .unwrap_or_default()
    }
}
