//! Logs of JSON lines, read while a gate writes them.

use serde_json::Value;
use std::fs;
use std::path::Path;

/// What has its newline: a file grows in front of its reader by parts of a line. Panics for a line that is no JSON.
pub fn whole_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let read =
        |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}: {line}", path.display()));
    text[..whole].lines().map(read).collect()
}
