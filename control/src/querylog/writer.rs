//! The writer: what is kept of the events, and the thread that writes them.

use super::file::{LogFile, count_lines};
use super::line::{self, Beside, Literals};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::SystemTime;
use weir_core::querylog::QueryEvent;

#[derive(Clone, Debug)]
pub struct QueryLogOptions {
    pub path: PathBuf,
    /// Of how many statements one was sampled.
    pub sample: u32,
    pub literals: Literals,
    /// Rotated when the next line would pass it.
    pub bytes_max: u64,
    pub files_kept: u32,
    /// Events on their way to the thread.
    pub queue_max: usize,
}

pub struct QueryLog {
    options: QueryLogOptions,
    queue: Option<SyncSender<Order>>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    written: AtomicU64,
    /// No room in the queue.
    dropped: AtomicU64,
    /// The file refused them.
    lost: AtomicU64,
}

enum Order {
    Line(String),
    Reopen,
    #[cfg(test)]
    Hold(Receiver<()>),
}

impl QueryLog {
    /// An error says that the file can't be written, now.
    pub fn start(options: QueryLogOptions) -> Result<QueryLog, String> {
        let mut file = LogFile::new(&options.path, options.bytes_max, options.files_kept);
        file.check().map_err(|error| {
            format!(
                "{} cannot be written ({error}): name a file in a folder that we may write to",
                options.path.display()
            )
        })?;
        let (queue, orders) = sync_channel(options.queue_max);
        let counts = Arc::<Counts>::default();
        let body = {
            let counts = counts.clone();
            move || write_all(&orders, &mut file, &counts)
        };
        let thread = std::thread::Builder::new().name("weir-querylog".to_string()).spawn(body);
        let thread = thread.map_err(|error| format!("the query log's thread cannot start: {error}"))?;
        Ok(QueryLog { options, queue: Some(queue), counts, thread: Some(thread) })
    }

    /// Never waits. The core has chosen it: it is slow, or a sample.
    pub fn offer(&self, at: SystemTime, event: &QueryEvent) {
        let sampled_from = if event.is_slow { 1 } else { self.options.sample };
        let dropped = self.counts.dropped.load(Ordering::Relaxed);
        let line = line::write(event, self.options.literals, Beside { at, sampled_from, dropped });
        self.send(Order::Line(line));
    }

    /// After a rotation by somebody else.
    pub fn reopen(&self) {
        self.send(Order::Reopen);
    }

    pub fn written(&self) -> u64 {
        self.counts.written.load(Ordering::Relaxed)
    }

    /// Events without a line: the queue was full, or the file could not be written.
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed) + self.counts.lost.load(Ordering::Relaxed)
    }

    fn send(&self, order: Order) {
        let Some(queue) = &self.queue else { return };
        match queue.try_send(order) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for QueryLog {
    /// What is in the queue is written.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write_all(orders: &Receiver<Order>, file: &mut LogFile, counts: &Counts) {
    let mut lines = String::new();
    while let Ok(order) = orders.recv() {
        let mut next = Some(order);
        let mut reopens = false;
        // All that waits goes with one write, up to a size.
        while let Some(order) = next.take() {
            match order {
                Order::Line(line) => lines.push_str(&line),
                Order::Reopen => reopens = true,
                #[cfg(test)]
                Order::Hold(until) => drop(until.recv()),
            }
            if lines.len() < WRITE_BYTES_MAX && !reopens {
                next = orders.try_recv().ok();
            }
        }
        if !lines.is_empty() {
            let (taken, written) = file.write(lines.as_bytes());
            let lost = count_lines(&lines[taken..]);
            counts.written.fetch_add(count_lines(&lines[..taken]), Ordering::Relaxed);
            counts.lost.fetch_add(lost, Ordering::Relaxed);
            if let Err(error) = written {
                tracing::warn!(event = "querylog_failed", %error, count = lost, "lines of the query log are lost");
            }
        }
        lines.clear();
        if reopens {
            file.reopen();
        }
    }
}

const WRITE_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests;
