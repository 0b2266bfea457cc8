//! Where these tests find the repository and the program, and where they may write.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

pub const WEIR: &str = env!("CARGO_BIN_EXE_weir-under-test");

/// An empty folder of this test's own.
pub fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("packaging-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// What it says and how it ends; it gets no environment that could change its configuration.
pub fn run(command: &mut Command) -> Output {
    command.env_remove("WEIR_LOG").env_remove("WEIR_MONITOR_PASSWORD");
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} does not run: {error} (.ci/tools installs what is missing)"))
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A program of a Python package, from a folder of the cache that is filled once; `package` with its version.
pub fn python_tool(package: &str, program: &str) -> PathBuf {
    let cache = weir_control::lab::cache::folder().unwrap_or_else(|error| panic!("{error}"));
    let home = cache.join("packages").join(package.replace("==", "-"));
    let found = home.join("bin").join(program);
    let lock = weir_control::lab::cache::Lock::wait(&home.with_extension("lock"));
    let _lock = lock.unwrap_or_else(|error| panic!("{error}"));
    if !found.exists() {
        let made = run(Command::new("python3").args(["-m", "venv"]).arg(&home));
        assert!(made.status.success(), "{}", text(&made.stderr));
        let filled = run(Command::new(home.join("bin/pip")).args(["install", "-q", package]));
        assert!(filled.status.success(), "{package} cannot be had: {}", text(&filled.stderr));
    }
    found
}
