//! Told: the last record that a gate or a tablet believes, and where it keeps it for the next start.
//!
//! Invariant: it only grows. The file is replaced by a rename, so a crash leaves the old word or the new one.

use crate::controller::epoch::{Admission, Epoch, Guard};
use crate::controller::record::Record;
use crate::controller::wire;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

#[derive(Clone)]
pub struct Told {
    guard: Arc<Mutex<Guard>>,
    news: watch::Sender<Option<Arc<Record>>>,
    cache: Option<Arc<PathBuf>>,
}

impl Told {
    /// With a file, begins with the word that it holds. Err: the file holds something else.
    pub fn open(cache: Option<&Path>) -> Result<Told, String> {
        let told = Told { guard: Arc::default(), news: watch::channel(None).0, cache: None };
        let Some(path) = cache else { return Ok(told) };
        match std::fs::read(path) {
            Ok(bytes) => {
                let record = wire::decode(&bytes).map_err(|why| {
                    format!("{} is no kept topology: {why}; remove it, or name another file", path.display())
                })?;
                told.admit(record);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{} cannot be read ({error}): name another file", path.display())),
        }
        Ok(Told { cache: Some(Arc::new(path.to_path_buf())), ..told })
    }

    pub fn epoch(&self) -> Epoch {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner).epoch()
    }

    pub fn record(&self) -> Option<Arc<Record>> {
        self.news.borrow().clone()
    }

    pub fn news(&self) -> watch::Receiver<Option<Arc<Record>>> {
        self.news.subscribe()
    }

    /// Believes it, unless it is older than what is known, or another of the same epoch. False: it was refused.
    pub fn admit(&self, record: Record) -> bool {
        // Held while it is told and kept: two that come at once are told in the order of their epochs.
        let mut guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        match guard.admit(record) {
            Admission::Known => true,
            Admission::Refused(refused) => {
                tracing::warn!(event = "topology_refused", "a controller's word is not believed: {refused}");
                false
            }
            Admission::News(record) => {
                tracing::info!(event = "topology_heard", epoch = record.epoch.number(), reason = record.reason);
                self.keep(&record);
                self.news.send_replace(Some(record));
                true
            }
        }
    }

    /// A word that can't be kept is still a word: only a later start without controllers would miss it.
    fn keep(&self, record: &Record) {
        let Some(path) = &self.cache else { return };
        let draft = path.with_extension("draft");
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::File::create(&draft)?;
            file.write_all(&wire::encode(record))?;
            file.sync_all()?;
            std::fs::rename(&draft, path.as_path())
        };
        if let Err(error) = write() {
            tracing::warn!(event = "topology_not_kept", "{} cannot be written ({error})", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::record::Phase;
    use crate::controller::record::tests::record;

    #[test]
    fn the_last_word_outlives_the_process_and_never_goes_back() {
        let path = std::env::temp_dir().join(format!("weir-told-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let told = Told::open(Some(&path)).unwrap();
        assert_eq!((told.epoch(), told.record()), (Epoch::NONE, None));
        assert!(told.admit(record(7, Phase::Forming)));
        assert!(!told.admit(record(6, Phase::Forming)));
        let again = Told::open(Some(&path)).unwrap();
        assert_eq!(again.record().as_deref(), Some(&record(7, Phase::Forming)));
        assert!(!again.admit(record(6, Phase::Forming)));
        assert!(again.admit(record(8, Phase::Steady { primary: "b".to_string() })));
        assert_eq!(Told::open(Some(&path)).unwrap().epoch(), Epoch::new(8));
        std::fs::write(&path, "nothing").unwrap();
        assert!(Told::open(Some(&path)).err().unwrap().contains("no kept topology"));
        std::fs::remove_file(&path).unwrap();
    }
}
