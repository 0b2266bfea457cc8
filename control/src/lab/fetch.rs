//! `Mysql`: a MySQL server and its client on this machine, found or fetched. A MariaDB server's is made by `mariadb.rs`.
//!
//! Invariant: what `find` returns has said its version and is MySQL 8.0 or newer. What was found and not taken is told
//! when nothing else turns up.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use weir_net::flavour::Flavour;

use super::apt::Suite;
use super::unpack::{self, Product};
use super::{LabError, Report, child, limits};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mysql {
    pub mysqld: PathBuf,
    /// The `mysql` client.
    pub client: PathBuf,
    pub version: Version,
    pub flavour: Flavour,
    /// Where the files lie that a server compiled for other paths must be told of; `None` where it knows.
    pub root: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u16,
    pub minor: u16,
    pub patch: u16,
}

impl Mysql {
    /// The one named, else one on the PATH, else one fetched earlier, else one fetched now.
    pub fn find(explicit: Option<&Path>, report: Report<'_>) -> Result<Mysql, LabError> {
        if let Some(path) = explicit {
            let mysqld = ["", "bin/mysqld", "sbin/mysqld"].iter().map(|below| path.join(below)).find(|p| p.is_file());
            let mysqld = mysqld.unwrap_or_else(|| path.to_owned());
            return Mysql::judge(&mysqld).map_err(|why| LabError::Unusable { path: mysqld, why });
        }
        let mut passed = Vec::new();
        for mysqld in on_path("mysqld") {
            match Mysql::judge(&mysqld).and_then(Mysql::unconfined) {
                Ok(mysql) => return Ok(mysql),
                Err(why) => passed.push(format!("{}: {why}", mysqld.display())),
            }
        }
        let root = unpack::root(&PRODUCT, report).map_err(|error| error.passed(&passed))?;
        let mysqld = root.join("usr/sbin/mysqld");
        Mysql::judge(&mysqld).map_err(|why| LabError::Unpack { what: mysqld.display().to_string(), detail: why })
    }

    /// Options that every run of this server needs to find its own files.
    pub fn own_options(&self) -> Vec<String> {
        let Some(root) = &self.root else {
            return Vec::new();
        };
        let usr = root.join("usr");
        vec![
            format!("--basedir={}", usr.display()),
            format!("--lc-messages-dir={}", share(root).display()),
            format!("--character-sets-dir={}", share(root).join("charsets").display()),
            format!("--plugin-dir={}", usr.join("lib/mysql/plugin").display()),
        ]
    }

    fn judge(mysqld: &Path) -> Result<Mysql, String> {
        let mut command = Command::new(mysqld);
        // A mysqld that reads no files says its version whatever the system's my.cnf holds.
        command.args(["--no-defaults", "--version"]);
        let output = child::output(command, b"", limits::VERSION_WAIT).map_err(|e| format!("it does not run: {e}"))?;
        if !output.status.success() {
            let line = output.stderr.lines().next().unwrap_or("it failed without a word");
            return Err(format!("it does not run: {line}"));
        }
        let version = Version::read(&output.stdout)?;
        let Some(client) = client_of(mysqld) else {
            return Err("there is no mysql client of MySQL's own beside it or on the PATH".to_owned());
        };
        let (mysqld, root) = (mysqld.to_owned(), root_of(mysqld));
        Ok(Mysql { mysqld, client, version, flavour: Flavour::Mysql, root })
    }

    /// AppArmor lets a packaged mysqld write to its own folders only.
    fn unconfined(self) -> Result<Mysql, String> {
        let on =
            std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.contains('Y'));
        let profile = self.mysqld.to_string_lossy().trim_start_matches('/').replace('/', ".");
        let file = Path::new("/etc/apparmor.d").join(&profile);
        let disabled = Path::new("/etc/apparmor.d/disable").join(&profile);
        if on && file.exists() && !disabled.exists() {
            return Err("AppArmor confines it to its own folders".to_owned());
        }
        Ok(self)
    }
}

impl Version {
    pub const OLDEST: Version = Version { major: 8, minor: 0, patch: 0 };

    /// Reads `…/mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))`.
    fn read(text: &str) -> Result<Version, String> {
        let line = text.lines().next().unwrap_or_default();
        if Flavour::of(line.as_bytes()) == Flavour::MariaDb {
            return Err("it is MariaDB, not MySQL".to_owned());
        }
        let version =
            Version::said(line).ok_or_else(|| format!("it does not say a version that MySQL would: {line:?}"))?;
        if version < Version::OLDEST {
            return Err(format!("it is MySQL {version}, and {} or newer is needed", Version::OLDEST));
        }
        Ok(version)
    }
}

