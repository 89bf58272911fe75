//! The actions of merchants and their customers at a provider, derived from a seed.

use crate::merchants::money::{
    Amount, CARD_CURRENCIES, CRYPTO_CURRENCIES, Currency, WALLET_CURRENCIES,
};
use crate::merchants::row::{Kind, Phase, Row};
use crate::merchants::table::Table;
use crate::random::Rng;
use crate::settings::{Provider, Settings};

pub(super) const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
pub(super) const DAY: i64 = 86_400 * SECOND;

/// Generates a provider's history: `settings.rows` rows between `settings.from` and `settings.until`.
pub(crate) fn history(provider: Provider, settings: &Settings) -> Table {
    let start = settings.from.timestamp_micros();
    let end = settings.until.timestamp_micros();
    let span = u64::try_from(end.saturating_sub(start)).unwrap_or(0);
    let wanted = usize::try_from(settings.rows).unwrap_or(usize::MAX);
    let burst = usize::try_from(settings.burst).unwrap_or(usize::MAX);
    let burst_at = (start + (end - start) / 2).div_euclid(SECOND) * SECOND;
    let mut merchant = Merchant::new(provider, settings.seed);
    let mut rows: Vec<Row> = Vec::with_capacity(wanted);
    let mut last = start;
    while rows.len() < wanted {
        let created = if rows.len() < burst {
            burst_at
        } else if merchant.rng.per_mille(160) {
            // The same second as the row before, at another microsecond.
            last.div_euclid(SECOND) * SECOND + merchant.micros(0, SECOND - 1)
        } else {
            start + signed(merchant.rng.below(span))
        };
        let created = created.clamp(start, end.saturating_sub(1).max(start));
        last = created;
        let mut row = merchant.new_payment(created);
        merchant.age(&mut row, end);
        let in_burst = rows.len() < burst;
        let position = rows.len();
        rows.push(row);
        if !in_burst {
            merchant.follow_ups(&mut rows, position, end, wanted);
        }
    }
    Table::new(&rows)
}

/// A provider's merchants, and their source of randomness.
#[derive(Debug)]
pub(crate) struct Merchant {
    pub(super) provider: Provider,
    pub(super) rng: Rng,
}

