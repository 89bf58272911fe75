//! The `paysync` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    paysync::cli::main()
}
