//! `LabError`: why the laboratory could not do it, in sentences that say what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Every variant prints as plain sentences; what can be done about it comes last.
#[derive(Debug)]
pub enum LabError {
    /// A mysqld that the caller named cannot be used.
    Unusable { path: PathBuf, why: String },
    /// Nothing was found, and this system offers no way to fetch it.
    NoPackages { product: &'static str, why: String, passed: Vec<String> },
    /// The mirror could not be reached, or refused.
    Mirror { product: &'static str, detail: String, passed: Vec<String> },
    /// The mirror answered, but its signature does not hold here.
    Signature { detail: String },
    /// No space below this folder.
    DiskFull { path: PathBuf, free_bytes: u64, wanted_bytes: u64 },
    /// A package could not be unpacked, or what came out does not run.
    Unpack { what: String, detail: String },
    /// A server could not be prepared or started, with the last lines of its log.
    Server { what: String, log: PathBuf, lines: Vec<String> },
    /// A statement failed.
    Sql { server: String, message: String },
    /// A port that the caller wanted is taken.
    PortTaken { port: u16 },
    /// No free port was found.
    NoPort { tried: u32 },
    /// The caller asked for what cannot be.
    Asked { what: String },
    /// The operating system refused.
    Io { doing: String, path: PathBuf, source: io::Error },
}

impl LabError {
    pub(crate) fn io(doing: &str, path: &Path, source: io::Error) -> LabError {
        if source.raw_os_error() == Some(libc::ENOSPC) || source.raw_os_error() == Some(libc::EDQUOT) {
            return LabError::DiskFull { path: path.to_owned(), free_bytes: 0, wanted_bytes: 0 };
        }
        LabError::Io { doing: doing.to_owned(), path: path.to_owned(), source }
    }

    /// The ways in which a fetch fails.
    fn write_fetch(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LabError::NoPackages { product, why, passed } => {
                write!(f, "No {product} was found, and none can be fetched: {why}.")?;
                write_passed(f, passed)?;
                write!(f, " {}", by_hand(product))
            }
            LabError::Mirror { product, detail, passed } => {
                write!(f, "{product} could not be fetched from this system's package mirror: {detail}.")?;
                write_passed(f, passed)?;
                write!(f, " Check the network (apt's own proxy settings are used) and try again; ")?;
                write!(f, "what was downloaded so far is kept. Or: {}", by_hand(product))
            }
            LabError::Signature { detail } => write!(
                f,
                "The package mirror's lists are not signed by a key that this system trusts: {detail}. Update the \
                 archive keyring package (debian-archive-keyring or ubuntu-keyring) and try again."
            ),
            LabError::DiskFull { path, free_bytes, wanted_bytes } => {
                write!(f, "The disk below {} is full", path.display())?;
                if *wanted_bytes > 0 {
                    write!(f, ": {} MB free, {} MB wanted", free_bytes / 1_000_000, wanted_bytes / 1_000_000)?;
                }
                write!(f, ". Make room, or set WEIR_CACHE to a folder on another disk.")
            }
            LabError::Unpack { what, detail } => {
                write!(f, "{what} could not be unpacked and made to run: {detail}. Try again: it is fetched anew.")
            }
            _ => Ok(()),
        }
    }

    /// Adds the reasons why earlier candidates were passed over.
    pub(crate) fn passed(mut self, reasons: &[String]) -> LabError {
        if let LabError::NoPackages { passed, .. } | LabError::Mirror { passed, .. } = &mut self {
            passed.extend_from_slice(reasons);
        }
        self
    }
}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LabError::Unusable { path, why } => {
                write!(f, "{} cannot be used: {why}.", path.display())
            }
            LabError::NoPackages { .. }
            | LabError::Mirror { .. }
            | LabError::Signature { .. }
            | LabError::DiskFull { .. }
            | LabError::Unpack { .. } => self.write_fetch(f),
            LabError::Server { what, log, lines } => write_with_log(f, what, log, lines),
            LabError::Sql { server, message } => {
                write!(f, "{server} refused a statement: {message}")
            }
            LabError::PortTaken { port } => {
                write!(f, "Port {port} of 127.0.0.1 is taken by another process. Stop that one or choose another port.")
            }
            LabError::NoPort { tried } => {
                write!(f, "No free TCP port was found among {tried}. Are old servers still running?")
            }
            LabError::Asked { what } => write!(f, "{what}."),
            LabError::Io { doing, path, source } => write!(f, "Failed: {doing} {}: {source}.", path.display()),
        }
    }
}

impl std::error::Error for LabError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LabError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn write_passed(f: &mut fmt::Formatter<'_>, passed: &[String]) -> fmt::Result {
    passed.iter().try_for_each(|reason| write!(f, " Passed over: {reason}."))
}

/// A sentence, and the last lines of a log. A temporary log may be gone by the time that this is read: then nobody is
/// sent there.
pub(crate) fn write_with_log(f: &mut fmt::Formatter<'_>, what: &str, log: &Path, lines: &[String]) -> fmt::Result {
    write!(f, "{what}.")?;
    if log.exists() {
        write!(f, " Its log is {}.", log.display())?;
    }
    if !lines.is_empty() {
        write!(f, " Its log ended so:")?;
    }
    lines.iter().try_for_each(|line| write!(f, "\n    {line}"))
}

fn by_hand(product: &str) -> String {
    match product {
        "MySQL" => "Install MySQL 8.0 or newer yourself and name its server: --mysqld /path/to/mysqld.".to_owned(),
        other => format!("Install {other} yourself, so that it is on the PATH."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart_from_other_io() {
        let full = LabError::io("writing", Path::new("/x"), io::Error::from_raw_os_error(libc::ENOSPC));
        assert!(matches!(full, LabError::DiskFull { .. }), "{full}");
        let other = LabError::io("writing", Path::new("/x"), io::Error::from_raw_os_error(libc::EACCES));
        assert!(matches!(other, LabError::Io { .. }), "{other}");
    }

    #[test]
    fn reasons_are_told_with_the_error() {
        let error = LabError::NoPackages { product: "MySQL", why: "there is no apt-get".into(), passed: vec![] };
        let text = error.passed(&["/usr/sbin/mysqld is MariaDB".into()]).to_string();
        assert!(text.contains("Passed over: /usr/sbin/mysqld is MariaDB."), "{text}");
        assert!(text.contains("--mysqld"), "{text}");
    }
}
