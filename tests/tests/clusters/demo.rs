//! `weir demo` as a user meets it: it starts, each part may be killed, Ctrl-C stops all of it, and nothing outlives it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use weir_control::lab::child::Child;
use weir_control::lab::ports;

const PROGRAM: &str = env!("CARGO_BIN_EXE_weir-under-test");

struct Demo {
    child: Child,
    lines: Receiver<String>,
}

impl Demo {
    fn start() -> Demo {
        let port = ports::free(1).unwrap().remove(0).number().to_string();
        let mut command = Command::new(PROGRAM);
        command.args(["demo", "--port", &port, "--rate", "50", "--seconds", "300"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let child = Child::spawn(command).unwrap();
        let (_, stdout, _) = child.pipes();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout.unwrap()).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Demo { child, lines }
    }

    /// All lines up to the one for which this holds.
    fn until(&self, what: &str, holds: impl Fn(&str) -> bool) -> Vec<String> {
        let (deadline, mut seen) = (Instant::now() + LIMIT, Vec::new());
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("not {what}: {seen:#?}"));
            seen.push(line.clone());
            if holds(&line) {
                return seen;
            }
        }
    }
}

#[test]
fn any_part_may_be_killed_and_nothing_outlives_it() {
    let began = Instant::now();
    let demo = Demo::start();
    let is_whole = |line: &str| line.contains("controller and 3 tablets up") && line.contains("3 of 3 registered");
    let help = demo.until("whole", is_whole);
    eprintln!("the demo was whole after {:.1} s", began.elapsed().as_secs_f64());
    let pids = pids(&help);
    assert_eq!(pids.len(), 3 + 4, "{help:#?}");
    let text = help.join("\n");
    for command in ["ctl topology --controller 127.0.0.1:", "ctl tablets --controller", "ctl status --addr"] {
        assert!(text.contains(command), "{command} is not in\n{text}");
    }

    // A tablet and the controller, as a user kills them.
    let of = |name: &str| pids.iter().find(|(line, _)| line.contains(name)).unwrap().1;
    [of("tablet db2"), of(" controller ")].into_iter().for_each(kill9);
    demo.until("short of two", |line| line.contains("2 of 4 up") && line.contains("tablet db2 back in"));
    let last = demo.until("whole again", is_whole).pop().unwrap();
    assert!(last.contains(" 0 stale, 0 errors"), "{last}");

    // The primary's server: another one leads, and it comes back as a replica.
    let (line, pid) = pids.iter().find(|(line, _)| line.contains("Behind it: db1 ")).unwrap();
    let address = line.split_whitespace().nth(3).unwrap().to_owned();
    kill9(*pid);
    demo.until("led by another", |line| line.contains("primary db2") || line.contains("primary db3"));
    let is_replica = format!("{address} replica");
    let last = demo.until("whole with another primary", |line| {
        is_whole(line) && line.contains(&is_replica) && !line.contains("the server of")
    });
    let last = last.last().unwrap();
    assert!(last.contains(" 0 stale"), "{last}");

    // Ctrl-C.
    demo.child.signal(SIGINT);
    demo.until("the end", |line| line.contains("Stopping the gate"));
    let status = demo.child.wait(LIMIT).expect("it ends");
    assert!(status.success(), "{status}");
    gone(&pids.into_iter().filter(|(line, _)| !line.contains("Behind it: db1 ")).collect::<Vec<_>>());
}

#[test]
fn a_demo_that_is_killed_takes_all_with_it() {
    let demo = Demo::start();
    let pids = pids(&demo.until("help", |line| line.contains("ctl status")));
    assert_eq!(pids.len(), 3 + 4);
    demo.child.kill();
    gone(&pids);
}

/// `(process 4711, …` in each line that has it.
fn pids(help: &[String]) -> Vec<(String, u32)> {
    let pid = |line: &String| {
        let after = line.split("(process ").nth(1)?;
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        Some((line.clone(), digits.parse().ok()?))
    };
    help.iter().filter_map(pid).collect()
}

fn gone(pids: &[(String, u32)]) {
    let deadline = Instant::now() + LIMIT;
    for (line, pid) in pids {
        while Path::new(&format!("/proc/{pid}")).exists() {
            assert!(Instant::now() < deadline, "it is still there: {line}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// They are no children of ours, so we ask as a user does.
fn kill9(pid: u32) {
    assert!(Command::new("/bin/kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

const SIGINT: i32 = 2;

/// Three servers start on a busy machine, or one that was killed comes back.
const LIMIT: Duration = Duration::from_secs(90);
