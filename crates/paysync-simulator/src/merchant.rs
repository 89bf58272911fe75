//! The merchants: what they and their customers do at a provider, by seed.

mod steps;

use super::dice::Dice;
use super::money::{Amount, CARD_CURRENCIES, CRYPTO_CURRENCIES, Currency, WALLET_CURRENCIES};
use super::settings::{Provider, Settings};
use super::world::{Kind, Phase, Row, World};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 86_400 * SECOND;

/// Makes a provider's history: `settings.rows` rows between `settings.from` and `settings.until`.
pub(crate) fn history(provider: Provider, settings: &Settings) -> World {
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
        } else if merchant.dice.per_mille(160) {
            // The same second as the row before, at another microsecond.
            last.div_euclid(SECOND) * SECOND + merchant.micros(0, SECOND - 1)
        } else {
            start + signed(merchant.dice.below(span))
        };
        let created = created.clamp(start, end.saturating_sub(1).max(start));
        last = created;
        let mut row = merchant.open(created);
        merchant.age(&mut row, end);
        let in_burst = rows.len() < burst;
        let place = rows.len();
        rows.push(row);
        if !in_burst {
            merchant.follow_ups(&mut rows, place, end, wanted);
        }
    }
    World::new(&rows)
}

/// One provider's merchants and the chance that drives them.
#[derive(Debug)]
pub(crate) struct Merchant {
    provider: Provider,
    dice: Dice,
}

