//! Progress: windows, coverage and passes.

mod failures;
mod passes;
mod windows;
