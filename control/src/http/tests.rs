use super::exposition::tests::{Parsed, parsed};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

/// Name, kind, help and labels, of a text that has a sample of each.
type Family = (String, String, String, BTreeSet<String>);

fn families(text: &str) -> Vec<Family> {
    let Parsed { kinds, samples } = parsed(text);
    let mut labels = BTreeMap::<String, BTreeSet<String>>::new();
    for sample in samples.keys() {
        let (name, rest) = sample.split_once('{').unwrap_or((sample, ""));
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let family = family.filter(|name| kinds.contains_key(*name)).unwrap_or(name);
        let names = rest.split("=\"").filter_map(|part| part.rsplit([',', '{', '"']).next());
        let names = names.filter(|name| !name.is_empty() && *name != "}" && *name != "le");
        labels.entry(family.to_string()).or_default().extend(names.map(str::to_string));
    }
    let help = |line: &str| line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')).map(own);
    text.lines()
        .filter_map(help)
        .map(|(name, help)| (name.clone(), kinds[&name].clone(), help, labels.remove(&name).unwrap_or_default()))
        .collect()
}

fn own((name, help): (&str, &str)) -> (String, String) {
    (name.to_string(), help.to_string())
}

fn page(texts: &[(&str, String)]) -> String {
    let mut out = String::from(
        "# Metrics\n\nMade from the programs' own tables (`WEIR_BLESS=1 cargo test -p weir-control --lib http::tests` writes it). What to do with \
         them: [Monitor](guide/monitor.md).\nCounters begin with the process. Labels: cores, backends, members, and words that the program \
         names; nothing that a client chooses.\n",
    );
    let common: BTreeSet<String> = families(&texts[0].1)
        .into_iter()
        .map(|(name, ..)| name)
        .filter(|name| texts.iter().all(|(_, text)| text.contains(&format!("# TYPE {name} "))))
        .collect();
    let mut put = |title: &str, all: Vec<Family>| {
        let _ = write!(out, "\n## {title}\n\n| metric | type | labels | |\n|---|---|---|---|\n");
        for (name, kind, help, labels) in all {
            let labels: Vec<String> = labels.into_iter().collect();
            let _ = writeln!(out, "| `{name}` | {kind} | {} | {} |", labels.join(", "), help.replace('|', "\\|"));
        }
    };
    let of = |text: &str, is_common: bool| {
        families(text).into_iter().filter(|(name, ..)| common.contains(name) == is_common).collect::<Vec<_>>()
    };
    put("Of all programs", of(&texts[0].1, true));
    for (title, text) in texts {
        put(title, of(text, false));
    }
    out
}

/// `docs/metrics.md` lists every metric; `tests/observe` compares it with what real processes export.
#[tokio::test]
async fn the_page_of_metrics_is_what_the_programs_say() {
    let texts = [
        ("Gate", super::metrics::tests::full()),
        ("Tablet", crate::tablet::metrics::tests::full().await),
        ("Controller", crate::controller::metrics::tests::full().await),
    ];
    let (path, wanted) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md"), page(&texts));
    if std::env::var_os("WEIR_BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let bless = "WEIR_BLESS=1 cargo test -p weir-control --lib http::tests";
    assert!(found == wanted, "docs/metrics.md is stale; write it with\n  {bless}");
}
