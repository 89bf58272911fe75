//! FireKassa's rows in the ledger.
//!
//! - The paid amount is `payment_amount` (zero where nothing was paid), the fee `commission`
//!   in the row's currency.
//! - `account` is the customer, `payment_code` the provider's reference, `comment` the
//!   description.
//! - No parent, group, shop, gateway, bin, `paid_at` or `settled_at`; the last four digits are
//!   those of `card_number`. All times in whole seconds.

use super::row::{LedgerRow, seconds};
use crate::merchants::details::Details;
use crate::merchants::row::Row;
use crate::providers::firekassa::item::{self, Extras};

pub(super) fn line(shared: LedgerRow, row: &Row, details: &Details) -> LedgerRow {
    let extras = Extras::of(row, details);
    LedgerRow {
        provider_transaction_id: item::id(row),
        merchant_reference: details.reference.clone(),
        provider_kind: item::action(row).to_owned(),
        provider_status: item::status(row).to_owned(),
        paid_amount: Some(item::paid(row).canonical()),
        fee: Some(extras.commission.canonical()),
        fee_currency: shared.currency.clone(),
        created_at: Some(seconds(row.created)),
        updated_at: Some(seconds(row.updated)),
        payment_method: Some(extras.method.to_owned()),
        card_last4: details.card().map(|card| card.last_4.clone()),
        customer_id: details.customer_id.clone(),
        error_code: extras.error.map(|(code, _)| code.to_owned()),
        error_message: extras.error.map(|(_, message)| message.to_owned()),
        provider_reference: extras.payment_code,
        ..shared
    }
}
