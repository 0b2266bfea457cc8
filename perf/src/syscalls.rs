//! `Counter`: how many syscalls a process makes per query, counted from outside while a load runs.
//!
//! ```text
//! perf     warm up │ ═════ counted: a perf of its own, so many seconds ═════ │
//! strace   warm up, attach │ ═══════════════ counted ═══════════════ │ detach
//! ```
//! `perf` counts the kernel's tracepoint at the entry of every syscall, which costs a process next to nothing. `strace`
//! stops it twice at each, so the load is much slower under it, and as more piles up meanwhile, a proxy that waits for
//! many sockets at once needs fewer syscalls for each query than otherwise. So neither runs in a measured round. The
//! kernel itself counts none for us: `/proc/PID/io` knows reads and writes alone, and none of a socket's `recv`. An
//! `io_uring_enter` is one syscall, whatever it submits; what a worker of the ring does is none.
//!
//! Invariant: syscalls and queries are counted in the same load, and both as rates, so that the edges of the two need
//! not be the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use weir_control::lab::child::{self, Child, Output};
use weir_control::lab::fetch::on_path;

use crate::error::Fault;
use crate::limits::{LOOK_PAUSE, STOP_WAIT};
use crate::load::{self, Company, LoadOptions};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counter {
    Perf(PathBuf),
    Strace(PathBuf),
}

impl Counter {
    /// The better one of those that this machine has, or which are missing, in words.
    pub fn find() -> Result<Self, String> {
        let perf = match on_path("perf").into_iter().next() {
            None => "perf is not on the PATH".to_owned(),
            Some(perf) => match perf_count(&perf, std::process::id(), PROBE_TIME) {
                Ok(_) => return Ok(Self::Perf(perf)),
                Err(fault) => format!("perf may not ({fault})"),
            },
        };
        match on_path("strace").into_iter().next() {
            Some(strace) => Ok(Self::Strace(strace)),
            None => Err(format!("{perf}, and strace is not on the PATH")),
        }
    }

    /// How it counts, for those who read the numbers.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Perf(_) => "counted by perf in runs of their own (raw_syscalls:sys_enter)",
            Self::Strace(_) => {
                "counted by strace in runs of their own, which it slows down: more piles up for each wait, so the numbers are low"
            }
        }
    }

    /// Of this process, under this load. The folder is for the tool's own file.
    pub fn per_query(&self, pid: u32, options: &LoadOptions, folder: &Path) -> Result<f64, Fault> {
        let (outcome, per_second) = match self {
            Self::Perf(perf) => {
                let mut beside = Perf { perf, pid, per_second: 0.0 };
                (load::run_beside(options, &[], &mut beside)?, beside.per_second)
            }
            Self::Strace(strace) => {
                let mut beside = Strace { strace, pid, report: folder.join("strace.txt"), run: None };
                let outcome = load::run_beside(options, &[], &mut beside)?;
                (outcome, beside.per_second()?)
            }
        };
        match outcome.queries {
            0 => Err(Fault::Program("no query was answered while syscalls were counted".to_owned())),
            _ => Ok(per_second / outcome.per_second()),
        }
    }
}

struct Perf<'a> {
    perf: &'a Path,
    pid: u32,
    per_second: f64,
}

impl Company for Perf<'_> {
    fn count(&mut self, time: Duration) -> Result<(), Fault> {
        let count = perf_count(self.perf, self.pid, time)?;
        self.per_second = count as f64 / time.as_secs_f64();
        Ok(())
    }
}

/// The syscalls that all threads of a process make in this time.
fn perf_count(perf: &Path, pid: u32, time: Duration) -> Result<u64, Fault> {
    let mut command = Command::new(perf);
    command.args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", &pid.to_string()]);
    command.args(["--", "sleep", &time.as_secs_f64().to_string()]);
    let Output { status, stderr, .. } =
        child::output(command, b"", time + STOP_WAIT).map_err(|error| Fault::io("running perf", error))?;
    match perf_total(&stderr).filter(|_| status.success()) {
        Some(count) => Ok(count),
        None => Err(Fault::Program(first_line(&stderr))),
    }
}

