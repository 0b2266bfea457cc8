//! What a configuration names outside itself: files that will be written, folders, addresses of this machine.
//!
//! Invariant: looking changes nothing: no file is made, no port that anybody has is touched. What is found here would
//! also stop the start, only later and one thing at a time. Whether a server answers is not asked: it may come later.

use std::ffi::CString;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A file that will be written or made: it can be, as far as its folder and its mode say.
pub fn writable_file(path: &Path) -> Result<(), String> {
    if path.is_dir() {
        return Err(format!("'{}' is a folder: name a file in it", path.display()));
    }
    if path.exists() {
        return match may_write(path) {
            true => Ok(()),
            false => Err(format!("'{}' cannot be written: correct its owner or its mode", path.display())),
        };
    }
    writable_folder(&folder_of(path))
}

/// The folder of a file; of a bare name the one we run in.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

fn writable_folder(folder: &Path) -> Result<(), String> {
    if !folder.is_dir() {
        return Err(format!("there is no folder '{}': make it, or correct the path", folder.display()));
    }
    match may_write(folder) {
        true => Ok(()),
        false => Err(format!("nothing can be made in '{}': correct its owner or its mode", folder.display())),
    }
}

/// A folder that is made with all above it when it is missing.
pub fn folder_to_be(folder: &Path) -> Result<(), String> {
    if folder.exists() {
        return writable_folder(folder);
    }
    let nearest = folder.ancestors().skip(1).find(|above| above.exists() || above.as_os_str().is_empty());
    match nearest {
        Some(above) if !above.as_os_str().is_empty() => writable_folder(above),
        _ => writable_folder(Path::new(".")),
    }
}

/// By the user that runs this, on a file system that may be read-only.
fn may_write(path: &Path) -> bool {
    let Ok(name) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: a string that ends with NUL and lives longer than the call.
    unsafe { libc::access(name.as_ptr(), libc::W_OK) == 0 }
}

/// An address to listen on: this machine has it. Whether the port is free is not asked, since a gate that runs has it.
pub fn own_address(address: SocketAddr) -> Result<(), String> {
    match TcpListener::bind(SocketAddr::new(address.ip(), 0)) {
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
            Err(format!("this machine has no address {}: use one that 'ip address' shows, or 0.0.0.0", address.ip()))
        }
        // What else can go wrong is the kernel's matter, and is told at the start.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_cannot_be_made_are_told() {
        let folder = std::env::temp_dir();
        assert_eq!(writable_file(&folder.join("weir-none-such")), Ok(()));
        assert_eq!(writable_file(Path::new("bare-name")), Ok(()));
        assert!(writable_file(&folder).unwrap_err().contains("is a folder"));
        assert!(writable_file(Path::new("/nowhere/at/all")).unwrap_err().contains("no folder '/nowhere/at'"));
        assert_eq!(folder_to_be(&folder.join("weir/none/such")), Ok(()));
        assert_eq!(folder_to_be(Path::new("relative/folder")), Ok(()));
        assert!(folder_to_be(Path::new("/proc/version/keys")).unwrap_err().contains("no folder '/proc/version'"));
        // Modes are tested with the program, as another user: root may write anywhere.
    }

    #[test]
    fn an_address_of_another_machine_is_told() {
        for own in ["127.0.0.1:1", "0.0.0.0:3306", "127.0.0.9:7306"] {
            assert_eq!(own_address(own.parse().unwrap()), Ok(()), "{own}");
        }
        // 192.0.2.0/24 is for documentation: no machine has it.
        assert!(own_address("192.0.2.1:3306".parse().unwrap()).unwrap_err().contains("no address 192.0.2.1"));
    }
}
