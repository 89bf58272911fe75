//! What operators ask, answered from the database alone.

pub mod row_history;
pub mod status;
pub mod verify;
