//! `Holders`: idle clients in processes of their own, so that no limit of files of this one bounds their number.
//!
//! Invariant: all are logged in when [`Holders::gather`] returns, and leave when it is dropped.

use std::io::{BufRead, BufReader};
use std::process::{ChildStdin, Stdio};
use std::time::{Duration, Instant};

use weir_control::lab::child::Child;

use crate::backend::own_program;
use crate::client::Account;
use crate::error::Fault;

#[derive(Debug)]
pub struct Holders {
    processes: Vec<(Child, ChildStdin)>,
    pub count: usize,
    /// From the first connect to the last login.
    pub time: Duration,
    /// Of one login: the median of the processes' medians, and the highest of their 99th percentiles.
    pub login_p50_ns: u64,
    pub login_p99_ns: u64,
}

impl Holders {
    pub fn gather(account: &Account, count: usize, with_tls: bool) -> Result<Self, Fault> {
        let start = Instant::now();
        let number = count.div_ceil(EACH_MAX).max(1);
        let mut started = Vec::new();
        for at in 0..number {
            started.push(begin(account, count * (at + 1) / number - count * at / number, with_tls)?);
        }
        let mut holders =
            Self { processes: Vec::new(), count: 0, time: Duration::ZERO, login_p50_ns: 0, login_p99_ns: 0 };
        let mut medians = Vec::new();
        for (child, stdin, mut output) in started {
            let mut line = String::new();
            output.read_line(&mut line).map_err(|error| Fault::io("hearing from clients", error))?;
            let said: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            let [held, p50, p99] = said[..] else {
                return Err(Fault::Program("idle clients could not all log in; see above".to_owned()));
            };
            holders.count += held as usize;
            holders.login_p99_ns = holders.login_p99_ns.max(p99);
            medians.push(p50);
            holders.processes.push((child, stdin));
        }
        medians.sort_unstable();
        holders.login_p50_ns = medians[medians.len() / 2];
        holders.time = start.elapsed();
        Ok(holders)
    }
}

impl Drop for Holders {
    fn drop(&mut self) {
        for (child, stdin) in self.processes.drain(..) {
            drop(stdin);
            child.wait(LEAVE_WAIT);
        }
    }
}

fn begin(
    account: &Account,
    count: usize,
    with_tls: bool,
) -> Result<(Child, ChildStdin, BufReader<std::process::ChildStdout>), Fault> {
    let mut command = own_program()?;
    command.args(["hold", "--to", &account.address.to_string(), "--clients", &count.to_string()]);
    command.args(["--user", &account.user, "--password", &account.password]);
    if let Some(schema) = &account.schema {
        command.args(["--schema", schema]);
    }
    command.args(["--tls", if with_tls { "yes" } else { "no" }]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let child = Child::spawn(command).map_err(|error| Fault::io("starting clients", error))?;
    let (stdin, stdout, _) = child.pipes();
    match (stdin, stdout) {
        (Some(stdin), Some(stdout)) => Ok((child, stdin, BufReader::new(stdout))),
        _ => Err(Fault::Program("a process of clients has no pipes".to_owned())),
    }
}

/// Clients of one process.
const EACH_MAX: usize = 5_000;
/// How long they may take to leave.
const LEAVE_WAIT: Duration = Duration::from_secs(10);