/// `123,,raw_syscalls:sys_enter,2000123,100.00,,`
fn perf_total(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains(",raw_syscalls:sys_enter,"))?;
    line.split(',').next()?.trim().parse().ok()
}

struct Strace<'a> {
    strace: &'a Path,
    pid: u32,
    report: PathBuf,
    run: Option<Traced>,
}

struct Traced {
    child: Child,
    since: Instant,
    seconds: f64,
}

impl Company for Strace<'_> {
    fn warm_up(&mut self, time: Duration) -> Result<(), Fault> {
        thread::sleep(time);
        let failed = |error| Fault::io("starting strace", error);
        let log = self.report.with_extension("log");
        let mut command = Command::new(self.strace);
        command.args(["-c", "-f", "-p", &self.pid.to_string(), "-o"]).arg(&self.report);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(fs::File::create(&log).map_err(failed)?);
        let child = Child::spawn(command).map_err(failed)?;
        let deadline = Instant::now() + STOP_WAIT;
        while !is_traced(self.pid) {
            if child.ended().is_some() || Instant::now() >= deadline {
                let said = first_line(&fs::read_to_string(&log).unwrap_or_default());
                return Err(Fault::Program(format!("strace traces nothing: {said}")));
            }
            thread::sleep(LOOK_PAUSE);
        }
        self.run = Some(Traced { child, since: Instant::now(), seconds: 0.0 });
        Ok(())
    }

    fn count(&mut self, time: Duration) -> Result<(), Fault> {
        thread::sleep(time);
        if let Some(run) = &mut self.run {
            run.seconds = run.since.elapsed().as_secs_f64();
            // It lets go of the process and writes what it has counted.
            run.child.signal(libc::SIGINT);
        }
        Ok(())
    }
}

impl Strace<'_> {
    fn per_second(self) -> Result<f64, Fault> {
        let nothing = || Fault::Program("strace has counted nothing".to_owned());
        let run = self.run.ok_or_else(nothing)?;
        run.child.wait(STOP_WAIT);
        let text = fs::read_to_string(&self.report).map_err(|error| Fault::io("reading strace's report", error))?;
        let total = strace_total(&text).ok_or_else(nothing)?;
        Ok(total as f64 / run.seconds)
    }
}

/// The main thread is; the others follow at once.
fn is_traced(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|tracer| tracer.trim() != "0")
}

/// The sum of the column `calls`, the fourth, over all lines that are about a syscall.
fn strace_total(text: &str) -> Option<u64> {
    let calls = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let share = words.next()?.parse::<f64>();
        let calls = words.nth(2)?.parse::<u64>().ok()?;
        (share.is_ok() && words.last()? != "total").then_some(calls)
    });
    calls.fold(None, |sum, calls| Some(sum.unwrap_or(0) + calls))
}

fn first_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    line.unwrap_or("it failed without a word").to_owned()
}

/// Long enough for this process to make a syscall while it waits.
const PROBE_TIME: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_perf_says() {
        let text = "# started on Thu\n\n81234,,raw_syscalls:sys_enter,2000561234,100.00,,\n";
        assert_eq!(perf_total(text), Some(81_234));
        for text in ["", "<not counted>,,raw_syscalls:sys_enter,0,0.00,,\n", "event syntax error: 'raw_syscalls'\n"] {
            assert_eq!(perf_total(text), None, "{text}");
        }
        assert_eq!(first_line("\n  no permission \nmore"), "no permission");
        assert_eq!(first_line(""), "it failed without a word");
    }

    #[test]
    fn what_strace_says() {
        let text = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.02    0.012345           3      4000           sendto
 39.98    0.008221           2      4100       100 recvfrom
  0.00    0.000000           0         1           io_uring_enter
------ ----------- ----------- --------- --------- ----------------
100.00    0.020566           2      8101       100 total
";
        assert_eq!(strace_total(text), Some(8101));
        assert_eq!(strace_total(""), None);
    }
}
