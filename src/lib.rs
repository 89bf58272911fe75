//! Copies payment transactions from payment providers' list APIs into PostgreSQL, keeps them up to
//! date, and proves that nothing is missing.
//!
//! Layers, strictly downwards (a test checks it):
//! `model · clock · telemetry · failpoint → provider · config → plan → transport · store → engine → http → app
//! → cli → main`. See `docs/ARCHITECTURE.md`.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod engine;
pub mod failpoint;
pub mod http;
pub mod launcher;
pub mod model;
pub mod plan;
pub mod provider;
pub mod simulator;
pub mod store;
pub mod telemetry;
pub mod transport;
