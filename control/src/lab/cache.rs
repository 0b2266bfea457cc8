//! The cache folder: where fetched packages, the data template, port locks and temporary clusters live.
//!
//! Invariant: whatever several processes might make at once is made under a lock file (`flock`, so that a dead process
//! holds none) in a folder of its own and appears under its name by one rename.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::LabError;

/// The cache folder, made if need be: `$WEIR_CACHE`, else `$XDG_CACHE_HOME/weir`, else `~/.cache/weir`.
/// Absolute, because programs are made to run from exactly there.
pub fn folder() -> Result<PathBuf, LabError> {
    let Some(path) = folder_of(&|name| std::env::var_os(name)) else {
        return Err(LabError::Asked {
            what: "No cache folder: neither WEIR_CACHE nor HOME is set; set one".to_owned(),
        });
    };
    fs::create_dir_all(&path).map_err(|e| LabError::io("making the cache folder (WEIR_CACHE moves it)", &path, e))?;
    path.canonicalize().map_err(|e| LabError::io("finding the cache folder", &path, e))
}

fn folder_of(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("WEIR_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").filter(|path| path.is_absolute()).map(|path| path.join("weir")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/weir")))
}

/// An exclusive lock, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock if nobody has it.
    pub fn attempt(path: &Path) -> Result<Option<Lock>, LabError> {
        Lock::acquire(path, libc::LOCK_EX | libc::LOCK_NB)
    }

    /// Takes the lock, however long that takes: whoever holds it has limits of its own.
    pub fn wait(path: &Path) -> Result<Lock, LabError> {
        loop {
            if let Some(lock) = Lock::acquire(path, libc::LOCK_EX)? {
                return Ok(lock);
            }
        }
    }

    fn acquire(path: &Path, operation: i32) -> Result<Option<Lock>, LabError> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|e| LabError::io("making", parent, e))?;
        }
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(path);
        let file = open.map_err(|e| LabError::io("opening the lock", path, e))?;
        // SAFETY: flock only reads the descriptor, which `file` keeps open.
        if unsafe { libc::flock(file.as_raw_fd(), operation) } == 0 {
            return Ok(Some(Lock { _file: file }));
        }
        let error = std::io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EWOULDBLOCK | libc::EINTR) => Ok(None),
            _ => Err(LabError::io("locking", path, error)),
        }
    }
}

/// A folder for one process's temporary files; gone when dropped. What dead processes left behind is removed when the
/// next one is made.
#[derive(Debug)]
pub struct TemporaryFolder {
    path: PathBuf,
    lock: PathBuf,
    _held: Lock,
}

impl TemporaryFolder {
    pub fn create(cache: &Path) -> Result<TemporaryFolder, LabError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let runs = cache.join("run");
        remove_orphans(&runs);
        let name = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let (path, lock) = (runs.join(&name), runs.join(format!("{name}.lock")));
        let held = Lock::wait(&lock)?;
        // A leftover of an earlier process with this id is not held by anybody: we have its lock.
        remove_tree(&path)?;
        fs::create_dir_all(&path).map_err(|e| LabError::io("making", &path, e))?;
        Ok(TemporaryFolder { path, lock, _held: held })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // Nothing is lost if this fails: the next process removes it.
        let _ = fs::remove_dir_all(&self.path);
        let _ = fs::remove_file(&self.lock);
    }
}

fn remove_orphans(runs: &Path) {
    let Ok(entries) = fs::read_dir(runs) else {
        return;
    };
    for lock in entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "lock"))
    {
        if let Ok(Some(_held)) = Lock::attempt(&lock) {
            let _ = fs::remove_dir_all(lock.with_extension(""));
            let _ = fs::remove_file(&lock);
        }
    }
}

/// Removes a folder with all that is in it; one that isn't there is removed already.
pub fn remove_tree(path: &Path) -> Result<(), LabError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(LabError::io("removing", path, e)),
        _ => Ok(()),
    }
}

/// Bytes that this user may still write below `path`, which exists.
pub fn free_bytes(path: &Path) -> Result<u64, LabError> {
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::CString::new(path.as_os_str().as_bytes())
        .map_err(|e| LabError::io("reading the free space of", path, e.into()))?;
    // SAFETY: statvfs is plain numbers, for which all bits zero is a value.
    let mut space: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: `name` ends in NUL and `space` is writable; both outlive the call.
    if unsafe { libc::statvfs(name.as_ptr(), &mut space) } != 0 {
        return Err(LabError::io("reading the free space of", path, std::io::Error::last_os_error()));
    }
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

/// Number and bytes of the regular files below `path`: a fingerprint that tells a damaged folder.
pub fn census(path: &Path) -> std::io::Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files += 1;
                bytes += entry.metadata()?.len();
            }
        }
    }
    Ok((files, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("weir-cache-test-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn the_folder_follows_the_environment() {
        let check = |set: &[(&str, &str)], expected: Option<&str>| {
            let variable = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
            assert_eq!(folder_of(&variable), expected.map(PathBuf::from), "{set:?}");
        };
        check(&[("WEIR_CACHE", "/c"), ("HOME", "/h")], Some("/c"));
        check(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")], Some("/x/weir"));
        check(&[("XDG_CACHE_HOME", "not/absolute"), ("HOME", "/h")], Some("/h/.cache/weir"));
        check(&[("WEIR_CACHE", ""), ("HOME", "/h")], Some("/h/.cache/weir"));
        check(&[], None);
    }

    #[test]
    fn a_lock_is_had_once_and_ends_with_its_owner() {
        let dir = scratch("lock");
        let path = dir.join("l");
        let first = Lock::attempt(&path).unwrap();
        assert!(first.is_some());
        assert!(Lock::attempt(&path).unwrap().is_none());
        drop(first);
        assert!(Lock::attempt(&path).unwrap().is_some());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn temporary_folders_vanish_and_orphans_with_them() {
        let dir = scratch("runs");
        let orphan = dir.join("run/999999-0");
        fs::create_dir_all(&orphan).unwrap();
        fs::write(dir.join("run/999999-0.lock"), "").unwrap();
        let folder = TemporaryFolder::create(&dir).unwrap();
        assert!(!orphan.exists());
        let second = TemporaryFolder::create(&dir).unwrap();
        assert!(folder.path().exists() && second.path() != folder.path());
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists());
        drop(second);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn free_space_and_census_are_read() {
        let dir = scratch("census");
        fs::write(dir.join("a"), "12345").unwrap();
        fs::create_dir(dir.join("d")).unwrap();
        fs::write(dir.join("d/b"), "123").unwrap();
        assert_eq!(census(&dir).unwrap(), (2, 8));
        assert!(free_bytes(&dir).unwrap() > 0);
        assert!(free_bytes(&dir.join("nowhere")).is_err());
        fs::remove_dir_all(dir).unwrap();
    }
}
