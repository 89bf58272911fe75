//! Exact amounts: digits and a scale, never floating point.

/// `digits` divided by ten to the power of `scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Amount {
    pub(crate) digits: u128,
    pub(crate) scale: u8,
}

impl Amount {
    pub(crate) fn new(digits: u128, scale: u8) -> Self {
        Self { digits, scale }
    }

    /// `per_cent` of the amount at the same scale, at least one unit.
    pub(crate) fn share(self, per_cent: u64) -> Self {
        let digits = self.digits.saturating_mul(u128::from(per_cent)) / 100;
        Self::new(digits.max(1), self.scale)
    }

    /// All digits of the scale: `12.00`, `15`, `0.50`.
    pub(crate) fn plain(self) -> String {
        let scale = usize::from(self.scale);
        let digits = format!("{:0width$}", self.digits, width = scale.saturating_add(1));
        let (whole, fraction) = digits
            .split_at_checked(digits.len().saturating_sub(scale))
            .unwrap_or((&digits, ""));
        if fraction.is_empty() {
            whole.to_owned()
        } else {
            format!("{whole}.{fraction}")
        }
    }

    /// Without trailing zeros in the fraction, as in the ledger: `12`, `15`, `0.5`.
    pub(crate) fn canonical(self) -> String {
        let plain = self.plain();
        if plain.contains('.') {
            plain.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            plain
        }
    }
}

/// A currency with its decimals in ISO 4217 and on beGateway's platform.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Currency {
    pub(crate) code: &'static str,
    pub(crate) iso: u8,
    pub(crate) begateway: u8,
}

const fn currency(code: &'static str, iso: u8, begateway: u8) -> Currency {
    Currency {
        code,
        iso,
        begateway,
    }
}

/// Currencies of card payments; the decimals of several differ between ISO 4217 and beGateway.
pub(crate) const CARD_CURRENCIES: &[Currency] = &[
    currency("EUR", 2, 2),
    currency("USD", 2, 2),
    currency("GBP", 2, 2),
    currency("EUR", 2, 2),
    currency("BYN", 2, 2),
    currency("JPY", 0, 0),
    currency("KWD", 3, 3),
    currency("ISK", 0, 0),
    currency("IDR", 2, 0),
    currency("IQD", 3, 0),
    currency("MOP", 2, 1),
    currency("LAK", 2, 0),
];

/// Currencies outside ISO 4217, for an API that sends major units.
pub(crate) const CRYPTO_CURRENCIES: &[Currency] = &[
    currency("BTC", 8, 8),
    currency("ETH", 18, 18),
    currency("USDT", 6, 6),
];

/// Currencies of Eastern European wallets.
pub(crate) const WALLET_CURRENCIES: &[Currency] = &[currency("RUB", 2, 2), currency("UAH", 2, 2)];

#[cfg(test)]
mod tests {
    use super::Amount;

    #[test]
    fn amounts_are_written_exactly() {
        let cases = [
            (1200, 2, "12.00", "12"),
            (15, 0, "15", "15"),
            (50, 2, "0.50", "0.5"),
            (5, 3, "0.005", "0.005"),
            (10, 0, "10", "10"),
            (
                10_000_000_000_000_001,
                18,
                "0.010000000000000001",
                "0.010000000000000001",
            ),
        ];
        for (digits, scale, plain, canonical) in cases {
            let amount = Amount::new(digits, scale);
            assert_eq!(amount.plain(), plain);
            assert_eq!(amount.canonical(), canonical);
        }
    }
}
