//! The table permissions that hold now: the file's, or the last good ones.
//!
//! Invariant: rules are replaced whole, and only by a file without a mistake. The file is looked at (`stat`) once a second
//! and read when its time, size or inode has changed; inotify was left out, because it misses a file that is replaced by
//! a rename of its folder, as mounted configuration maps are.

use super::{Rules, file};
use crate::renewal::{LOOK_PAUSE, Mark, mark};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

#[derive(Clone)]
pub struct Permissions {
    path: Option<PathBuf>,
    state: Arc<Mutex<State>>,
    news: watch::Receiver<()>,
}

struct State {
    rules: Arc<Rules>,
    /// Of the rules: the first file's is 1.
    version: u64,
    /// Files that were not taken.
    wrong: u64,
    mark: Option<Mark>,
    teller: watch::Sender<()>,
}

impl Permissions {
    /// At the start a mistake is an error: there is no last good one.
    pub fn open(path: Option<&Path>) -> Result<Permissions, String> {
        let rules = path.map(file::read).transpose().map_err(|mistakes| mistakes.to_string())?;
        let (teller, news) = watch::channel(());
        let rules = Arc::new(rules.unwrap_or_default());
        let state = State { rules, version: 1, wrong: 0, mark: path.and_then(mark), teller };
        Ok(Permissions { path: path.map(Path::to_path_buf), state: Arc::new(Mutex::new(state)), news })
    }

    /// In the place of others: cores remember what passed by the version, so each set of rules needs one of its own.
    pub fn following(self, version: u64) -> Permissions {
        self.lock().version = version + 1;
        self
    }

    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What cores are to obey.
    pub fn held(&self) -> weir_core::permissions::Permissions {
        let state = self.lock();
        weir_core::permissions::Permissions { rules: state.rules.clone(), version: state.version }
    }

    /// Other rules hold than at this one's last call.
    pub async fn changed(&mut self) {
        if self.news.changed().await.is_err() {
            // The sender lives in our own state.
            std::future::pending().await
        }
    }

    /// Files with mistakes since the start.
    pub fn wrong(&self) -> u64 {
        self.lock().wrong
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
                state.version += 1;
                state.teller.send_replace(());
                Vec::new()
            }
            Err(mistakes) => {
                state.wrong += 1;
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
        assert_eq!((permissions.held().version, permissions.wrong()), (2, 2));
        std::fs::remove_file(&path).unwrap();
    }
}
