//! The `paysync` program.
fn main() {}