impl Merchant {
    pub(crate) fn new(provider: Provider, seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x5041_5953_594E_4321);
        for _ in 0..=provider.position() {
            dice = Dice::new(dice.roll());
        }
        Self { provider, dice }
    }

    /// Puts one new row into the world: a payment, or a step that follows from an older one.
    pub(crate) fn act(&mut self, world: &mut World, now: i64) -> usize {
        let parent = self.dice.index(world.len());
        let original = world
            .row(parent)
            .filter(|row| row.phase == Phase::Succeeded)
            .copied();
        if let Some((original, kind)) = original
            .and_then(|row| Some((row, self.next_step(row.kind)?)))
            .filter(|_| self.dice.per_mille(150))
        {
            let mut row = self.child(&original, parent, kind, now);
            row.phase = Phase::Pending;
            return world.insert(row);
        }
        let mut row = self.open(now);
        if self.dice.per_mille(400) {
            row.phase = self.outcome(&row);
            row.paid = self.pays(&row).then_some(now);
        }
        world.insert(row)
    }

    /// Lets a row go on: open ones end, ended ones are settled or corrected.
    pub(crate) fn advance(&mut self, world: &mut World, place: usize, now: i64) {
        let Some(row) = world.row(place) else { return };
        let mut next = *row;
        next.updated = now.max(row.updated.saturating_add(1));
        match row.phase {
            Phase::Held if self.dice.per_mille(700) => {
                next.phase = Phase::Succeeded;
                if self.dice.per_mille(500) {
                    next.amount = row.amount.share(self.dice.between(10, 99));
                }
            }
            Phase::Held => next.phase = Phase::Canceled,
            Phase::Opened | Phase::Pending | Phase::Approval => {
                next.phase = if row.held_first {
                    Phase::Held
                } else {
                    self.outcome(row)
                };
                next.paid = self.pays(&next).then_some(now);
            }
            // A customer may pay after the time was up.
            Phase::Expired if self.provider == Provider::Firekassa && self.dice.per_mille(500) => {
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
        world.change(place, |row| *row = next);
    }

    /// A place to change, preferring rows that are open.
    pub(crate) fn choose(&mut self, world: &World) -> usize {
        let open = world.open();
        if !open.is_empty() && self.dice.per_mille(700) {
            let at = self.dice.index(open.len());
            return open.get(at).copied().unwrap_or(0);
        }
        self.dice.index(world.len())
    }

    /// A fresh payment that nobody has finished.
    fn open(&mut self, created: i64) -> Row {
        let kind = self.kind();
        let currency = self.currency();
        let salt = self.dice.roll();
        Row {
            id: self.dice.wide(),
            salt,
            family: self.dice.roll(),
            kind,
            phase: if self.dice.per_mille(300) {
                Phase::Opened
            } else {
                Phase::Pending
            },
            held_first: self.provider == Provider::Convergegate
                && kind == Kind::Payment
                && self.dice.per_mille(200),
            test: self.provider.marks_tests() && self.dice.per_mille(30),
            amount: self.amount(currency),
            currency,
            created,
            updated: created,
            ..Row::default()
        }
    }

    /// Brings a row of the history to where it is at `end`.
    fn age(&mut self, row: &mut Row, end: i64) {
        let patience = if self.dice.per_mille(850) {
            self.micros(200_000, MINUTE)
        } else {
            self.micros(MINUTE, 2 * DAY)
        };
        let finished = row.created.saturating_add(patience);
        if finished >= end {
            return;
        }
        row.updated = finished;
        if row.held_first && self.dice.per_mille(200) {
            row.phase = Phase::Held;
            return;
        }
        row.phase = self.outcome(row);
        if row.held_first && row.phase == Phase::Succeeded && self.dice.per_mille(300) {
            row.amount = row.amount.share(self.dice.between(10, 99));
        }
        row.paid = self.pays(row).then_some(finished);
        let settled = finished.saturating_add(self.micros(DAY, 3 * DAY));
        if row.phase == Phase::Succeeded && settled < end && self.dice.per_mille(900) {
            row.settled = Some(settled);
            row.updated = settled;
        }
    }

    fn kind(&mut self) -> Kind {
        let die = self.dice.below(100);
        match self.provider {
            Provider::Convergegate | Provider::Firekassa => match die {
                0..=79 => Kind::Payment,
                _ => Kind::Payout,
            },
            Provider::Ecommpay => match die {
                0..=54 => Kind::Payment,
                55..=74 => Kind::Authorization,
                75..=84 => Kind::Recurring,
                85..=94 => Kind::Payout,
                _ => Kind::Verification,
            },
            Provider::BegatewayDwh | Provider::BegatewayReport => match die {
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

    /// How an attempt ends, within the words that the provider has.
    fn outcome(&mut self, row: &Row) -> Phase {
        let die = self.dice.below(100);
        match self.provider {
            Provider::Convergegate => match die {
                0..=77 => Phase::Succeeded,
                78..=91 => Phase::Failed,
                92..=98 => Phase::Canceled,
                _ => Phase::Approval,
            },
            Provider::BegatewayDwh | Provider::BegatewayReport => match die {
                0..=79 => Phase::Succeeded,
                80..=81 => Phase::Broken,
                // 3-D Secure that the customer never came back from.
                82..=84 if row.parent.is_none() => Phase::Opened,
                _ => Phase::Failed,
            },
            Provider::Ecommpay => match die {
                0..=79 => Phase::Succeeded,
                80..=95 => Phase::Failed,
                96..=97 => Phase::Broken,
                _ => Phase::Expired,
            },
            Provider::Firekassa => match die {
                0..=54 => Phase::Succeeded,
                55..=57 => Phase::Overpaid,
                58..=89 => Phase::Expired,
                90..=94 => Phase::Canceled,
                _ => Phase::Failed,
            },
        }
    }

    /// Whether the provider gives the row a time of payment: failed attempts have one, tokens none.
    fn pays(&self, row: &Row) -> bool {
        !row.phase.is_open()
            && match self.provider {
                Provider::BegatewayDwh | Provider::BegatewayReport => {
                    row.kind != Kind::Verification
                }
                _ => !row.phase.is_bad(),
            }
    }

    fn currency(&mut self) -> Currency {
        match self.provider {
            Provider::Firekassa => self.dice.pick(WALLET_CURRENCIES),
            Provider::Convergegate if self.dice.per_mille(100) => self.dice.pick(CRYPTO_CURRENCIES),
            _ => self.dice.pick(CARD_CURRENCIES),
        }
    }

    fn amount(&mut self, currency: Currency) -> Amount {
        let whole = u128::from(self.dice.between(1, 5_000));
        let scale = match self.provider {
            Provider::BegatewayDwh | Provider::BegatewayReport => currency.begateway,
            Provider::Ecommpay => currency.iso,
            Provider::Firekassa => 2,
            Provider::Convergegate => match self.dice.below(8) {
                0..=2 => 0,
                3..=6 => currency.iso,
                _ => u8::try_from(self.dice.between(3, 18)).unwrap_or(18),
            },
        };
        let unit = 10_u128.pow(u32::from(scale));
        Amount::new(
            whole * unit + self.dice.wide().checked_rem(unit).unwrap_or(0),
            scale,
        )
    }

    fn micros(&mut self, low: i64, high: i64) -> i64 {
        let width = u64::try_from(high.saturating_sub(low)).unwrap_or(0);
        low.saturating_add(signed(self.dice.below(width.saturating_add(1))))
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::settings::{Provider, Settings};
    use super::super::world::{Axis, Kind, Phase};
    use super::history;

    #[test]
    fn a_history_is_deterministic_and_within_its_span() {
        let settings = Settings {
            rows: 3_000,
            burst: 200,
            ..Settings::for_tests()
        };
        for provider in Provider::ALL {
            let world = history(provider, &settings);
            let again = history(provider, &settings);
            assert_eq!(world.len(), 3_000);
            let span = settings.from.timestamp_micros()..settings.until.timestamp_micros();
            assert_eq!(world.between(Axis::Created, span.clone()).count(), 3_000);
            assert_eq!(world.between(Axis::Updated, span).count(), 3_000);
            for place in 0..world.len() {
                let (row, twin) = (world.row(place).unwrap(), again.row(place).unwrap());
                assert_eq!(
                    (row.id, row.updated, row.amount),
                    (twin.id, twin.updated, twin.amount)
                );
                if let Some(parent) = world.parent(row) {
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
        let world = history(Provider::BegatewayDwh, &settings);
        for kind in [
            Kind::Capture,
            Kind::Void,
            Kind::Refund,
            Kind::Chargeback,
            Kind::Advice,
        ] {
            assert!(
                (0..world.len()).any(|at| world.row(at).unwrap().kind == kind),
                "{kind:?}"
            );
        }
        assert!(!world.open().is_empty());
        let world = history(Provider::Convergegate, &settings);
        assert!((0..world.len()).any(|at| world.row(at).unwrap().phase == Phase::Held));
    }

    #[test]
    fn the_burst_shares_one_instant() {
        let settings = Settings {
            rows: 500,
            burst: 200,
            ..Settings::for_tests()
        };
        let world = history(Provider::BegatewayDwh, &settings);
        let mut counts = std::collections::BTreeMap::new();
        for place in 0..world.len() {
            *counts.entry(world.row(place).unwrap().created).or_insert(0) += 1;
        }
        assert_eq!(counts.values().max(), Some(&200));
    }
}
