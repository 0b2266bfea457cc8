//! Table permissions: which users may read, write and change which tables, beside MySQL's own grants and never instead
//! of them.
//!
//! ```toml
//! unlisted = "allow"                   # tables that no group names: "allow" (usual) or "deny"
//! [[groups]]
//! name = "orders"
//! tables = ["shop.orders", "shop.item%", "log.%"]
//! readers = ["report"]                 # "%" for everybody
//! writers = ["web"]                    # may read too
//! admins = ["owner"]                   # may do everything
//! ```
//! Invariant: a table belongs to one group at most: to the one that names it, else to the one with the longest prefix. So
//! a group for one table is not widened by a group for its schema. Names are compared byte by byte, as MySQL does on Linux
//! with `lower_case_table_names = 0`.
//! It knows no SQL: which tables a statement touches is the planner's word.

pub mod file;
pub mod rules;

pub use rules::{Access, Denied, Rules, Table};
