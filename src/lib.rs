//! Copies payment transactions from payment providers' list APIs into PostgreSQL.

pub mod simulator;
