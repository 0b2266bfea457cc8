//! The table permissions that hold now: the file's, or the last good ones.
//!
//! Invariant: rules are replaced whole, and only by a file without a mistake. The file is looked at (`stat`) once a second
//! and read when its time, size or inode has changed; inotify was left out, because it misses a file that is replaced by
//! a rename of its folder, as mounted configuration maps are.

use crate::acl::{Rules, file};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

#[derive(Clone)]
pub struct Permissions {
    path: Option<PathBuf>,
    state: Arc<Mutex<State>>,
}

struct State {
    rules: Arc<Rules>,
    mark: Option<Mark>,
}

/// What tells one version of a file from another: seconds, nanoseconds, size, inode.
type Mark = (i64, i64, u64, u64);

impl Permissions {
    /// At the start a mistake is an error: there is no last good one.
    pub fn open(path: Option<&Path>) -> Result<Permissions, String> {
        let rules = path.map(file::read).transpose().map_err(|mistakes| mistakes.to_string())?;
        let state = State { rules: Arc::new(rules.unwrap_or_default()), mark: path.and_then(mark) };
        Ok(Permissions { path: path.map(Path::to_path_buf), state: Arc::new(Mutex::new(state)) })
    }

    pub fn current(&self) -> Arc<Rules> {
        self.lock().rules.clone()
    }

    /// Reads the file now. Mistakes leave what holds as it is.
    pub fn reload(&self) -> Vec<String> {
        let Some(path) = &self.path else { return vec!["no file of permissions is configured".to_string()] };
        let mark = mark(path);
        let read = file::read(path);
        let mut state = self.lock();
        state.mark = mark;
        match read {
            Ok(rules) => {
                tracing::info!(event = "permissions_loaded", groups = rules.len(), "table permissions are loaded");
                state.rules = Arc::new(rules);
                Vec::new()
            }
            Err(mistakes) => {
                tracing::error!(event = "permissions_wrong", "the last good ones hold: {mistakes}");
                mistakes.0.iter().map(ToString::to_string).collect()
            }
        }
    }

    /// Reads it whenever it has changed.
    pub async fn watch(self) {
        while self.path.is_some() {
            tokio::time::sleep(LOOK_PAUSE).await;
            self.look();
        }
    }

    fn look(&self) {
        let now = self.path.as_deref().and_then(mark);
        let is_new = now != self.lock().mark;
        if is_new {
            self.reload();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn mark(path: &Path) -> Option<Mark> {
    let data = std::fs::metadata(path).ok()?;
    Some((data.mtime(), data.mtime_nsec(), data.size(), data.ino()))
}

const LOOK_PAUSE: Duration = Duration::from_millis(1_000);

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[[groups]]\nname = \"g\"\ntables = [\"s.%\"]\n";

    #[test]
    fn a_changed_file_is_read_and_a_wrong_one_changes_nothing() {
        let path = std::env::temp_dir().join(format!("weir-acl-test-{}.toml", std::process::id()));
        std::fs::write(&path, "groups = 5").unwrap();
        assert!(Permissions::open(Some(&path)).err().unwrap().contains(":1:10: 'groups' is a list"));
        std::fs::write(&path, GOOD).unwrap();
        let permissions = Permissions::open(Some(&path)).unwrap();
        permissions.look();
        assert_eq!(permissions.current().len(), 1);
        std::fs::write(&path, format!("{GOOD}[[groups]]\nname = \"h\"\ntables = [\"t.x\"]\n")).unwrap();
        permissions.look();
        assert_eq!(permissions.current().len(), 2);
        std::fs::write(&path, "[[groups]]\n").unwrap();
        permissions.look();
        assert_eq!(permissions.current().len(), 2);
        assert_eq!(permissions.reload().len(), 2);
        std::fs::remove_file(&path).unwrap();
    }
}