impl Merchant {
    pub(crate) fn new(provider: Provider, seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x5041_5953_594E_4321);
        for _ in 0..=provider.ordinal() {
            rng = Rng::new(rng.next_u64());
        }
        Self { provider, rng }
    }

    /// Inserts one new row: a payment, or a step after an older one; returns its position.
    pub(crate) fn insert_row(&mut self, table: &mut Table, now: i64) -> usize {
        let parent = self.rng.index(table.len());
        let original = table
            .row(parent)
            .filter(|row| row.phase == Phase::Succeeded)
            .copied();
        if let Some((original, kind)) = original
            .and_then(|row| Some((row, self.next_step(row.kind)?)))
            .filter(|_| self.rng.per_mille(150))
        {
            let mut row = self.next_row(&original, parent, kind, now);
            row.phase = Phase::Pending;
            return table.insert(row);
        }
        let mut row = self.new_payment(now);
        if self.rng.per_mille(400) {
            row.phase = self.outcome(&row);
            row.paid = self.has_paid_time(&row).then_some(now);
        }
        table.insert(row)
    }

    /// Changes a row: open rows end, ended rows are settled or corrected.
    pub(crate) fn advance(&mut self, table: &mut Table, position: usize, now: i64) {
        let Some(row) = table.row(position) else {
            return;
        };
        let mut next = *row;
        next.updated = now.max(row.updated.saturating_add(1));
        match row.phase {
            Phase::Authorized if self.rng.per_mille(700) => {
                next.phase = Phase::Succeeded;
                if self.rng.per_mille(500) {
                    next.amount = row.amount.share(self.rng.between(10, 99));
                }
            }
            Phase::Authorized => next.phase = Phase::Canceled,
            Phase::Opened | Phase::Pending | Phase::Approval => {
                next.phase = if row.authorized_first {
                    Phase::Authorized
                } else {
                    self.outcome(row)
                };
                next.paid = self.has_paid_time(&next).then_some(now);
            }
            // A customer may pay after the expiry.
            Phase::Expired if self.provider == Provider::Firekassa && self.rng.per_mille(500) => {
                next.phase = Phase::Succeeded;
                next.paid = Some(now);
            }
            Phase::Succeeded | Phase::Overpaid if row.settled.is_none() => {
                next.settled = Some(now);
            }
            _ => {
                next.corrected = Some(now);
                next.revision = row.revision.saturating_add(1);
            }
        }
        table.change(position, |row| *row = next);
    }

    /// The position of a row to change, preferably an open one.
    pub(crate) fn choose_row(&mut self, table: &Table) -> usize {
        let open = table.open();
        if !open.is_empty() && self.rng.per_mille(700) {
            let at = self.rng.index(open.len());
            return open.get(at).copied().unwrap_or(0);
        }
        self.rng.index(table.len())
    }

    /// A new, unfinished payment.
    fn new_payment(&mut self, created: i64) -> Row {
        let kind = self.kind();
        let currency = self.currency();
        let salt = self.rng.next_u64();
        Row {
            id: self.rng.next_u128(),
            salt,
            family: self.rng.next_u64(),
            kind,
            phase: if self.rng.per_mille(300) {
                Phase::Opened
            } else {
                Phase::Pending
            },
            authorized_first: self.provider == Provider::Convergegate
                && kind == Kind::Payment
                && self.rng.per_mille(200),
            test: self.provider.marks_tests() && self.rng.per_mille(30),
            amount: self.amount(currency),
            currency,
            created,
            updated: created,
            ..Row::default()
        }
    }

    /// Changes a row of the history to its state at `end`.
    pub(super) fn age(&mut self, row: &mut Row, end: i64) {
        let duration = if self.rng.per_mille(850) {
            self.micros(200_000, MINUTE)
        } else {
            self.micros(MINUTE, 2 * DAY)
        };
        let finished = row.created.saturating_add(duration);
        if finished >= end {
            return;
        }
        row.updated = finished;
        if row.authorized_first && self.rng.per_mille(200) {
            row.phase = Phase::Authorized;
            return;
        }
        row.phase = self.outcome(row);
        if row.authorized_first && row.phase == Phase::Succeeded && self.rng.per_mille(300) {
            row.amount = row.amount.share(self.rng.between(10, 99));
        }
        row.paid = self.has_paid_time(row).then_some(finished);
        let settled = finished.saturating_add(self.micros(DAY, 3 * DAY));
        if row.phase == Phase::Succeeded && settled < end && self.rng.per_mille(900) {
            row.settled = Some(settled);
            row.updated = settled;
        }
    }

    fn kind(&mut self) -> Kind {
        let percent = self.rng.below(100);
        match self.provider {
            Provider::Convergegate | Provider::Firekassa => match percent {
                0..=79 => Kind::Payment,
                _ => Kind::Payout,
            },
            Provider::Ecommpay => match percent {
                0..=54 => Kind::Payment,
                55..=74 => Kind::Authorization,
                75..=84 => Kind::Recurring,
                85..=94 => Kind::Payout,
                _ => Kind::Verification,
            },
            Provider::BegatewayDwh | Provider::BegatewayReport => match percent {
                0..=57 => Kind::Payment,
                58..=79 => Kind::Authorization,
                80..=85 => Kind::Verification,
                86..=93 => Kind::Payout,
                94..=96 => Kind::Credit,
                97..=98 => Kind::PeerToPeer,
                _ => Kind::Advice,
            },
        }
    }

    /// The final state of an attempt, among those that the provider knows.
    fn outcome(&mut self, row: &Row) -> Phase {
        let percent = self.rng.below(100);
        match self.provider {
            Provider::Convergegate => match percent {
                0..=77 => Phase::Succeeded,
                78..=91 => Phase::Failed,
                92..=98 => Phase::Canceled,
                _ => Phase::Approval,
            },
            Provider::BegatewayDwh | Provider::BegatewayReport => match percent {
                0..=79 => Phase::Succeeded,
                80..=81 => Phase::Broken,
                // The customer never returned from 3-D Secure.
                82..=84 if row.parent.is_none() => Phase::Opened,
                _ => Phase::Failed,
            },
            Provider::Ecommpay => match percent {
                0..=79 => Phase::Succeeded,
                80..=95 => Phase::Failed,
                96..=97 => Phase::Broken,
                _ => Phase::Expired,
            },
            Provider::Firekassa => match percent {
                0..=54 => Phase::Succeeded,
                55..=57 => Phase::Overpaid,
                58..=89 => Phase::Expired,
                90..=94 => Phase::Canceled,
                _ => Phase::Failed,
            },
        }
    }

    /// Whether the provider sets a time of payment; beGateway also does for failed attempts.
    fn has_paid_time(&self, row: &Row) -> bool {
        !row.phase.is_open()
            && match self.provider {
                Provider::BegatewayDwh | Provider::BegatewayReport => {
                    row.kind != Kind::Verification
                }
                _ => !row.phase.is_unsuccessful(),
            }
    }

    fn currency(&mut self) -> Currency {
        match self.provider {
            Provider::Firekassa => self.rng.choose(WALLET_CURRENCIES),
            Provider::Convergegate if self.rng.per_mille(100) => self.rng.choose(CRYPTO_CURRENCIES),
            _ => self.rng.choose(CARD_CURRENCIES),
        }
    }

    fn amount(&mut self, currency: Currency) -> Amount {
        let whole = u128::from(self.rng.between(1, 5_000));
        let scale = match self.provider {
            Provider::BegatewayDwh | Provider::BegatewayReport => currency.begateway,
            Provider::Ecommpay => currency.iso,
            Provider::Firekassa => 2,
            Provider::Convergegate => match self.rng.below(8) {
                0..=2 => 0,
                3..=6 => currency.iso,
                _ => u8::try_from(self.rng.between(3, 18)).unwrap_or(18),
            },
        };
        let unit = 10_u128.pow(u32::from(scale));
        Amount::new(
            whole * unit + self.rng.next_u128().checked_rem(unit).unwrap_or(0),
            scale,
        )
    }

    pub(super) fn micros(&mut self, low: i64, high: i64) -> i64 {
        let width = u64::try_from(high.saturating_sub(low)).unwrap_or(0);
        low.saturating_add(signed(self.rng.below(width.saturating_add(1))))
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::history;
    use crate::merchants::row::{Axis, Kind, Phase};
    use crate::settings::{Provider, Settings};

    #[test]
    fn a_history_is_deterministic_and_within_its_span() {
        let settings = Settings {
            rows: 3_000,
            burst: 200,
            ..Settings::for_tests()
        };
        for provider in Provider::ALL {
            let table = history(provider, &settings);
            let again = history(provider, &settings);
            assert_eq!(table.len(), 3_000);
            let span = settings.from.timestamp_micros()..settings.until.timestamp_micros();
            assert_eq!(table.between(Axis::Created, span.clone()).count(), 3_000);
            assert_eq!(table.between(Axis::Updated, span).count(), 3_000);
            for position in 0..table.len() {
                let (row, twin) = (table.row(position).unwrap(), again.row(position).unwrap());
                assert_eq!(
                    (row.id, row.updated, row.amount),
                    (twin.id, twin.updated, twin.amount)
                );
                if let Some(parent) = table.parent(row) {
                    assert!(parent.created <= row.created);
                    assert_eq!(parent.family, row.family);
                }
            }
        }
    }

    #[test]
    fn every_kind_and_open_rows_occur() {
        let settings = Settings {
            rows: 5_000,
            ..Settings::for_tests()
        };
        let table = history(Provider::BegatewayDwh, &settings);
        for kind in [
            Kind::Capture,
            Kind::Void,
            Kind::Refund,
            Kind::Chargeback,
            Kind::Advice,
        ] {
            assert!(
                (0..table.len()).any(|at| table.row(at).unwrap().kind == kind),
                "{kind:?}"
            );
        }
        assert!(!table.open().is_empty());
        let table = history(Provider::Convergegate, &settings);
        assert!((0..table.len()).any(|at| table.row(at).unwrap().phase == Phase::Authorized));
    }

    #[test]
    fn the_burst_shares_one_instant() {
        let settings = Settings {
            rows: 500,
            burst: 200,
            ..Settings::for_tests()
        };
        let table = history(Provider::BegatewayDwh, &settings);
        let mut counts = std::collections::BTreeMap::new();
        for position in 0..table.len() {
            *counts
                .entry(table.row(position).unwrap().created)
                .or_insert(0) += 1;
        }
        assert_eq!(counts.values().max(), Some(&200));
    }
}
