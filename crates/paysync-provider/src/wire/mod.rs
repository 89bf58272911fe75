//! Tolerant readers of JSON values: string or number, several time formats, empty as none.
//!
//! Providers declare items as structs of [`Raw`] fields: a field of an unexpected type affects only
//! that field, and numbers keep their exact text.

mod amount;
mod card;
mod items;
mod object;
mod refusal;
mod text;
mod time;

pub use amount::{major_amount, minor_amount};
pub use card::card_digits;
pub use items::{Items, MAX_ITEMS, items};
pub use object::{envelope, is_object, item, member, object};
pub use refusal::{field_errors, one_line, refusal};
pub(crate) use text::unescape;
pub use text::{Raw, flag, keyword, required_id, text, text_of};
pub use time::{instant, parse_instant};
