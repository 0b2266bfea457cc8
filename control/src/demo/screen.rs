//! The demo's screen: a few lines, drawn over each other at a terminal; one line a second elsewhere.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use super::traffic::Tally;
use super::watch::{Facts, Sight};

pub struct Screen {
    is_terminal: bool,
    lines_drawn: usize,
}

impl Screen {
    pub fn new(is_terminal: bool) -> Screen {
        Screen { is_terminal, lines_drawn: 0 }
    }

    /// `control`: controller and tablets in one line.
    pub fn draw(&mut self, elapsed: Duration, sights: &[Sight], tally: &Tally, control: &str) {
        let text = if self.is_terminal {
            let lines = table(elapsed, sights, tally, control);
            let up = match self.lines_drawn {
                0 => String::new(),
                count => format!("\x1b[{count}A"),
            };
            self.lines_drawn = lines.len();
            lines.iter().fold(up, |text, line| text + "\x1b[2K" + line + "\n")
        } else {
            line(elapsed, sights, tally, control) + "\n"
        };
        // A reader that is gone ends the demo by SIGPIPE or not at all; there is nothing to do about it here.
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

fn table(elapsed: Duration, sights: &[Sight], tally: &Tally, control: &str) -> Vec<String> {
    let all: u64 = sights.iter().filter_map(|sight| sight.facts.as_ref()).map(|facts| facts.reads).sum();
    let mut lines = vec![format!(
        "{:<17} {:<8} {:>8} {:>6} {:>9} {:>9} {:>12}",
        "server", "role", "reads/s", "share", "writes/s", "lag", "connections"
    )];
    for Sight { address, facts } in sights {
        lines.push(match facts {
            None => format!("{address:<17} down"),
            Some(facts) => format!(
                "{address:<17} {:<8} {:>8} {:>5}% {:>9} {:>9} {:>12}",
                role(facts),
                facts.reads,
                percent(facts.reads, all),
                facts.writes,
                lag(facts),
                facts.connections
            ),
        });
    }
    lines.push(summary(elapsed, tally));
    lines.push(control.to_owned());
    lines.push(match tally.errors {
        0 => "Ctrl-C stops everything.".to_owned(),
        _ => format!("Last error: {}", tally.last_error.chars().take(WIDTH).collect::<String>()),
    });
    lines
}

fn line(elapsed: Duration, sights: &[Sight], tally: &Tally, control: &str) -> String {
    let all: u64 = sights.iter().filter_map(|sight| sight.facts.as_ref()).map(|facts| facts.reads).sum();
    let mut text = summary(elapsed, tally);
    for Sight { address, facts } in sights {
        let _ = match facts {
            None => write!(text, " | {address} down"),
            Some(facts) => {
                let (role, share, lag) = (role(facts), percent(facts.reads, all), lag(facts));
                write!(text, " | {address} {role} reads {} ({share}%) writes {} lag {lag}", facts.reads, facts.writes)
            }
        };
    }
    text = text + " | " + control;
    if tally.errors > 0 {
        let _ = write!(text, " | last error: {}", tally.last_error);
    }
    text
}

fn summary(elapsed: Duration, tally: &Tally) -> String {
    let mean_us = tally.read_us.checked_div(tally.reads).unwrap_or(0);
    format!(
        "{} s: {} reads ({:.1} ms each), {} writes read back by their session, {} stale, {} errors",
        elapsed.as_secs(),
        tally.reads,
        mean_us as f64 / 1000.0,
        tally.writes,
        tally.stale,
        tally.errors
    )
}

fn role(facts: &Facts) -> &'static str {
    if facts.is_read_only { "replica" } else { "primary" }
}

fn lag(facts: &Facts) -> String {
    match (facts.is_read_only, facts.lag_us) {
        (true, Some(lag_us)) => format!("{:.1} ms", lag_us as f64 / 1000.0),
        _ => "-".to_owned(),
    }
}

fn percent(part: u64, all: u64) -> u64 {
    (part * 100).checked_div(all).unwrap_or(0)
}

/// Letters of an error that fit a usual terminal beside the words before it.
const WIDTH: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn sights() -> Vec<Sight> {
        let facts = |is_read_only, reads| Facts { is_read_only, reads, writes: 5, connections: 2, lag_us: Some(1500) };
        vec![
            Sight { address: "127.0.0.1:1".to_owned(), facts: Some(facts(false, 20)) },
            Sight { address: "127.0.0.1:2".to_owned(), facts: Some(facts(true, 60)) },
            Sight { address: "127.0.0.1:3".to_owned(), facts: None },
        ]
    }

    #[test]
    fn the_table_tells_shares_lag_and_who_is_down() {
        let tally = Tally { reads: 10, read_us: 20_000, ..Tally::default() };
        let lines = table(Duration::from_secs(3), &sights(), &tally, "controller up");
        assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>().join(" "), "127.0.0.1:1 primary 20 25% 5 - 2");
        assert_eq!(lines[2].split_whitespace().collect::<Vec<_>>().join(" "), "127.0.0.1:2 replica 60 75% 5 1.5 ms 2");
        assert!(lines[3].ends_with("down"));
        assert_eq!(lines[4], "3 s: 10 reads (2.0 ms each), 0 writes read back by their session, 0 stale, 0 errors");
        assert_eq!((lines[5].as_str(), lines.len()), ("controller up", 7));
    }

    #[test]
    fn a_line_holds_it_all_and_the_last_error() {
        let tally = Tally { errors: 1, last_error: "ERROR 2013".to_owned(), ..Tally::default() };
        let text = line(Duration::ZERO, &sights(), &tally, "controller up");
        assert!(text.contains("| 127.0.0.1:2 replica reads 60 (75%) writes 5 lag 1.5 ms |"), "{text}");
        assert!(text.ends_with("| controller up | last error: ERROR 2013") && !text.contains('\n'), "{text}");
    }

    #[test]
    fn nothing_read_is_no_division() {
        assert_eq!(percent(0, 0), 0);
        assert!(summary(Duration::ZERO, &Tally::default()).contains("(0.0 ms each)"));
    }
}
