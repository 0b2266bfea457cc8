//! `Sysbench`: the program, its runs, and what their output says.
//!
//! Invariant: a run whose output does not show a number of queries has failed, with that output as the reason.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use weir_control::lab::child::Child;
use weir_control::lab::tool::Tool;

use crate::client::Account;
use crate::error::Fault;

#[derive(Clone, Debug)]
pub struct Sysbench {
    tool: Tool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tables {
    pub count: u32,
    pub rows: u32,
}

impl Default for Tables {
    fn default() -> Self {
        Self { count: 4, rows: 20_000 }
    }
}

#[derive(Clone, Debug)]
pub struct Run {
    pub test: String,
    pub account: Account,
    pub tables: Tables,
    pub threads: usize,
    pub time: Duration,
    /// Prepared statements, as far as the server has them; otherwise texts.
    pub prepared: bool,
    /// Transactions per second; `None` is a closed loop.
    pub rate: Option<f64>,
    /// Goes on after errors that a lost server explains, and counts them.
    pub goes_on: bool,
}

/// What a run says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    pub queries: u64,
    pub queries_per_second: f64,
    pub transactions: u64,
    /// Errors that sysbench passes over by default: deadlocks and lock time-outs.
    pub ignored_errors: u64,
    pub reconnects: u64,
    /// Of whole transactions.
    pub latency_ms_mean: f64,
    pub latency_ms_p99: f64,
}

impl Sysbench {
    pub fn find() -> Result<Self, Fault> {
        let tool = Tool::find("sysbench", &mut |progress| eprintln!("{progress}"))?;
        Ok(Self { tool })
    }

    /// Makes and fills the tables, after removing those of before.
    pub fn prepare(&self, account: &Account, tables: &Tables) -> Result<(), Fault> {
        let run = Run {
            test: "oltp_read_write".to_owned(),
            account: account.clone(),
            tables: *tables,
            threads: 2,
            time: Duration::ZERO,
            prepared: false,
            rate: None,
            goes_on: false,
        };
        self.execute(&run, "cleanup")?;
        self.execute(&run, "prepare").map(|_| ())
    }

    pub fn run(&self, run: &Run) -> Result<Summary, Fault> {
        let output = self.execute(run, "run")?;
        Summary::read(&output).ok_or_else(|| Fault::Program(format!("{}: {output}", run.test)))
    }

    /// Lines about how far it is go on to standard error as they come.
    fn execute(&self, run: &Run, verb: &str) -> Result<String, Fault> {
        let failed = |error| Fault::io("running sysbench", error);
        let mut command = self.tool.command();
        command.arg(&run.test).args(run.options()).arg(verb);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = Child::spawn(command).map_err(failed)?;
        let (_, stdout, stderr) = child.pipes();
        let errors = thread::spawn(move || {
            let mut text = String::new();
            // What cannot be read is missing in a message, no more.
            let _ = stderr.map(|mut pipe| pipe.read_to_string(&mut text));
            text
        });
        let mut output = String::new();
        for line in stdout.into_iter().flat_map(|pipe| BufReader::new(pipe).lines()) {
            let line = line.map_err(failed)?;
            if line.starts_with("[ ") {
                eprintln!("    {line}");
            }
            output.push_str(&line);
            output.push('\n');
        }
        output.push_str(&errors.join().unwrap_or_default());
        match child.wait(END_WAIT) {
            Some(status) if status.success() => Ok(output),
            Some(_) | None => {
                Err(Fault::Program(format!("sysbench {} {verb} failed:\n{}", run.test, complaints(&output))))
            }
        }
    }
}

/// Deadlock, changed row, lock wait: sysbench's own choice.
const USUAL: &str = "1213,1020,1205";

/// And a lost connection. MariaDB's client library, which Debian's sysbench is linked to, shows every error of a server whose number is
/// a client's (2013) as a malformed packet (2027).
const LOSSES: &str = "1213,1020,1205,2013,2027";

impl Run {
    fn options(&self) -> Vec<String> {
        let Account { address, user, password, schema } = &self.account;
        let ignored = if self.goes_on { LOSSES } else { USUAL };
        vec![
            format!("--mysql-ignore-errors={ignored}"),
            format!("--mysql-host={}", address.ip()),
            format!("--mysql-port={}", address.port()),
            format!("--mysql-user={user}"),
            format!("--mysql-password={password}"),
            format!("--mysql-db={}", schema.as_deref().unwrap_or("sbtest")),
            format!("--tables={}", self.tables.count),
            format!("--table-size={}", self.tables.rows),
            format!("--threads={}", self.threads),
            format!("--time={}", self.time.as_secs()),
            format!("--rate={}", self.rate.unwrap_or(0.0).round()),
            format!("--db-ps-mode={}", if self.prepared { "auto" } else { "disable" }),
            "--percentile=99".to_owned(),
            "--histogram=off".to_owned(),
            "--report-interval=10".to_owned(),
        ]
    }
}

impl Summary {
    fn read(output: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = output.lines().find_map(|line| line.trim().strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        let per_second = output.lines().find_map(|line| {
            let rest = line.trim().strip_prefix("queries:")?.split_once('(')?.1;
            rest.split_whitespace().next()?.parse::<f64>().ok()
        })?;
        Some(Self {
            queries: field("queries:")? as u64,
            queries_per_second: per_second,
            transactions: field("transactions:")? as u64,
            ignored_errors: field("ignored errors:")? as u64,
            reconnects: field("reconnects:")? as u64,
            latency_ms_mean: field("avg:")?,
            latency_ms_p99: field("99th percentile:")?,
        })
    }
}

/// The lines that tell why, or the last ones.
fn complaints(output: &str) -> String {
    let bad = |line: &&str| line.contains("FATAL") || line.contains("ALERT") || line.contains("rror");
    let mut lines: Vec<&str> = output.lines().filter(bad).take(LINES_SHOWN).collect();
    if lines.is_empty() {
        let all: Vec<&str> = output.lines().collect();
        lines = all[all.len().saturating_sub(LINES_SHOWN)..].to_vec();
    }
    lines.join("\n")
}

const LINES_SHOWN: usize = 6;
/// Its output has ended by then, so that its end is a matter of moments.
const END_WAIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
SQL statistics:
    queries performed:
        read:                            130
    transactions:                        128    (63.99 per sec.)
    queries:                             2560   (1279.72 per sec.)
    ignored errors:                      1      (0.50 per sec.)
    reconnects:                          0      (0.00 per sec.)
Latency (ms):
         min:                                    0.05
         avg:                                    0.26
         99th percentile:                        0.86
";

    #[test]
    fn summaries_are_read() {
        let expected = Summary {
            queries: 2560,
            queries_per_second: 1279.72,
            transactions: 128,
            ignored_errors: 1,
            reconnects: 0,
            latency_ms_mean: 0.26,
            latency_ms_p99: 0.86,
        };
        assert_eq!(Summary::read(OUTPUT), Some(expected));
        assert_eq!(Summary::read("Threads started!"), None);
    }

    #[test]
    fn complaints_come_first() {
        assert_eq!(complaints("a\nFATAL: b\nc"), "FATAL: b");
        assert_eq!(complaints("1\n2\n3\n4\n5\n6\n7"), "2\n3\n4\n5\n6\n7");
    }
}
