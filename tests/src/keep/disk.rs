//! A disk that gets full: a small file system in memory, in a mount namespace of its own.
//!
//! A process holds the namespace, so what is on the disk outlives the server that is started in it. Root needs a mount
//! namespace alone; others need user namespaces too, which some machines forbid: then this says so, and the test fails.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use weir_control::lab::Mysql;
use weir_control::lab::child::Child;

pub struct Disk {
    holder: Child,
    /// As the server sees it.
    path: PathBuf,
    program: PathBuf,
}

impl Disk {
    /// Of so many MiB, at `folder/disk`; a server that is started by [`Disk::mysql`] may use it.
    pub fn mount(folder: &Path, mysql: &Mysql, size_mib: u32) -> Result<Disk, String> {
        let (path, program) = (folder.join("disk"), folder.join("mysqld-with-a-disk"));
        fs::create_dir_all(&path).map_err(|error| error.to_string())?;
        let (enter, again) = match is_root() {
            true => ("-m", "-m"),
            false => ("-Urm", "-m -U --preserve-credentials"),
        };
        let script = format!(
            "mount -t tmpfs -o size={size_mib}m,mode=0777 none '{}' && echo mounted && exec sleep 100000",
            path.display()
        );
        let mut command = Command::new("unshare");
        command.args([enter, "sh", "-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let failed = |why: String| {
            format!("no file system of its own for a server ({why}): 'unshare {enter}' and a tmpfs in it are needed")
        };
        let holder = Child::spawn(command).map_err(|error| failed(error.to_string()))?;
        let mut line = String::new();
        if let (_, Some(stdout), _) = holder.pipes() {
            BufReader::new(stdout).read_line(&mut line).map_err(|error| failed(error.to_string()))?;
        }
        if line.trim() != "mounted" {
            return Err(failed("it could not be mounted".to_owned()));
        }
        let text = format!("#!/bin/sh\nexec nsenter -t {} {again} '{}' \"$@\"\n", holder.pid(), mysql.mysqld.display());
        fs::write(&program, text).map_err(|error| error.to_string())?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())?;
        Ok(Disk { holder, path, program })
    }

    /// Starts servers that see the disk.
    pub fn mysql(&self, mysql: &Mysql) -> Mysql {
        Mysql { mysqld: self.program.clone(), ..mysql.clone() }
    }

    /// Lines for such a server: its binary log is on the disk.
    pub fn cnf(&self) -> String {
        // In its own eyes it is root.
        format!("log-bin={}/bin\nuser=root\n", self.path.display())
    }

    /// Takes all the space that is left.
    pub fn fill(&self) -> Result<u64, String> {
        let mut file = File::create(self.filler()).map_err(|error| error.to_string())?;
        let (block, mut taken) = ([0_u8; 4_096], 0);
        loop {
            match file.write(&block) {
                Ok(bytes) => taken += bytes as u64,
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => return Ok(taken),
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Gives it back.
    pub fn free(&self) -> Result<(), String> {
        fs::remove_file(self.filler()).map_err(|error| error.to_string())
    }

    /// As we see it.
    fn filler(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}/filler", self.holder.pid(), self.path.display()))
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}
