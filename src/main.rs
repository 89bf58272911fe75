//! The `paysync` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    let _armed = paysync::failpoint::arm();
    paysync::cli::main()
}
