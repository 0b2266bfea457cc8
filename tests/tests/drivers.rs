//! Real clients on MySQL directly and through the gate: equal traces, but for `tests/drivers/accepted.txt`.
//!
//! ```text
//!   WEIR_DRIVERS=all cargo test -p weir-tests --test drivers      those too that take minutes to build
//!   WEIR_DRIVERS=PyMySQL …                                        one
//!   WEIR_BLESS=1 …                                                writes tests/drivers/TABLE.md anew
//!   WEIR_DRIVERS_KEEP=FOLDER …                                    keeps the traces
//! ```

use weir_tests::drivers::stand;

#[path = "drivers/admin_port.rs"]
mod admin_port;

#[test]
fn real_clients_see_one_mysql_server() {
    stand::check();
}
