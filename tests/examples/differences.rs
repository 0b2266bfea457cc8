//! The differential corpus through a gate, as a command: `cargo run -p weir-tests --example differences -- plenty|worst`.
//!
//! `worst` gives the gate two connections to each backend and runs noise between all steps. It is a command and not yet
//! a test: it still shows differences that are open (tests/open/worst.txt), some of which depend on timing.

use weir_tests::real::suite::{self, Mode};

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("direct") => suite::check(Mode::Direct),
        Some("plenty") => suite::check(Mode::Plenty),
        Some("worst") => suite::check(Mode::Worst),
        _ => {
            eprintln!("usage: differences direct|plenty|worst");
            std::process::exit(2);
        }
    }
}
