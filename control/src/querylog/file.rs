//! The log's file: appended to, rotated by size, opened again when somebody else has rotated it.
//!
//! ```text
//!   queries.log  ─► queries.log.1 ─► … ─► queries.log.N ─► gone        when the next line would pass bytes_max
//! ```
//! Invariant: lines are whole. A line that can't be written is lost and counted; the next one tries a fresh open.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub struct LogFile {
    path: PathBuf,
    bytes_max: u64,
    /// Old files that are kept.
    kept: u32,
    open: Option<(File, u64)>,
}

impl LogFile {
    /// Opened by the first line; `check` tells now whether that will work.
    pub fn new(path: &Path, bytes_max: u64, kept: u32) -> LogFile {
        LogFile { path: path.to_path_buf(), bytes_max, kept, open: None }
    }

    pub fn check(&mut self) -> io::Result<()> {
        self.file().map(|_| ())
    }

    /// Somebody has moved the file away (`SIGHUP`): the next line makes a new one.
    pub fn reopen(&mut self) {
        self.open = None;
    }

    pub fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let length = lines.len() as u64;
        let bytes_max = self.bytes_max;
        let (_, size) = self.file()?;
        if *size > 0 && *size + length > bytes_max {
            self.rotate()?;
        }
        let (file, size) = self.file()?;
        let written = file.write_all(lines);
        *size += length;
        if written.is_err() {
            self.open = None;
        }
        written
    }

    fn file(&mut self) -> io::Result<&mut (File, u64)> {
        if self.open.is_none() {
            // Statements are nobody else's business.
            let file = OpenOptions::new().create(true).append(true).mode(0o640).open(&self.path)?;
            let size = file.metadata()?.len();
            self.open = Some((file, size));
        }
        self.open.as_mut().ok_or_else(|| io::Error::other("the log is not open"))
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.open = None;
        for number in (0..self.kept).rev() {
            let (from, to) = (self.numbered(number), self.numbered(number + 1));
            match std::fs::rename(&from, &to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.kept == 0 {
            std::fs::remove_file(&self.path)?;
        }
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        match number {
            0 => self.path.clone(),
            number => {
                let mut name = self.path.clone().into_os_string();
                name.push(format!(".{number}"));
                PathBuf::from(name)
            }
        }
    }
}
