//! Card numbers in the columns of a row: for rows and versions whose payload is gone.

use super::cards::{Check, mask};
use crate::model::{Field, Transaction};
use crate::spec::Redaction;

/// Masks the card numbers in a row's texts, except in columns that are made of exact keys; none if there is
/// nothing to mask. Configured rules name members of an item, so they do not apply.
pub fn redact_row(row: &Transaction, spec: &Redaction) -> Option<Transaction> {
    let mut redacted = None;
    for column in Transaction::COLUMNS {
        let Field::Text { get, set } = column.field else {
            continue;
        };
        let text = get(row).filter(|_| !spec.exact_columns.contains(&column.name));
        if let Some(masked) = text.and_then(|text| mask(text, Check::Luhn)) {
            let redacted = redacted.get_or_insert_with(|| row.clone());
            // The words of a kind or status have no digits, and every other column takes any text.
            set(redacted, Some(masked.text)).ok()?;
        }
    }
    redacted
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = "4111111111111111";
    const SPEC: Redaction = Redaction {
        exact: &["order"],
        cards: &[],
        dropped: &[],
        exact_columns: &["merchant_reference"],
    };

    #[test]
    fn texts_are_masked_except_those_of_exact_keys() {
        let row = |description: &str| Transaction {
            merchant_reference: Some(CARD.to_owned()),
            description: Some(description.to_owned()),
            customer_email: Some("411111111111@example.com".to_owned()),
            ..Transaction::default()
        };
        let masked = redact_row(&row("card 4111 1111 1111 1111"), &SPEC);
        assert_eq!(masked, Some(row("card 4111 11** **** 1111")));
        assert_eq!(redact_row(&masked.unwrap(), &SPEC), None);
    }
}
