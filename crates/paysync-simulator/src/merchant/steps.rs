//! What follows from a payment: captures, voids, refunds, reversals, chargebacks.

use super::super::money::Amount;
use super::{DAY, Merchant, SECOND};
use crate::settings::Provider;
use crate::world::{Kind, Phase, Row};

/// A row, and its place among the rows.
type Subject = (Row, usize);

/// The history under way.
struct History<'a> {
    rows: &'a mut Vec<Row>,
    end: i64,
    wanted: usize,
}

impl Merchant {
    /// Captures, voids, refunds and chargebacks of the row at `place`.
    pub(super) fn follow_ups(
        &mut self,
        rows: &mut Vec<Row>,
        place: usize,
        end: i64,
        wanted: usize,
    ) {
        let Some(original) = rows.get(place).copied() else {
            return;
        };
        if original.phase != Phase::Succeeded {
            return;
        }
        let mut history = History { rows, end, wanted };
        let subject = (original, place);
        let takings = match original.kind {
            Kind::Authorization => self.captures(&mut history, subject),
            _ => vec![subject],
        };
        for taking in takings {
            if taking.0.phase == Phase::Succeeded {
                self.give_back(&mut history, taking);
            }
        }
    }

    /// Takes all, a part, or several parts of what is held, or releases it; what was taken.
    fn captures(&mut self, history: &mut History<'_>, held: Subject) -> Vec<Subject> {
        match self.dice.below(10) {
            0..=6 => {}
            7..=8 => {
                self.follow(history, held, Kind::Void, 5 * DAY);
                return Vec::new();
            }
            _ => return Vec::new(),
        }
        let first = self.follow(history, held, Kind::Capture, 5 * DAY);
        let mut takings = Vec::from_iter(first);
        let rest = first
            .and_then(|(first, _)| held.0.amount.digits.checked_sub(first.amount.digits))
            .filter(|rest| *rest > 0);
        if let Some(rest) = rest {
            match self.dice.below(10) {
                0..=2 => {
                    let second = self.follow(history, held, Kind::Capture, 5 * DAY);
                    if let Some((row, at)) = second {
                        let row = Row {
                            amount: Amount::new(rest, held.0.amount.scale),
                            ..row
                        };
                        if let Some(stored) = history.rows.get_mut(at) {
                            *stored = row;
                        }
                        takings.push((row, at));
                    }
                }
                3..=4 => drop(self.follow(history, held, Kind::Void, 5 * DAY)),
                _ => {}
            }
        }
        takings
    }

    /// Undoes, refunds or charges back what was taken.
    fn give_back(&mut self, history: &mut History<'_>, taking: Subject) {
        let Some(refund) = refund_kind(self.provider, taking.0.kind) else {
            return;
        };
        if self.provider.is_begateway() && self.dice.per_mille(20) {
            self.follow(history, taking, Kind::Void, DAY);
            return;
        }
        for chance in [90, 300, 300] {
            if !self.dice.per_mille(chance) {
                break;
            }
            let kind = if self.provider == Provider::Ecommpay && self.dice.per_mille(200) {
                Kind::Reversal
            } else {
                refund
            };
            if self.follow(history, taking, kind, 20 * DAY).is_none() {
                return;
            }
        }
        if self.provider.is_begateway() && self.dice.per_mille(10) {
            self.follow(history, taking, Kind::Chargeback, 40 * DAY);
        }
    }

    /// A step within `within` after its parent, if the history has room for it.
    fn follow(
        &mut self,
        history: &mut History<'_>,
        (parent, at): Subject,
        kind: Kind,
        within: i64,
    ) -> Option<Subject> {
        let after = parent.paid.unwrap_or(parent.updated);
        let created = after.saturating_add(self.micros(SECOND, within));
        if created >= history.end || history.rows.len() >= history.wanted {
            return None;
        }
        let mut child = self.child(&parent, at, kind, created);
        self.age(&mut child, history.end);
        history.rows.push(child);
        Some((child, history.rows.len().saturating_sub(1)))
    }

    /// A step that may follow from a successful row of this kind.
    pub(super) fn next_step(&mut self, kind: Kind) -> Option<Kind> {
        if kind == Kind::Authorization {
            let capture = self.dice.per_mille(700);
            return Some(if capture { Kind::Capture } else { Kind::Void });
        }
        let refund = refund_kind(self.provider, kind)?;
        let disputed = self.provider.is_begateway() && self.dice.per_mille(100);
        Some(if disputed { Kind::Chargeback } else { refund })
    }

    pub(super) fn child(&mut self, parent: &Row, at: usize, kind: Kind, created: i64) -> Row {
        let amount = if kind != Kind::Void && self.dice.per_mille(500) {
            parent.amount.share(self.dice.between(1, 99))
        } else {
            parent.amount
        };
        Row {
            id: self.dice.wide(),
            salt: self.dice.roll(),
            family: parent.family,
            parent: Some(at),
            kind,
            phase: Phase::Pending,
            test: parent.test,
            amount,
            currency: parent.currency,
            created,
            updated: created,
            ..Row::default()
        }
    }
}

fn refund_kind(provider: Provider, kind: Kind) -> Option<Kind> {
    match kind {
        Kind::Payment | Kind::Capture | Kind::Recurring if provider != Provider::Firekassa => {
            Some(Kind::Refund)
        }
        _ => None,
    }
}
