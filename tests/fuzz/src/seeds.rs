//! Seeds and regressions in files: inputs that fuzzing found worth keeping, and those that once failed.
//!
//! `seeds/NAME.hex` has one input a line, in hexadecimal, so that a change of it can be read; `regressions/NAME` has one
//! file an input, as the fuzzer writes it.

use std::fs;
use std::path::{Path, PathBuf};

/// The inputs in `seeds/NAME.hex`; none when there is no such file.
///
/// # Panics
/// If a line is not hexadecimal.
pub fn of_file(name: &str) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(folder("seeds").join(format!("{name}.hex"))).unwrap_or_default();
    let decode = |(number, line): (usize, &str)| {
        hex(line).unwrap_or_else(|| panic!("seeds/{name}.hex:{}: not hexadecimal", number + 1))
    };
    text.lines().enumerate().filter(|(_, line)| !line.is_empty()).map(decode).collect()
}

/// The files in `regressions/NAME`, sorted by name.
pub fn regressions(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder("regressions").join(name))
        .map(|files| files.flatten().map(|file| file.path()).collect())
        .unwrap_or_default();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

/// A folder of this crate.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn hex(line: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = line.chars().map(|c| c.to_digit(16).map(|value| value as u8)).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
