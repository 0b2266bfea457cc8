//! A child process that cannot outlive this one.
//!
//! Invariant: the kernel kills it when we die (`PR_SET_PDEATHSIG`), and dropping it kills it. The kernel sends that
//! signal when the *thread* that forked ends, so all children are forked by one thread that lives as long as the
//! process. Each child leads a process group of its own: a Ctrl-C at the terminal reaches us alone, and we stop the
//! children in order.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child as Process, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::limits;

#[derive(Debug)]
pub struct Child {
    process: Mutex<Process>,
    pid: u32,
}

impl Child {
    pub fn spawn(command: Command) -> io::Result<Child> {
        let (answer, answered) = mpsc::channel();
        let gone = || io::Error::other("the thread that starts processes is gone");
        nursery()?.send((command, answer)).map_err(|_| gone())?;
        let process = answered.recv().map_err(|_| gone())??;
        Ok(Child { pid: process.id(), process: Mutex::new(process) })
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The pipes that the command asked for; each can be had once.
    pub fn pipes(&self) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
        let mut process = self.lock();
        (process.stdin.take(), process.stdout.take(), process.stderr.take())
    }

    /// How it ended, or `None` while it runs.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.lock().try_wait().ok().flatten()
    }

    /// Waits for its end, at most so long.
    pub fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(limits::LOOK_PAUSE);
        }
    }

    /// Sends a signal, unless it has ended: its id may be another's by then.
    pub fn signal(&self, signal: i32) {
        let mut process = self.lock();
        if matches!(process.try_wait(), Ok(None)) {
            // SAFETY: kill has no memory effects. The child is not reaped while we hold the lock, so the id is its own.
            unsafe { libc::kill(self.pid as libc::pid_t, signal) };
        }
    }

    /// SIGTERM, and SIGKILL when that took too long. True if it went in peace.
    pub fn stop(&self, limit: Duration) -> bool {
        self.signal(libc::SIGTERM);
        // A stopped process takes no SIGTERM until it goes on.
        self.signal(libc::SIGCONT);
        let peaceful = self.wait(limit).is_some();
        if !peaceful {
            self.kill();
        }
        peaceful
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&self) {
        self.signal(libc::SIGKILL);
        self.wait(limits::KILL_WAIT);
    }

    fn lock(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How `output` ended and what was printed.
#[derive(Debug)]
pub struct Output {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command to its end with this input, at most so long (`ErrorKind::TimedOut`).
pub fn output(mut command: Command, input: &[u8], limit: Duration) -> io::Result<Output> {
    use std::io::{Read, Write};
    use std::process::Stdio;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = Child::spawn(command)?;
    let (stdin, stdout, stderr) = child.pipes();
    fn text(pipe: Option<impl Read>) -> String {
        let mut bytes = Vec::new();
        // A broken pipe ends the text as its end does; the exit status tells the rest.
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    }
    thread::scope(|scope| {
        let stdout = scope.spawn(|| text(stdout));
        let stderr = scope.spawn(|| text(stderr));
        scope.spawn(|| {
            // A command that doesn't read its input has its reasons, and tells them.
            let _ = stdin.map(|mut pipe| pipe.write_all(input));
        });
        let status = child.wait(limit);
        if status.is_none() {
            child.kill();
        }
        let (stdout, stderr) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
        match status {
            Some(status) => Ok(Output { status, stdout, stderr }),
            None => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no end within {} s", limit.as_secs()))),
        }
    })
}

type Order = (Command, mpsc::Sender<io::Result<Process>>);

fn nursery() -> io::Result<mpsc::Sender<Order>> {
    static NURSERY: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    if NURSERY.get().is_none() {
        let (orders, inbox) = mpsc::channel::<Order>();
        // If two threads come here at once, the loser's sender is dropped and its thread ends: no child was born of it.
        thread::Builder::new().name("lab-nursery".to_owned()).spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(spawn_bound(&mut command));
            }
        })?;
        let _ = NURSERY.set(Mutex::new(orders));
    }
    let orders = NURSERY.get().ok_or_else(|| io::Error::other("the thread that starts processes is gone"))?;
    Ok(orders.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

fn spawn_bound(command: &mut Command) -> io::Result<Process> {
    let parent = std::process::id();
    command.process_group(0);
    // SAFETY: between fork and exec only async-signal-safe calls are made: prctl and getppid; errors carry no heap.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before the call: then nobody would ever send the signal.
            if libc::getppid() as u32 != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
    command.spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() {
        let child = thread::spawn(|| Child::spawn(shell("exec sleep 100")).unwrap()).join().unwrap();
        // Were the signal bound to the ended thread, it would come at once.
        assert!(child.wait(Duration::from_millis(100)).is_none());
        assert!(child.stop(limits::STOP_WAIT));
    }

    #[test]
    fn a_child_is_bound_to_us_and_leads_its_group() {
        let child = Child::spawn(shell("exec sleep 100")).unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.pid())).unwrap();
        let group = stat.rsplit(')').next().unwrap().split_whitespace().nth(2).unwrap().to_owned();
        assert_eq!(group, child.pid().to_string());
        let pid = child.pid();
        drop(child);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn a_paused_child_is_stopped_too() {
        let child = Child::spawn(shell("exec sleep 100")).unwrap();
        child.signal(libc::SIGSTOP);
        assert!(child.stop(limits::STOP_WAIT));
        assert!(child.ended().is_some());
    }

    #[test]
    fn output_carries_input_status_and_both_streams() {
        let got = output(shell("cat; echo bad >&2; exit 3"), b"hello", limits::STOP_WAIT).unwrap();
        assert_eq!((got.stdout.as_str(), got.stderr.as_str(), got.status.code()), ("hello", "bad\n", Some(3)));
        let late = output(shell("exec sleep 100"), b"", Duration::ZERO).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    }
}
