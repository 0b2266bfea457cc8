//! Files that belong together, such as a certificate and its key, and are replaced by somebody else now and then.
//!
//! They are looked at (`stat`) once a second and read when the time, size or inode of one has changed; inotify was left out for the
//! reasons that `acl::permissions` gives. What does not fit together is read again at each look, since a certificate and its
//! key are written one after the other; only when that lasts is it told.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug)]
pub struct Renewal {
    paths: Vec<PathBuf>,
    marks: Vec<Option<Mark>>,
    state: State,
}

/// What tells one version of a file from another: seconds, nanoseconds, size, inode.
pub type Mark = (i64, i64, u64, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// What was read holds.
    Taken,
    /// So many readings have failed since the files changed.
    Failing(u32),
}

impl Renewal {
    /// They have just been read.
    pub fn of(paths: Vec<PathBuf>) -> Renewal {
        let marks = marks(&paths);
        Renewal { paths, marks, state: State::Taken }
    }

    /// They are to be read now; what came of it goes to [`Renewal::handle`].
    pub fn is_due(&mut self) -> bool {
        let marks = marks(&self.paths);
        let is_changed = marks != self.marks;
        self.marks = marks;
        if is_changed && self.state == State::Taken {
            self.state = State::Failing(0);
        }
        self.state != State::Taken
    }

    /// True: a failure that is worth a line.
    pub fn handle(&mut self, is_usable: bool) -> bool {
        match (self.state, is_usable) {
            (_, true) => self.state = State::Taken,
            (State::Failing(tries), false) => self.state = State::Failing(tries.saturating_add(1)),
            (State::Taken, false) => self.state = State::Failing(1),
        }
        self.state == State::Failing(TRIES_QUIET)
    }
}

fn marks(paths: &[PathBuf]) -> Vec<Option<Mark>> {
    paths.iter().map(|path| mark(path)).collect()
}

/// None: it cannot be looked at.
pub fn mark(path: &Path) -> Option<Mark> {
    let data = std::fs::metadata(path).ok()?;
    Some((data.mtime(), data.mtime_nsec(), data.size(), data.ino()))
}

/// Between two looks.
pub const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Readings, one a look, before a failure is told: whoever writes both files is long through.
const TRIES_QUIET: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_when_they_changed_and_until_they_fit() {
        let path = std::env::temp_dir().join(format!("weir-renewal-{}", std::process::id()));
        std::fs::write(&path, "one").unwrap();
        let mut renewal = Renewal::of(vec![path.clone()]);
        assert!(!renewal.is_due());
        std::fs::write(&path, "another").unwrap();
        assert!(renewal.is_due() && !renewal.handle(true));
        assert!(!renewal.is_due());
        std::fs::remove_file(&path).unwrap();
        let told: Vec<bool> = (0..8)
            .map(|_| {
                assert!(renewal.is_due());
                renewal.handle(false)
            })
            .collect();
        assert_eq!(told.iter().position(|told| *told), Some(TRIES_QUIET as usize - 1));
        assert_eq!(told.iter().filter(|told| **told).count(), 1, "{told:?}");
        std::fs::write(&path, "one").unwrap();
        assert!(renewal.is_due() && !renewal.handle(true));
        assert!(!renewal.is_due());
        std::fs::remove_file(&path).unwrap();
    }
}
