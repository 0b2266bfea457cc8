//! Programs that tests and benchmarks run beside the servers: found on the PATH, or fetched like MySQL.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::apt::Suite;
use super::unpack::{self, Product};
use super::{LabError, Report, fetch};

/// A program, and the root that it was unpacked to unless it is the system's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    pub program: PathBuf,
    pub root: Option<PathBuf>,
}

impl Tool {
    /// `sysbench`, `haproxy`, `mysqlrouter`, `etcd`, `ip` or `valgrind`.
    pub fn find(name: &str, report: Report<'_>) -> Result<Tool, LabError> {
        let Some(product) = PRODUCTS.iter().find(|product| product.name == name) else {
            let known: Vec<&str> = PRODUCTS.iter().map(|product| product.name).collect();
            return Err(LabError::Asked { what: format!("There is no tool {name}, only {}", known.join(", ")) });
        };
        if let Some(program) = fetch::on_path(name).into_iter().next() {
            return Ok(Tool { program, root: None });
        }
        let root = unpack::root(product, report)?;
        let program = product.programs.first().map(|program| root.join(program)).unwrap_or_default();
        Ok(Tool { program, root: Some(root) })
    }

    /// A command for it, with what it needs to find its own files.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(root) = &self.root {
            // sysbench looks for its scripts by name along Lua's path, and the client library that came with it for its
            // plugins at a fixed place; the others need nothing.
            let scripts = root.join("usr/share/sysbench");
            command.env("LUA_PATH", format!("{}/?.lua;{0}/?/init.lua;;", scripts.display()));
            // Valgrind looks for its tools at a fixed place.
            command.env("VALGRIND_LIB", root.join("usr/libexec/valgrind"));
            if let Some(plugins) = client_plugins(root) {
                command.env("MARIADB_PLUGIN_DIR", plugins);
            }
        }
        command
    }
}

/// `usr/lib/MACHINE/libmariadb3/plugin` below this root, whatever the machine is called.
fn client_plugins(root: &Path) -> Option<PathBuf> {
    let machines = std::fs::read_dir(root.join("usr/lib")).ok()?;
    let folders = machines.flatten().map(|machine| machine.path().join("libmariadb3/plugin"));
    folders.into_iter().find(|folder| folder.is_dir())
}

const PRODUCTS: [Product; 6] = [
    Product {
        name: "sysbench",
        suite: Suite::Own,
        packages: &["sysbench"],
        programs: &["usr/bin/sysbench"],
        libraries: &[],
    },
    Product {
        name: "haproxy",
        suite: Suite::Own,
        packages: &["haproxy"],
        programs: &["usr/sbin/haproxy"],
        libraries: &[],
    },
    Product {
        name: "mysqlrouter",
        suite: Suite::WithMysql,
        packages: &["mysql-router"],
        programs: &["usr/bin/mysqlrouter", "usr/bin/mysqlrouter_passwd", "usr/bin/mysqlrouter_plugin_info"],
        libraries: &["usr/lib/mysql-router", "usr/lib/mysqlrouter/plugin", "usr/lib/mysqlrouter/private"],
    },
    Product {
        name: "etcd",
        suite: Suite::Own,
        packages: &["etcd-server"],
        programs: &["usr/bin/etcd"],
        libraries: &[],
    },
    Product { name: "ip", suite: Suite::Own, packages: &["iproute2"], programs: &["usr/bin/ip"], libraries: &[] },
    Product {
        name: "valgrind",
        suite: Suite::Own,
        packages: &["valgrind"],
        programs: &["usr/bin/valgrind"],
        libraries: &[],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_tool_is_refused_by_name() {
        let error = Tool::find("hammer", &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("no tool hammer, only sysbench"), "{error}");
    }
}
