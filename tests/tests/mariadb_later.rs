//! The same on the later MariaDB (11.8), whose trackers and collations are others: one process has one place.

#[path = "mariadb.rs"]
mod mariadb;
