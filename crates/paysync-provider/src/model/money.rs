//! Exact amounts: decimals parsed from text, never from floating-point numbers.
//!
//! Amounts are arbitrary-precision decimals in major units (12.34 EUR): one API sends 18 decimals, and
//! sums of such amounts exceed the 28 digits of a fixed-size decimal.

use std::str::FromStr;

use bigdecimal::{BigDecimal, num_bigint::BigInt};
use thiserror::Error;

/// Largest number of digits on either side of the point, below PostgreSQL's limit.
const MAX_DIGITS: i64 = 200;

/// The reason why a text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AmountError {
    /// The text is not a decimal number.
    #[error("not a decimal number")]
    NotANumber,
    /// The number has more than 200 digits.
    #[error("more than {MAX_DIGITS} digits")]
    TooLong,
    /// The number of minor units is not an integer.
    #[error("not a whole number of minor units")]
    FractionOfMinorUnit,
}

/// Parses an amount in major units, such as `12.34`, `15` or `1E-18`, and keeps its scale.
pub fn from_major(text: &str) -> Result<BigDecimal, AmountError> {
    check_grammar(text)?;
    let amount = BigDecimal::from_str(text).map_err(|_| AmountError::NotANumber)?;
    let (_, scale) = amount.as_bigint_and_scale();
    // A negative scale means trailing zeros: `1E5` becomes 100000.
    Ok(if scale < 0 {
        amount.with_scale(0)
    } else {
        amount
    })
}

/// Parses an amount in whole minor units of a currency with this `exponent`: `1234` with exponent 2 is
/// 12.34.
pub fn from_minor(text: &str, exponent: u8) -> Result<BigDecimal, AmountError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.len() < 19 {
        let minor = i64::from_str(text).map_err(|_| AmountError::NotANumber)?;
        return Ok(BigDecimal::from_bigint(
            BigInt::from(minor),
            i64::from(exponent),
        ));
    }
    let minor = from_major(text)?;
    if !minor.is_integer() {
        return Err(AmountError::FractionOfMinorUnit);
    }
    let (minor, _) = minor.with_scale(0).into_bigint_and_exponent();
    Ok(BigDecimal::from_bigint(minor, i64::from(exponent)))
}

/// The decimals of a currency by ISO 4217, including withdrawn codes; none for unknown codes.
pub fn iso_4217_exponent(currency: &str) -> Option<u8> {
    if let Some(known) = iso_currency::Currency::from_code(currency) {
        // Metals, funds without a unit and test codes have no exponent: not money.
        return u8::try_from(known.exponent()?).ok();
    }
    match currency {
        "BYR" => Some(0),
        "EEK" | "LTL" | "LVL" | "MRO" | "SLL" | "STD" | "VEF" | "ZMK" | "ZWL" => Some(2),
        _ => None,
    }
}

/// Accepts only `-?digits[.digits][e[±]digits]` within bounds; the decimal library accepts underscores,
/// and exponents that expand to gigabytes.
fn check_grammar(text: &str) -> Result<(), AmountError> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let shift = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if ![whole, fraction, shift].into_iter().all(is_digits) {
        return Err(AmountError::NotANumber);
    }
    let shift: i64 = exponent.parse().map_err(|_| AmountError::TooLong)?;
    let length = i64::try_from(mantissa.len()).map_err(|_| AmountError::TooLong)?;
    if length > MAX_DIGITS || shift.checked_abs().is_none_or(|shift| shift > MAX_DIGITS) {
        return Err(AmountError::TooLong);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn major(text: &str) -> String {
        from_major(text).unwrap().to_plain_string()
    }

    #[test]
    fn major_units_keep_every_digit() {
        assert_eq!(major("11.12"), "11.12");
        assert_eq!(major("15"), "15");
        assert_eq!(major("20.00"), "20.00");
        assert_eq!(major("0.000000000000000001"), "0.000000000000000001");
        assert_eq!(
            major("999999999999.123456789012345678"),
            "999999999999.123456789012345678"
        );
        assert_eq!(major("1E-18"), "0.000000000000000001");
        assert_eq!(major("1.5e3"), "1500");
        assert_eq!(major("15E+2"), "1500");
        assert_eq!(major("1e200").len(), 201);
        assert_eq!(major("-3"), "-3");
    }

    #[test]
    fn minor_units_shift_by_the_exponent() {
        let minor = |text, exponent| from_minor(text, exponent).unwrap().to_plain_string();
        assert_eq!(minor("45066", 2), "450.66");
        assert_eq!(minor("200", 0), "200");
        assert_eq!(minor("150155", 3), "150.155");
        assert_eq!(minor("-5", 2), "-0.05");
        assert_eq!(minor("100.0", 2), "1.00");
        assert_eq!(
            minor("123456789012345678901234567890", 2),
            "1234567890123456789012345678.90"
        );
        assert_eq!(minor("9999999999999999999", 2), "99999999999999999.99");
        assert_eq!(from_minor("10.5", 2), Err(AmountError::FractionOfMinorUnit));
    }

    #[test]
    fn texts_that_are_not_amounts_are_errors() {
        for text in [
            "", "-", "1_000", "1,5", ".5", "5.", "NaN", "inf", "0x10", "1e", "1e+", " 1", "+1",
            "--1",
        ] {
            assert_eq!(from_major(text), Err(AmountError::NotANumber), "{text:?}");
        }
        assert_eq!(from_major("1e201"), Err(AmountError::TooLong));
        assert_eq!(from_major("1e-201"), Err(AmountError::TooLong));
        assert_eq!(from_major("1e999999999"), Err(AmountError::TooLong));
        assert_eq!(
            from_major("1e99999999999999999999"),
            Err(AmountError::TooLong)
        );
        assert_eq!(from_major(&"9".repeat(1000)), Err(AmountError::TooLong));
    }

    #[test]
    fn exponents_follow_iso_4217() {
        let table = [
            ("USD", 2),
            ("JPY", 0),
            ("KWD", 3),
            ("IQD", 3),
            ("CLF", 4),
            ("HRK", 2),
            ("BYR", 0),
            ("BYN", 2),
        ];
        for (currency, exponent) in table {
            assert_eq!(iso_4217_exponent(currency), Some(exponent), "{currency}");
        }
        for withdrawn in "EEK LTL LVL MRO SLL STD VEF ZMK ZWL".split(' ') {
            assert_eq!(iso_4217_exponent(withdrawn), Some(2), "{withdrawn}");
        }
        for currency in ["XXX", "XAU", "usd", "ZZZ", ""] {
            assert_eq!(iso_4217_exponent(currency), None, "{currency}");
        }
    }

    proptest! {
        #[test]
        fn minor_units_round_trip(minor in any::<i64>(), exponent in 0u8..=4) {
            let amount = from_minor(&minor.to_string(), exponent).unwrap();
            let (digits, scale) = amount.as_bigint_and_exponent();
            prop_assert_eq!(digits, BigInt::from(minor));
            prop_assert_eq!(scale, i64::from(exponent));
        }

        #[test]
        fn major_units_round_trip(text in "(0|[1-9][0-9]{0,30})(\\.[0-9]{1,18})?") {
            prop_assert_eq!(from_major(&text).unwrap().to_plain_string(), text);
        }

        #[test]
        fn any_text_is_an_amount_or_an_error(text in "\\PC*") {
            prop_assert!(from_minor(&text, 2).is_err() || from_major(&text).is_ok());
        }
    }
}
