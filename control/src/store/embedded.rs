//! The embedded store: one crash-safe file (redb), for a cluster with one controller.
//!
//! Invariant: a swap is acknowledged after the file has it and the disk says so (fsync); the file is locked, so a second
//! controller on the same file does not start. A new file appears under its name only when it is complete: a
//! crash while it is made leaves a draft, which the next start throws away.
//!
//! Cost: a swap is one commit with one fsync, on a thread for blocking calls; it happens when the cluster changes, which
//! is seldom. The file has a few hundred KiB and does not grow: the last record replaces the one before.

use super::{Leadership, Peer, Revision, Store, StoreError, Stored, Swap};
use redb::{Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, StorageError, TableDefinition};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

pub struct Embedded {
    database: Arc<Database>,
    heard: watch::Sender<Option<Stored>>,
    leadership: watch::Sender<Leadership>,
    address: String,
}

impl Embedded {
    /// Opens the file, or makes it. `address`: of this controller, as others reach it.
    pub fn open(path: &Path, address: &str) -> Result<Embedded, String> {
        let database = open(path).map_err(|why| format!("the store {} {why}", path.display()))?;
        let now = Instant::now();
        let ours = Leadership::Ours { since: now, until: now + FOR_EVER };
        Ok(Embedded {
            database: Arc::new(database),
            heard: watch::channel(None).0,
            leadership: watch::channel(ours).0,
            address: address.to_string(),
        })
    }

    /// Runs it where blocking is allowed.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = self.database.clone();
        let done = tokio::task::spawn_blocking(move || work(&database)).await;
        done.unwrap_or_else(|error| Err(StoreError::Unknown(error.to_string())))
    }
}

#[tonic::async_trait]
impl Store for Embedded {
    async fn load(&self) -> Result<Option<Stored>, StoreError> {
        self.run(|database| load(database).map_err(failed)).await
    }

    async fn swap(&self, expected: Revision, next: &[u8]) -> Result<Swap, StoreError> {
        let next = next.to_vec();
        self.run(move |database| swap(database, expected, &next)).await
    }

    fn heard(&self) -> watch::Receiver<Option<Stored>> {
        self.heard.subscribe()
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.subscribe()
    }

    async fn peers(&self) -> Result<Vec<Peer>, StoreError> {
        Ok(vec![Peer { address: self.address.clone(), is_leader: true }])
    }

    /// The file is free when this process has ended.
    async fn resign(&self) {
        self.leadership.send_replace(Leadership::Theirs(None));
    }
}

fn load(database: &Database) -> Result<Option<Stored>, redb::Error> {
    let transaction = database.begin_read()?;
    let table = transaction.open_table(TABLE)?;
    let Some(row) = table.get(KEY)? else { return Ok(None) };
    let (revision, bytes) = row.value();
    Ok(Some(Stored { revision: Revision(revision), bytes: bytes.to_vec() }))
}

fn swap(database: &Database, expected: Revision, next: &[u8]) -> Result<Swap, StoreError> {
    let attempt = || -> Result<Option<(redb::WriteTransaction, Revision)>, redb::Error> {
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        // The allocator's state is saved too, so that opening after a crash needs no walk through the file.
        transaction.set_quick_repair(true);
        let revision = {
            let mut table = transaction.open_table(TABLE)?;
            let now = table.get(KEY)?.map_or(0, |row| row.value().0);
            if now != expected.0 {
                return Ok(None);
            }
            let revision = now.checked_add(1).ok_or(redb::Error::Corrupted("no revision is left".to_string()))?;
            table.insert(KEY, (revision, next))?;
            Revision(revision)
        };
        Ok(Some((transaction, revision)))
    };
    let Some((transaction, revision)) = attempt().map_err(failed)? else { return Ok(Swap::Lost) };
    // From here on the file may have it, whatever is reported.
    transaction.commit().map_err(|error| StoreError::Unknown(error.to_string()))?;
    Ok(Swap::Done(revision))
}

fn failed(error: redb::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

fn open(path: &Path) -> Result<Database, String> {
    let cannot = |what: &str, error: &dyn std::fmt::Display| {
        format!("{what} ({error}): name a file that we may write to, in a folder that exists")
    };
    if !path.exists() {
        make(path).map_err(|error| cannot("cannot be made", &error))?;
    }
    match Database::builder().set_cache_size(CACHE_BYTES).open(path) {
        Ok(database) => Ok(database),
        Err(DatabaseError::DatabaseAlreadyOpen) => Err("is used by another controller: each needs a file of its own, \
             or etcd for a common one"
            .to_string()),
        Err(DatabaseError::Storage(StorageError::Corrupted(why))) => {
            Err(format!("is damaged ({why}): restore it from a copy; a new one would begin with epoch 1"))
        }
        Err(error) => Err(cannot("cannot be opened", &error)),
    }
}

/// A complete file appears at once. Of two controllers that do this together the first one's file stays; then both open
/// that one, and the second finds it locked.
fn make(path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let draft = draft(path);
    let _ = std::fs::remove_file(&draft);
    let database = Database::builder().set_cache_size(CACHE_BYTES).create(&draft)?;
    let transaction = database.begin_write()?;
    transaction.open_table(TABLE)?;
    transaction.commit()?;
    drop(database);
    // `hard_link` and not `rename`: it never replaces a file that another controller has made meanwhile.
    match std::fs::hard_link(&draft, path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    std::fs::remove_file(&draft)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}

fn draft(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(format!(".draft-{}", std::process::id()));
    PathBuf::from(name)
}

/// The record's row: revision and bytes.
const TABLE: TableDefinition<&str, (u64, &[u8])> = TableDefinition::new("weir");
const KEY: &str = "topology";

/// There is one small row.
const CACHE_BYTES: usize = 1 << 20;

/// Ten years.
const FOR_EVER: Duration = Duration::from_secs(315_360_000);

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("weir-store-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    #[tokio::test]
    async fn swaps_are_kept_and_late_ones_lost() {
        let path = path("swap");
        let store = Embedded::open(&path, "here:1").unwrap();
        assert_eq!(store.load().await, Ok(None));
        assert_eq!(store.swap(Revision(0), b"one").await, Ok(Swap::Done(Revision(1))));
        assert_eq!(store.swap(Revision(0), b"two").await, Ok(Swap::Lost));
        assert_eq!(store.swap(Revision(1), b"three").await, Ok(Swap::Done(Revision(2))));
        let second = Embedded::open(&path, "here:2").err().unwrap();
        assert!(second.contains("used by another controller"), "{second}");
        drop(store);
        let store = Embedded::open(&path, "here:1").unwrap();
        assert_eq!(store.load().await, Ok(Some(Stored { revision: Revision(2), bytes: b"three".to_vec() })));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_cannot_be_opened_is_told() {
        let path = path("bad");
        std::fs::write(&path, "no store at all").unwrap();
        let why = Embedded::open(&path, "").err().unwrap();
        assert!(why.contains("cannot be opened") || why.contains("damaged"), "{why}");
        std::fs::remove_file(&path).unwrap();
        let why = Embedded::open(Path::new("/nowhere/weir.db"), "").err().unwrap();
        assert!(why.contains("cannot be made") && why.contains("/nowhere/weir.db"), "{why}");
    }
}
