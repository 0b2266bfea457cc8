//! What people install and read: the check of a configuration, the reference, man pages, units, the package, manifests, the
//! guide. Each is made from the program's own tables or held against them.

mod check_config;
mod containers;
mod debian;
mod guide;
mod place;
mod reference;
mod systemd;
