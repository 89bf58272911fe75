//! Steps after a payment: captures, voids, refunds, reversals, chargebacks.

use super::merchant::{DAY, Merchant, SECOND};
use crate::merchants::money::Amount;
use crate::merchants::row::{Kind, Phase, Row};
use crate::settings::Provider;

/// A row and its position.
type Positioned = (Row, usize);

/// The history being generated.
struct History<'a> {
    rows: &'a mut Vec<Row>,
    end: i64,
    wanted: usize,
}

impl Merchant {
    /// Appends the captures, voids, refunds and chargebacks of the row at `position`.
    pub(super) fn follow_ups(
        &mut self,
        rows: &mut Vec<Row>,
        position: usize,
        end: i64,
        wanted: usize,
    ) {
        let Some(original) = rows.get(position).copied() else {
            return;
        };
        if original.phase != Phase::Succeeded {
            return;
        }
        let mut history = History { rows, end, wanted };
        let payment = (original, position);
        let captured = match original.kind {
            Kind::Authorization => self.captures(&mut history, payment),
            _ => vec![payment],
        };
        for capture in captured {
            if capture.0.phase == Phase::Succeeded {
                self.refunds(&mut history, capture);
            }
        }
    }

    /// Captures an authorization as a whole or in parts, or voids it; returns the captures.
    fn captures(&mut self, history: &mut History<'_>, held: Positioned) -> Vec<Positioned> {
        match self.rng.below(10) {
            0..=6 => {}
            7..=8 => {
                self.follow(history, held, Kind::Void, 5 * DAY);
                return Vec::new();
            }
            _ => return Vec::new(),
        }
        let first = self.follow(history, held, Kind::Capture, 5 * DAY);
        let mut captured = Vec::from_iter(first);
        let rest = first
            .and_then(|(first, _)| held.0.amount.digits.checked_sub(first.amount.digits))
            .filter(|rest| *rest > 0);
        if let Some(rest) = rest {
            match self.rng.below(10) {
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
                        captured.push((row, at));
                    }
                }
                3..=4 => drop(self.follow(history, held, Kind::Void, 5 * DAY)),
                _ => {}
            }
        }
        captured
    }

    /// Voids, refunds or charges back a captured amount.
    fn refunds(&mut self, history: &mut History<'_>, captured: Positioned) {
        let Some(refund) = refund_kind(self.provider, captured.0.kind) else {
            return;
        };
        if self.provider.is_begateway() && self.rng.per_mille(20) {
            self.follow(history, captured, Kind::Void, DAY);
            return;
        }
        for chance in [90, 300, 300] {
            if !self.rng.per_mille(chance) {
                break;
            }
            let kind = if self.provider == Provider::Ecommpay && self.rng.per_mille(200) {
                Kind::Reversal
            } else {
                refund
            };
            if self.follow(history, captured, kind, 20 * DAY).is_none() {
                return;
            }
        }
        if self.provider.is_begateway() && self.rng.per_mille(10) {
            self.follow(history, captured, Kind::Chargeback, 40 * DAY);
        }
    }

    /// Appends a step at most `within` after its parent, if the history has room for it.
    fn follow(
        &mut self,
        history: &mut History<'_>,
        (parent, at): Positioned,
        kind: Kind,
        within: i64,
    ) -> Option<Positioned> {
        let after = parent.paid.unwrap_or(parent.updated);
        let created = after.saturating_add(self.micros(SECOND, within));
        if created >= history.end || history.rows.len() >= history.wanted {
            return None;
        }
        let mut row = self.next_row(&parent, at, kind, created);
        self.age(&mut row, history.end);
        history.rows.push(row);
        Some((row, history.rows.len().saturating_sub(1)))
    }

    /// The kind of a step that may follow a successful row of this kind.
    pub(super) fn next_step(&mut self, kind: Kind) -> Option<Kind> {
        if kind == Kind::Authorization {
            let capture = self.rng.per_mille(700);
            return Some(if capture { Kind::Capture } else { Kind::Void });
        }
        let refund = refund_kind(self.provider, kind)?;
        let disputed = self.provider.is_begateway() && self.rng.per_mille(100);
        Some(if disputed { Kind::Chargeback } else { refund })
    }

    /// A pending step after the row `parent` at position `at`.
    pub(super) fn next_row(&mut self, parent: &Row, at: usize, kind: Kind, created: i64) -> Row {
        let amount = if kind != Kind::Void && self.rng.per_mille(500) {
            parent.amount.share(self.rng.between(1, 99))
        } else {
            parent.amount
        };
        Row {
            id: self.rng.next_u128(),
            salt: self.rng.next_u64(),
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
