//! The program `weir`, built with the tests, so that they can start and kill it as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    weir_control::cli::main()
}
