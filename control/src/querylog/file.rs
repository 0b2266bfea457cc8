//! The log's file: appended to, rotated by size, opened again when somebody else has rotated it.
//!
//! ```text
//!   queries.log  ─► queries.log.1 ─► … ─► queries.log.N ─► gone        when the next line would pass bytes_max
//! ```
//! Invariant: each line of ours is whole. What a full disk has taken a part of, or a process that died, is ended by a newline before the next
//! line, and stands there as a line that nobody can read; whoever writes is told which lines were not taken whole. The file is never cut:
//! while a gate is upgraded two processes append to it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
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

    /// How many bytes of whole lines the file has taken, and what stopped it.
    pub fn write(&mut self, lines: &[u8]) -> (usize, io::Result<()>) {
        let file = match self.room_for(lines.len() as u64) {
            Ok(file) => file,
            Err(error) => return (0, Err(error)),
        };
        let (taken, written) = put_lines(&mut file.0, lines);
        file.1 += lines.len() as u64;
        if written.is_err() {
            self.open = None;
        }
        (taken, written)
    }

    fn room_for(&mut self, length: u64) -> io::Result<&mut (File, u64)> {
        let bytes_max = self.bytes_max;
        let (_, size) = self.file()?;
        if *size > 0 && *size + length > bytes_max {
            self.rotate()?;
        }
        self.file()
    }

    fn file(&mut self) -> io::Result<&mut (File, u64)> {
        if self.open.is_none() {
            // Statements are nobody else's business.
            let mut file = OpenOptions::new().create(true).append(true).mode(0o640).open(&self.path)?;
            let metadata = file.metadata()?;
            let mut size = metadata.len();
            // What is no file (a pipe, a device) has no last line.
            if metadata.is_file() && is_torn(&self.path, size) {
                file.write_all(b"\n")?;
                size += 1;
            }
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

pub fn count_lines(text: &str) -> u64 {
    text.bytes().filter(|byte| *byte == b'\n').count() as u64
}

/// What counts as taken ends with a whole line.
fn put_lines(out: &mut impl Write, lines: &[u8]) -> (usize, io::Result<()>) {
    let (mut at, mut written) = (0, Ok(()));
    while at < lines.len() && written.is_ok() {
        match out.write(&lines[at..]) {
            Ok(0) => written = Err(io::ErrorKind::WriteZero.into()),
            Ok(more) => at += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => written = Err(error),
        }
    }
    let whole = lines[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    (whole, written)
}

/// The last line has no end. Not known of what this process may write and not read.
fn is_torn(path: &Path, size: u64) -> bool {
    let mut last = [b'\n'];
    if size > 0 {
        let _ = File::open(path).and_then(|file| file.read_exact_at(&mut last, size - 1));
    }
    last != *b"\n"
}

#[cfg(test)]
mod tests;
