//! Tolerant readers of JSON values: string or number, several time formats, empty as none.
//!
//! Providers read the members of an [`Object`] one by one: a member of an unexpected type affects only the
//! column that it fills, and numbers keep their exact text.

mod amount;
mod card;
mod items;
mod object;
mod refusal;
mod repair;
mod text;
mod time;

pub use card::card_digits;
pub use items::{Items, MAX_ITEMS, items};
pub use object::{Object, envelope};
pub use refusal::{field_errors, joined, one_line, refusal, said};
pub use repair::repaired;
pub(crate) use text::unescape;
pub use text::{Raw, flag, keyword, text, text_of};
pub use time::parse_instant;
