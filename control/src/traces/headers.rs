//! The headers of exports: what a collector wants to know beside the spans, by a file.
//!
//! ```text
//!   # credentials of our tenant
//!   authorization: Bearer 6f1c…
//!   x-scope-orgid: shop
//! ```
//! Invariant: a file that is wrong stops the start; one that becomes wrong later is told once, and its former headers go on. It is read
//! for each export, since credentials are renewed while a gate runs. No value is ever shown.

use std::path::{Path, PathBuf};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use weir_net::secret::Secret;

pub struct Headers {
    path: Option<PathBuf>,
    map: MetadataMap,
    is_wrong: bool,
}

impl Headers {
    /// None: there are none.
    pub fn open(path: Option<&Path>) -> Result<Headers, String> {
        let map = path.map(read).transpose()?.unwrap_or_default();
        Ok(Headers { path: path.map(Path::to_path_buf), map, is_wrong: false })
    }

    pub fn now(&mut self) -> MetadataMap {
        let Some(path) = &self.path else { return MetadataMap::new() };
        match read(path) {
            Ok(map) => (self.map, self.is_wrong) = (map, false),
            Err(why) if !self.is_wrong => {
                tracing::warn!(event = "traces_headers_wrong", "{why}; the former headers are used");
                self.is_wrong = true;
            }
            Err(_) => {}
        }
        self.map.clone()
    }
}

fn read(path: &Path) -> Result<MetadataMap, String> {
    let bytes = std::fs::read(path).map(Secret::new);
    let bytes = bytes.map_err(|error| format!("'{}' cannot be read ({error})", path.display()))?;
    let text = std::str::from_utf8(bytes.as_bytes()).map_err(|_| format!("'{}' is no text", path.display()))?;
    parse(text).map_err(|(line, why)| format!("'{}', line {line}: {why}; write `name: value`", path.display()))
}

/// An error names its line, and nothing that is in it but a name.
fn parse(text: &str) -> Result<MetadataMap, (usize, String)> {
    let mut map = MetadataMap::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| (at + 1, "there is no ':'".to_string()))?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        let key = name.parse::<AsciiMetadataKey>();
        let key = key.map_err(|_| (at + 1, "this is no header's name, or one of binary values (-bin)".to_string()))?;
        if OURS.contains(&name.as_str()) || name.starts_with("grpc-") {
            return Err((at + 1, format!("{name} is gRPC's own")));
        }
        // HTTP would let more through, and gRPC does not.
        let is_visible = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let value = value.parse::<AsciiMetadataValue>().ok().filter(|_| is_visible);
        let mut value = value.ok_or_else(|| (at + 1, format!("the value of {name} is not visible ASCII")))?;
        // Neither shown nor kept in tables of compression.
        value.set_sensitive(true);
        map.append(key, value);
    }
    Ok(map)
}

const OURS: [&str; 5] = ["content-type", "te", "user-agent", "host", "content-length"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_header_a_line() {
        let map = parse("# ours\n\nAuthorization: Bearer a:b=\r\n  x-scope-orgid :  shop \nx-empty:\n").unwrap();
        let of = |name: &str| map.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(
            (of("authorization"), of("x-scope-orgid"), of("x-empty")),
            (Some("Bearer a:b="), Some("shop"), Some(""))
        );
        assert_eq!(map.len(), 3);
        assert!(!format!("{map:?}").contains("Bearer"), "{map:?}");
    }

    #[test]
    fn mistakes_name_their_line_and_no_value() {
        for (text, line, why) in [
            ("a: 1\nsecret", 2, "no ':'"),
            (": secret", 1, "no header's name"),
            ("two words: secret", 1, "no header's name"),
            ("key-bin: secret", 1, "no header's name"),
            ("a: 1\n\nTE: secret", 3, "te is gRPC's own"),
            ("grpc-timeout: secret", 1, "gRPC's own"),
            ("a: secr\u{e9}t", 1, "not visible ASCII"),
            ("a: secret\u{1}", 1, "not visible ASCII"),
        ] {
            let (at, said) = parse(text).unwrap_err();
            assert!(at == line && said.contains(why) && !said.contains("secr"), "{text}: {at} {said}");
        }
    }

    #[test]
    fn a_renewed_file_holds_and_a_wrong_one_does_not() {
        let path = std::env::temp_dir().join(format!("weir-headers-{}", std::process::id()));
        assert!(Headers::open(Some(&path)).err().unwrap().contains("cannot be read"));
        std::fs::write(&path, "token: one\n").unwrap();
        let mut headers = Headers::open(Some(&path)).unwrap();
        let said = |headers: &mut Headers| headers.now().get("token").unwrap().to_str().unwrap().to_string();
        assert_eq!(said(&mut headers), "one");
        std::fs::write(&path, "token: two\n").unwrap();
        assert_eq!(said(&mut headers), "two");
        std::fs::write(&path, "token").unwrap();
        assert_eq!(said(&mut headers), "two");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(said(&mut headers), "two");
        std::fs::write(&path, "token: three\n").unwrap();
        assert_eq!(said(&mut headers), "three");
        assert!(Headers::open(None).unwrap().now().is_empty());
        std::fs::remove_file(&path).unwrap();
    }
}
