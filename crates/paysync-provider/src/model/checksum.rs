//! A checksum of the columns: with it, a row that was changed by hand differs from one that an older program read.

use bigdecimal::BigDecimal;
use xxhash_rust::xxh3::xxh3_64;

use super::{Field, Transaction};

impl Transaction {
    /// XXH3-64 of the columns that name no person, by name and value: the columns that are null, or that a
    /// later version adds, do not matter, nor does the scale of an amount. Personal columns are left out because
    /// an erased row keeps its checksum.
    pub fn columns_hash(&self) -> i64 {
        let mut bytes = Vec::with_capacity(1024);
        for column in Self::COLUMNS.iter().filter(|column| !column.is_personal) {
            let start = bytes.len();
            bytes.extend_from_slice(column.name.as_bytes());
            bytes.push(0);
            let value = bytes.len();
            match column.field {
                Field::Text { get, .. } => {
                    bytes.extend(get(self).into_iter().flat_map(str::bytes));
                }
                Field::Numeric { get, .. } => {
                    if let Some(amount) = get(self) {
                        number(&mut bytes, amount);
                    }
                }
                Field::Timestamptz { get, .. } => {
                    bytes.extend(
                        get(self)
                            .into_iter()
                            .flat_map(|t| t.timestamp_micros().to_le_bytes()),
                    );
                }
                Field::Boolean { get, .. } => bytes.extend(get(self).map(u8::from)),
            }
            if bytes.len() == value {
                bytes.truncate(start);
            } else {
                bytes.push(0);
            }
        }
        i64::from_ne_bytes(xxh3_64(&bytes).to_ne_bytes())
    }
}

/// Digits and scale without trailing zeros.
fn number(bytes: &mut Vec<u8>, amount: &BigDecimal) {
    let (digits, mut scale) = amount.as_bigint_and_exponent();
    let Ok(mut digits) = i64::try_from(&digits) else {
        let normalized = amount.normalized();
        let (digits, _) = normalized.as_bigint_and_exponent();
        match i64::try_from(&digits) {
            Ok(_) => number(bytes, &normalized),
            Err(_) => bytes.extend(normalized.to_scientific_notation().bytes()),
        }
        return;
    };
    while digits != 0 && digits % 10 == 0 {
        digits /= 10;
        scale -= 1;
    }
    bytes.extend_from_slice(&digits.to_le_bytes());
    bytes.extend_from_slice(&(if digits == 0 { 0 } else { scale }).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn amount(text: &str) -> i64 {
        Transaction {
            amount: text.parse().ok(),
            ..Transaction::default()
        }
        .columns_hash()
    }

    #[test]
    fn amounts_are_compared_by_value() {
        for same in [
            ["1.5", "1.5000"],
            ["0", "0.000"],
            ["1200", "1.2e3"],
            ["9223372036854775807", "9223372036854775807.0000"],
            ["99999999999999999999.5", "99999999999999999999.5000"],
        ] {
            assert_eq!(amount(same[0]), amount(same[1]), "{same:?}");
        }
        for other in [["1.5", "15"], ["1.5", "-1.5"], ["0", ""], ["1e20", "1e21"]] {
            assert_ne!(amount(other[0]), amount(other[1]), "{other:?}");
        }
    }

    #[test]
    fn each_column_counts_unless_it_is_personal() {
        let empty = Transaction::default();
        for column in Transaction::COLUMNS {
            let mut row = Transaction::default();
            match column.field {
                Field::Text { set, .. } => {
                    // The columns of words take no other text.
                    let word = match column.name {
                        "kind" => "refund",
                        "status" => "failed",
                        _ => "text",
                    };
                    set(&mut row, Some(word.to_owned())).unwrap();
                }
                Field::Numeric { set, .. } => set(&mut row, Some(1.into())),
                Field::Timestamptz { set, .. } => set(&mut row, DateTime::from_timestamp_micros(1)),
                Field::Boolean { set, .. } => set(&mut row, Some(false)),
            }
            let is_seen = row.columns_hash() != empty.columns_hash();
            assert_eq!(is_seen, !column.is_personal, "{}", column.name);
        }
    }
}
