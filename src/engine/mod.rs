//! The engine: reads windows page by page, and keeps out of them what must not be stored.

pub mod redact;
