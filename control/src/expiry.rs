//! When certificates end: told in metrics, and in the log before it is too late.
//!
//! Invariant: only what can be read is told; that a file is wrong is the matter of who uses it.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use weir_net::certificate::Certificate;

/// Of one file: the earliest end of all certificates in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// `clients`, `backends` or `grpc`.
    pub used_for: &'static str,
    pub file: String,
    /// Seconds since 1970.
    pub not_after: i64,
}

impl Expiry {
    /// Of those files that hold certificates.
    pub fn of(used_for: &'static str, files: &[PathBuf]) -> Vec<Expiry> {
        let read = |path: &PathBuf| {
            let not_after = not_after(path)?;
            Some(Expiry { used_for, file: path.display().to_string(), not_after })
        };
        files.iter().filter_map(read).collect()
    }

    /// What an operator should do soon, or should have done.
    pub fn trouble(&self, now: SystemTime) -> Option<String> {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        let Expiry { used_for, file, not_after } = self;
        let left = not_after - now;
        match left {
            ..=0 => {
                Some(format!("{file} ({used_for}) expired {} h ago: replace it, it is read at once", -left / 3_600))
            }
            1..WARN_S => {
                Some(format!("{file} ({used_for}) expires in {} h: replace it, it is read at once", left / 3_600))
            }
            _ => None,
        }
    }
}

/// A line for each that ends soon.
pub fn warn(all: &[Expiry]) {
    for line in all.iter().filter_map(|one| one.trouble(SystemTime::now())) {
        tracing::warn!(event = "certificate_expires", "{line}");
    }
}

fn not_after(path: &Path) -> Option<i64> {
    let all = CertificateDer::pem_file_iter(path).ok()?;
    all.filter_map(|der| Some(Certificate::read(&der.ok()?)?.not_after)).min()
}

/// Two weeks: certificates of public authorities are renewed a month before.
const WARN_S: i64 = 14 * 86_400;

/// Between two warnings of the same.
pub const WARN_PAUSE: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn pem(year: i32) -> String {
        let mut params = CertificateParams::new(vec!["weir.test".to_string()]).unwrap();
        params.not_after = date_time_ymd(year, 3, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn the_first_end_in_a_file_counts_and_is_told_in_time() {
        let path = std::env::temp_dir().join(format!("weir-expiry-{}.pem", std::process::id()));
        std::fs::write(&path, format!("{}{}", pem(2060), pem(2040))).unwrap();
        let nothing = PathBuf::from("/dev/null");
        let all = Expiry::of("clients", &[nothing, path.clone()]);
        std::fs::remove_file(&path).unwrap();
        // 2040-03-01.
        let end = 2_214_172_800;
        assert_eq!(all.iter().map(|one| one.not_after).collect::<Vec<_>>(), [end]);
        let at = |left: i64| all[0].trouble(UNIX_EPOCH + Duration::from_secs((end - left) as u64));
        assert_eq!(at(15 * 86_400), None);
        assert!(at(13 * 86_400).unwrap().contains("(clients) expires in 312 h"));
        assert!(at(-7_200).unwrap().contains("(clients) expired 2 h ago"));
    }
}
