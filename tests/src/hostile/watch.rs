//! The watch: resident memory and descriptors of a process, sampled while something happens to it.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::limits;

/// Samples until it is stopped.
pub struct Watch {
    pid: u32,
    /// How long each thread had waited for a processor when this began.
    delays: BTreeMap<String, Duration>,
    over: Arc<AtomicBool>,
    rss_bytes: Arc<AtomicU64>,
    descriptors: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// The most that was seen.
#[derive(Clone, Copy, Debug)]
pub struct Peak {
    pub rss_bytes: u64,
    pub descriptors: u64,
    /// How long one of its threads was kept from running, all in all: the machine's doing. A core is bound to a processor.
    pub delayed: Duration,
}

impl Watch {
    pub fn start(pid: u32) -> Watch {
        let over = Arc::new(AtomicBool::new(false));
        let (rss, descriptors_max) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (end, rss_seen, descriptors_seen) = (over.clone(), rss.clone(), descriptors_max.clone());
        let body = move || {
            while !end.load(Ordering::Relaxed) {
                rss_seen.fetch_max(rss_bytes(pid), Ordering::Relaxed);
                descriptors_seen.fetch_max(descriptors(pid) as u64, Ordering::Relaxed);
                thread::sleep(limits::SAMPLE_PAUSE);
            }
        };
        let thread = Some(thread::spawn(body));
        Watch { pid, delays: delays(pid), over, rss_bytes: rss, descriptors: descriptors_max, thread }
    }

    pub fn stop(mut self) -> Peak {
        self.end();
        let now = delays(self.pid);
        let since = |(thread, delay): (&String, &Duration)| {
            delay.saturating_sub(self.delays.get(thread).copied().unwrap_or_default())
        };
        Peak {
            delayed: now.iter().map(since).max().unwrap_or_default(),
            rss_bytes: self.rss_bytes.load(Ordering::Relaxed),
            descriptors: self.descriptors.load(Ordering::Relaxed),
        }
    }

    fn end(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end();
    }
}

/// How long each thread has waited for a processor so far, by its number.
fn delays(pid: u32) -> BTreeMap<String, Duration> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let delay = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        let waited_ns = text.split_whitespace().nth(1)?.parse().ok()?;
        Some((task.file_name().to_string_lossy().into_owned(), Duration::from_nanos(waited_ns)))
    };
    tasks.filter_map(delay).collect()
}

/// 0 when the process is gone.
pub fn rss_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// 0 when the process is gone.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}
