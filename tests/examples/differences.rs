//! The differential corpus through a gate, as a command: `cargo run -p weir-tests --example differences -- plenty|worst`.
//!
//! `worst` gives the gate two connections to each backend and runs noise between all steps. The same as the tests in
//! tests/mysql.rs, for one mode, or with `WEIR_TEST_ONLY` for one session.

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
