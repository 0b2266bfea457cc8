//! What Weir costs: null backend, bare relay, load generator and comparisons.

use std::process::ExitCode;

use weir_perf::arguments::Arguments;
use weir_perf::command;

fn main() -> ExitCode {
    command::run(Arguments::new(std::env::args().skip(1)))
}
