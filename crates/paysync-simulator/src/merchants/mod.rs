//! Generated merchants: their rows, and what changes over time.

pub(crate) mod details;
mod follow_ups;
pub(crate) mod merchant;
pub(crate) mod money;
pub(crate) mod row;
pub(crate) mod table;
