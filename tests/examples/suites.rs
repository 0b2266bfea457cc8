//! The drivers' own test suites, directly and through a gate: `cargo run -p weir-tests --example suites -- [NAME…]`.
//!
//! Without names all of them, which takes a while. Fetching needs the registries, and the tool chains that the driver matrix needs.
//! `WEIR_BLESS=1` writes tests/drivers/SUITES.md, `WEIR_SUITES_KEEP=FOLDER` keeps what the suites printed.

use weir_tests::suites::stand;

fn main() {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if !stand::check(&names) {
        std::process::exit(1);
    }
}
