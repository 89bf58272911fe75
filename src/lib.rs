//! Copies payment transactions from payment providers' list APIs into PostgreSQL, keeps them up to
//! date, and proves that nothing is missing.
//!
//! Layers use only lower ones (a test checks it):
//! `clock · telemetry · failpoint · number · tls → config → plan → transport · store → engine → http · launcher → app → cli → main`. The
//! pure part is the crate `paysync-provider`; the providers' side of the APIs is `paysync-simulator`. See
//! `docs/ARCHITECTURE.md`.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod engine;
pub mod failpoint;
pub mod http;
pub mod launcher;
mod number;
pub mod plan;
pub mod store;
pub mod telemetry;
mod tls;
pub mod transport;
