//! The watch: resident memory and descriptors of a process, sampled while something happens to it.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use super::limits;

/// Samples until it is stopped.
pub struct Watch {
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
        Watch { over, rss_bytes: rss, descriptors: descriptors_max, thread: Some(thread::spawn(body)) }
    }

    pub fn stop(mut self) -> Peak {
        self.end();
        Peak {
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
