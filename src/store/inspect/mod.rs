//! What the database says of itself, for status, proofs, reports and the history of a row. Reads only.

pub mod health;
pub mod report;
pub mod row_history;
pub mod stored_rows;
pub mod verify;
