//! The binary `weir`.

use std::process::ExitCode;

/// The cores allocate little and often, in the same sizes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    weir_control::cli::main()
}
