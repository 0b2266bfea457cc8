//! Names of metrics: those of an exposition, those that an expression names, and those that `docs/metrics.md` lists.

use std::collections::{BTreeMap, BTreeSet};

use super::prometheus::Watched;
use super::scene::root;

/// Families and their kinds, of `# TYPE` lines.
pub fn families(text: &str) -> BTreeMap<String, String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

/// All that gate, tablet and controller really export.
pub fn exported(watched: &Watched) -> BTreeMap<String, String> {
    watched.texts().iter().flat_map(|text| families(text)).collect()
}

/// The families of ours that a PromQL expression names; a histogram's parts count as it.
pub fn named(expression: &str, known: &BTreeMap<String, String>) -> BTreeSet<String> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = words.filter(|word| word.starts_with("weir_") || word.starts_with("process_"));
    let family = |word: &str| {
        let part = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
        let whole = part.filter(|name| known.get(*name).is_some_and(|kind| kind == "histogram" || kind == "summary"));
        whole.unwrap_or(word).to_owned()
    };
    ours.map(family).collect()
}

/// The page and the processes list the same; what depends on circumstances is listed and may be absent.
#[test]
fn the_list_of_metrics_is_what_is_exported() {
    let page = std::fs::read_to_string(root().join("docs/metrics.md")).expect("docs/metrics.md");
    let listed: BTreeMap<&str, &str> = page
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.splitn(3, " | ");
            Some((cells.next()?.trim_end_matches('`'), cells.next()?))
        })
        .collect();
    let exported = exported(Watched::get());
    assert!(exported.len() > 100, "{exported:?}");
    for (name, kind) in &exported {
        assert_eq!(listed.get(name.as_str()), Some(&kind.as_str()), "{name} is not listed so");
    }
    let absent: Vec<&str> = listed.keys().filter(|name| !exported.contains_key(**name)).copied().collect();
    assert_eq!(absent, CIRCUMSTANTIAL, "listed, and exported by nobody");
}

/// Nothing is known of these where the tests look.
const CIRCUMSTANTIAL: [&str; 0] = [];
