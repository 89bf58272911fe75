//! Amounts.

use bigdecimal::BigDecimal;

use super::object::Object;
use super::text::scalar_text;
use crate::error::RecordError;
use crate::model::money::{self, AmountError};

impl Object<'_> {
    /// An exact amount, sent in major units.
    pub fn major_amount(&self, field: &'static str) -> Result<Option<BigDecimal>, RecordError> {
        let text = self.amount_text(field)?;
        let amount = text.map(|text| money::from_major(&text)).transpose();
        amount.map_err(|cause| RecordError::Amount(field, cause))
    }

    /// An exact amount in major units, sent in whole minor units; `exponent` gives the decimals of a
    /// currency.
    pub fn minor_amount(
        &self,
        field: &'static str,
        currency: Option<&str>,
        exponent: impl FnOnce(&str) -> Option<u8>,
    ) -> Result<Option<BigDecimal>, RecordError> {
        let Some(text) = self.amount_text(field)? else {
            return Ok(None);
        };
        let exponent = currency.and_then(exponent);
        let exponent = exponent.ok_or(RecordError::Currency(field))?;
        let amount = money::from_minor(&text, exponent).map(Some);
        amount.map_err(|cause| RecordError::Amount(field, cause))
    }

    fn amount_text(&self, field: &'static str) -> Result<Option<String>, RecordError> {
        let error = RecordError::Amount(field, AmountError::NotANumber);
        scalar_text(self.raw(field), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_a_wrong_type_are_errors() {
        let amount = |json: &str| {
            let object = format!("{{\"amount\":{json}}}");
            Object::parse(&object).unwrap().major_amount("amount")
        };
        let error = |json: &str| amount(json).unwrap_err().reason();
        assert_eq!(error("{}"), "unreadable_amount");
        assert_eq!(error("\"12,5\""), "unreadable_amount");
        assert_eq!(error("true"), "unreadable_amount");
        assert_eq!(amount("\"\""), Ok(None));
    }
}
