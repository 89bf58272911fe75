//! The ledger: the correct values of every simulated row in paysync's vocabulary, to compare its tables with.
//!
//! Derived from the simulator's own state, never from its JSON. All values are strings or null:
//! - amounts: decimal, in major units, without trailing zeros in the fraction (`12`, `0.5`);
//! - times: RFC 3339 with `Z` and six digits (`2026-01-31T10:00:00.000000Z`), truncated to whole seconds
//!   where the API sends no fractions (all but the DWH);
//! - flags: `true` or `false`; `is_test` is null where the items contain no test flag.
//!
//! Each provider's file documents its choices. For all providers: empty strings are null; error code and
//! message are set on `failed` and `canceled` rows only; currency codes, brands and methods are as sent.

mod begateway;
mod convergegate;
mod ecommpay;
mod firekassa;
mod payment;
mod row;
mod transaction;

pub use payment::LedgerPayment;
pub(crate) use payment::payments;
pub use row::LedgerRow;
pub(crate) use transaction::ledger_row;
