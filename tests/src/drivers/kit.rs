//! A kit: one language's tool chain and drivers, installed into the cache folder, at the versions that files of the repository pin.
//!
//! Invariant: a kit's folder is named after a digest of those files and holds `complete` once it is whole; one process installs it,
//! others wait. Nothing of the system's is changed. What cannot be had is an error with its reason.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use weir_control::lab::cache::{self, Lock};
use weir_control::lab::{Mysql, child};

use super::limits;

mod install;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kit {
    /// The programs beside the server.
    Mysql,
    Python,
    Node,
    Go,
    Java,
    Rust,
    /// Of Debian's packages, as the following.
    Mariadb,
    Php,
    Perl,
    Ruby,
    /// Percona's toolkit, with MySQL's own programs beside it.
    Percona,
    /// mydumper and myloader, with MySQL's own programs beside them.
    Mydumper,
    /// gh-ost, with MySQL's own programs beside it.
    Ghost,
}

/// How a kit's scripts are started.
#[derive(Debug, Clone, Default)]
pub struct Ready {
    /// The program and its first arguments.
    pub program: Vec<String>,
    pub env: Vec<(String, String)>,
    /// The kit's folder in the repository: scripts are named from here.
    pub folder: PathBuf,
}

impl Kit {
    /// Its folder below `tests/drivers`.
    pub fn folder(self) -> &'static str {
        match self {
            Kit::Mysql => "c",
            Kit::Python => "python",
            Kit::Node => "node",
            Kit::Go => "go",
            Kit::Java => "java",
            Kit::Rust => "rust",
            Kit::Mariadb => "mariadb",
            Kit::Php => "php",
            Kit::Perl => "perl",
            Kit::Ruby => "ruby",
            Kit::Percona => "percona",
            Kit::Mydumper => "mydumper",
            Kit::Ghost => "ghost",
        }
    }

    /// Its files that pin versions, and what is built from.
    fn pins(self) -> &'static [&'static str] {
        match self {
            Kit::Mysql | Kit::Mariadb | Kit::Php | Kit::Perl | Kit::Ruby | Kit::Percona | Kit::Mydumper => &[],
            Kit::Python => &["requirements.txt"],
            Kit::Node => &["package.json", "package-lock.json"],
            Kit::Go => &["go.mod", "go.sum", "main.go", "trace.go", "sql.go", "gorm.go", "admin.go"],
            Kit::Java => &["pom.xml", "Trace.java", "Jdbc.java", "Hibernate.java", "Admin.java"],
            Kit::Rust => RUST,
            Kit::Ghost => &["go.mod", "go.sum", "tools.go"],
        }
    }

    /// True when the drivers' versions are pinned: then TABLE.md holds them to the letter.
    pub fn is_pinned(self) -> bool {
        !self.pins().is_empty()
    }

    /// Installs it unless it is.
    pub fn ready(self, mysql: &Mysql) -> Result<Ready, String> {
        let folder = drivers().join(self.folder());
        let home = home(self, &folder)?;
        let _held = Lock::wait(&home.with_extension("lock")).map_err(|error| error.to_string())?;
        let mark = home.join("complete");
        if !mark.exists() {
            cache::remove_tree(&home).map_err(|error| error.to_string())?;
            fs::create_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
            install::install(self, &folder, &home)?;
            fs::write(&mark, "").map_err(|error| format!("{}: {error}", mark.display()))?;
        }
        install::ready(self, &folder, &home, mysql)
    }
}

const RUST: &[&str] =
    &["Cargo.toml", "Cargo.lock", "src/main.rs", "src/trace.rs", "src/mysql_async.rs", "src/sqlx.rs", "src/diesel.rs"];

/// `tests/drivers` in the repository.
pub fn drivers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers")
}

fn home(kit: Kit, folder: &Path) -> Result<PathBuf, String> {
    let mut hasher = DefaultHasher::new();
    folder.hash(&mut hasher);
    for pin in kit.pins() {
        let path = folder.join(pin);
        fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?.hash(&mut hasher);
    }
    let cache = cache::folder().map_err(|error| error.to_string())?;
    Ok(cache.join("drivers").join(format!("{}-{:016x}", kit.folder(), hasher.finish())))
}

/// Runs one step of an installation.
pub(crate) fn run(mut command: Command, what: &str) -> Result<String, String> {
    command.env_remove("RUSTFLAGS").env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        child::output(command, b"", limits::INSTALL_WAIT).map_err(|error| format!("{what}: {program}: {error}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let all = format!("{}{}", output.stdout, output.stderr);
    let lines: Vec<&str> = all.lines().collect();
    Err(format!("{what}: {program} failed:\n{}", lines[lines.len().saturating_sub(25)..].join("\n")))
}