impl Version {
    /// The number behind `Ver `, whoever says it.
    pub(super) fn said(line: &str) -> Option<Version> {
        let number = line.split_once("Ver ")?.1.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        let mut parts = number.split('.').map(|part| part.parse().ok());
        Some(Version { major: parts.next()??, minor: parts.next()??, patch: parts.next()?? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Programs of this name on the PATH and where servers lie that a user's PATH leaves out, each once.
pub fn on_path(name: &str) -> Vec<PathBuf> {
    candidates(name, env::var_os("PATH"))
}

fn candidates(name: &str, path: Option<OsString>) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let folders: Vec<PathBuf> = path.map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin", "/usr/local/mysql/bin"].map(PathBuf::from);
    for program in folders.into_iter().chain(usual).filter_map(|folder| folder.join(name).canonicalize().ok()) {
        if program.is_file() && !found.contains(&program) {
            found.push(program);
        }
    }
    found
}

fn client_of(mysqld: &Path) -> Option<PathBuf> {
    let folder = mysqld.parent()?;
    let beside = [folder.join("mysql"), folder.join("../bin/mysql")];
    let beside = beside.into_iter().filter_map(|path| path.canonicalize().ok().filter(|path| path.is_file()));
    beside.chain(on_path("mysql")).find(|client| {
        let mut command = Command::new(client);
        command.args(["--no-defaults", "--version"]);
        // MariaDB's client lacks options that logging in to MySQL needs.
        child::output(command, b"", limits::VERSION_WAIT)
            .is_ok_and(|output| output.status.success() && !output.stdout.contains("MariaDB"))
    })
}

/// The root of an unpacked package tree, told by its messages; the system's own root needs no telling.
pub(super) fn root_of(mysqld: &Path) -> Option<PathBuf> {
    let root = mysqld.canonicalize().ok()?.parent()?.parent()?.parent()?.to_owned();
    (root != Path::new("/") && share(&root).join("english/errmsg.sys").exists()).then_some(root)
}

/// Messages, character sets and scripts; MariaDB has its own folder since 11.
pub(super) fn share(root: &Path) -> PathBuf {
    let own = root.join("usr/share/mariadb");
    if own.join("english/errmsg.sys").exists() { own } else { root.join("usr/share/mysql") }
}

const PRODUCT: Product = Product {
    name: "MySQL",
    suite: Suite::WithMysql,
    packages: &["mysql-server-core*", "mysql-client-core*"],
    programs: &["usr/sbin/mysqld", "usr/bin/mysql", "usr/bin/mysqldump", "usr/bin/mysqladmin", "usr/bin/mysqlbinlog"],
    libraries: &["usr/lib/mysql/plugin", "usr/lib/mysql/private"],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_judged() {
        let check = |text: &str, expected: Result<&str, &str>| match (Version::read(text), expected) {
            (Ok(version), Ok(expected)) => assert_eq!(version.to_string(), expected),
            (Err(why), Err(expected)) => assert!(why.contains(expected), "{why}"),
            (got, _) => panic!("{text}: {got:?}"),
        };
        check("/usr/sbin/mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))\n", Ok("9.7.4"));
        check("mysqld  Ver 8.0.36-0ubuntu0.22.04.1 for Linux on x86_64 ((Ubuntu))", Ok("8.0.36"));
        check("mysqld  Ver 8.4.0 for Linux on aarch64 (MySQL Community Server - GPL)", Ok("8.4.0"));
        check("mysqld  Ver 5.7.44 for Linux", Err("8.0.0 or newer"));
        check("mysqld  Ver 10.11.6-MariaDB-0+deb12u1 for debian-linux-gnu", Err("MariaDB"));
        check("hello", Err("does not say"));
        check("", Err("does not say"));
    }

    #[test]
    fn the_path_is_searched_in_order_and_each_program_named_once() {
        let dir = env::temp_dir().join(format!("weir-path-test-{}", std::process::id()));
        for part in ["a", "b"] {
            std::fs::create_dir_all(dir.join(part)).unwrap();
            std::fs::write(dir.join(part).join("weir-none-such"), "").unwrap();
        }
        let path = env::join_paths([dir.join("b"), dir.join("a"), dir.join("b")]).unwrap();
        let dir = dir.canonicalize().unwrap();
        let expected = [dir.join("b/weir-none-such"), dir.join("a/weir-none-such")];
        assert_eq!(candidates("weir-none-such", Some(path)), expected);
        assert!(candidates("weir-none-such", None).is_empty());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_named_server_that_is_none_is_refused_with_the_reason() {
        let error = Mysql::find(Some(Path::new("/bin/true")), &mut |_| {}).unwrap_err();
        assert!(matches!(&error, LabError::Unusable { .. }), "{error}");
        let error = Mysql::find(Some(Path::new("/nowhere/mysqld")), &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("does not run"), "{error}");
    }
}
