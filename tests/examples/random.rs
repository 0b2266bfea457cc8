//! Random sessions for as long as wanted: `cargo run -p weir-tests --example random -- worst|scatter SEED STEPS [FAILURES]`.
//!
//! `… random worst|scatter FILE` runs the sessions of a corpus file instead and prints both traces.
//! Each case that differs is printed, shortened, as a session of the corpus; after FAILURES of them (1 if not said) it ends.

use weir_tests::real::random::{self, Order, Sharing};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    let sharing = match words.first().map(String::as_str) {
        Some("worst") => Some(Sharing::Worst),
        Some("scatter") => Some(Sharing::Scatter),
        _ => None,
    };
    if let (Some(sharing), Some(file), None) = (sharing, words.get(1), number(1)) {
        let script = std::fs::read_to_string(file).unwrap_or_else(|why| panic!("{file}: {why}"));
        return random::play_script(sharing, &script);
    }
    let (Some(sharing), Some(seed), Some(steps)) = (sharing, number(1), number(2)) else {
        eprintln!("usage: random worst|scatter SEED STEPS [FAILURES]");
        std::process::exit(2);
    };
    let began = std::time::Instant::now();
    let order = Order { sharing, seed, steps: steps as usize, failures_max: number(3).unwrap_or(1) as usize };
    let report = random::check(order);
    eprintln!("{sharing:?}, {}, in {:.1?}", report.words(), began.elapsed());
    if !report.failures.is_empty() {
        std::process::exit(1);
    }
}
