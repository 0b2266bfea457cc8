//! Table permissions as files: into the [`Rules`] that the cores obey, and which file holds now.
//!
//! ```toml
//! unlisted = "allow"                   # tables that no group names: "allow" (usual) or "deny"
//! exempt = ["root"]                    # for these users none of it counts
//! [[groups]]
//! name = "orders"
//! tables = ["shop.orders", "shop.item%", "log.%"]
//! readers = ["report"]                 # "%" for everybody
//! writers = ["web"]                    # may read too
//! admins = ["owner"]                   # may do everything
//! ```
//! What the rules mean is `weir_core::permissions`'.

pub mod file;
pub mod permissions;

pub use permissions::Permissions;
pub use weir_core::permissions::Rules;
