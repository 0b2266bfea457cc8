//! A suite's home: the folder in the cache where its source lies unpacked and built.
//!
//! Invariant: its name follows from the suite's files in the repository, and it holds `complete` once it is whole; one process
//! builds it, others wait. What is fetched is pinned in those files, with sums where the registry gives any.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use weir_control::lab::cache::{self, Lock};
use weir_control::lab::{Mysql, apt};

use super::suite::Suite;
use crate::drivers::kit::{self, Ready};

/// Where a suite is, and what its script is told.
#[derive(Debug, Clone)]
pub struct Home {
    pub folder: PathBuf,
    pub env: BTreeMap<String, String>,
}

impl Home {
    /// As it was, or built now.
    pub fn ready(suite: &Suite, mysql: &Mysql) -> Result<Home, String> {
        let kit = suite.kit.map(|kit| kit.ready(mysql)).transpose()?.unwrap_or_default();
        let folder = path(suite)?;
        let mut home = Home { env: told(&kit, &folder), folder };
        let _held = Lock::wait(&home.folder.with_extension("lock")).map_err(|error| error.to_string())?;
        let mark = home.folder.join("complete");
        if !mark.exists() {
            let io = |error: std::io::Error| format!("{}: {error}", home.folder.display());
            cache::remove_tree(&home.folder).map_err(|error| error.to_string())?;
            fs::create_dir_all(&home.folder).map_err(io)?;
            if let Some(package) = suite.debian {
                let downloads = home.folder.join("source");
                apt::source(suite.name, package, &downloads).map_err(|error| error.to_string())?;
                home.env.insert("SOURCE".to_owned(), downloads.display().to_string());
            }
            kit::run(home.command(suite, "build"), &format!("building the suite {}", suite.name))?;
            fs::write(&mark, "").map_err(io)?;
        }
        Ok(home)
    }

    /// The suite's script, to `build` or to `run`.
    pub fn command(&self, suite: &Suite, what: &str) -> Command {
        let mut command = Command::new("bash");
        command.arg("-eu").arg(scripts().join(suite.script)).arg(what).args(suite.args);
        command.current_dir(&self.folder).envs(&self.env).env("TZ", "UTC").env("LC_ALL", "C.UTF-8");
        command
    }
}

/// `tests/drivers/suites` in the repository.
pub fn scripts() -> PathBuf {
    kit::drivers().join("suites")
}

/// `RUN` is how the kit's program is started; `FILES` is where the suite's own files are.
fn told(kit: &Ready, home: &Path) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = kit.env.iter().cloned().collect();
    env.insert("RUN".to_owned(), kit.program.join(" "));
    env.insert("FILES".to_owned(), scripts().display().to_string());
    env.insert("SUITE_HOME".to_owned(), home.display().to_string());
    env
}

fn path(suite: &Suite) -> Result<PathBuf, String> {
    let mut hasher = DefaultHasher::new();
    (suite.debian, suite.args, scripts()).hash(&mut hasher);
    for name in suite.pins.iter().chain([&suite.script]) {
        let file = scripts().join(name);
        fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?.hash(&mut hasher);
    }
    let cache = cache::folder().map_err(|error| error.to_string())?;
    Ok(cache.join("suites").join(format!("{}-{:016x}", word(suite.name), hasher.finish())))
}

/// A name that is fit for a file: `PHP mysqli` → `php-mysqli`.
pub fn word(name: &str) -> String {
    name.to_lowercase()
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|w| !w.is_empty())
        .collect::<Vec<_>>()
        .join("-")
}
