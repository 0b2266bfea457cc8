//! The audit log: JSON lines about logins, ends, kills, refusals and changes, on a thread of its own.
//!
//! ```text
//!   cores ── AuditEvent (mail) ──► control thread: AuditLog::note ──► bounded queue ──► thread: file, written at once, rotated
//!                                                     full: counted, on_full               no room: kept, tried again
//! ```
//! Invariant: nothing is lost in silence. Each line goes to the file with one write, none waits in a buffer of ours; a line that the file does
//! not take whole is tried again until it does, and what finds no room in the queue meanwhile is counted: the number stands in the next line and in
//! `audit_log_lost`, and the first loss is a warning. While a line cannot be written, or one was lost and none has been since, the log is
//! *stuck*; with `on_full = "refuse"` nobody may log in then.

use crate::config::AuditLogConfig;
use crate::querylog::file::{LogFile, count_lines};
use serde::Serialize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use weir_core::audit::{AuditEvent, AuditSettings};
use weir_core::session::Peer;
use weir_core::tally::Tally;

pub struct AuditLog {
    /// What this gate is called in its lines.
    gate: String,
    queue: Option<SyncSender<Order>>,
    /// Where the next lines go instead; beside the queue, which may be full because of the former file.
    next: Arc<Mutex<Option<LogFile>>>,
    counts: Arc<Counts>,
    tally: Arc<Tally>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    written: AtomicU64,
    lost: AtomicU64,
    /// What cannot be written now is lost.
    is_ending: AtomicBool,
}

enum Order {
    Line(String),
    Reopen,
}

#[derive(Serialize)]
struct Line<'a> {
    /// Seconds since 1970, with milliseconds.
    time: f64,
    gate: &'a str,
    core: u16,
    event: &'a str,
    connection_id: u32,
    user: &'a str,
    /// `address:port`, or `unix`.
    client: &'a str,
    tls: bool,
    schema: &'a str,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<u16>,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
    /// Events without a line so far.
    #[serde(skip_serializing_if = "is_zero")]
    lost: u64,
}

impl AuditLog {
    /// None: there is no file. An error says that it can't be written, now.
    pub fn start(config: &AuditLogConfig, gate: String, tally: Arc<Tally>) -> Result<Option<AuditLog>, String> {
        let Some(file) = open(config)? else { return Ok(None) };
        let next = Arc::<Mutex<Option<LogFile>>>::default();
        let (queue, orders) = sync_channel(QUEUE_MAX);
        let counts = Arc::<Counts>::default();
        let body = {
            let (next, counts, tally) = (next.clone(), counts.clone(), tally.clone());
            move || Writer { file, next, counts, tally }.run(&orders)
        };
        let thread = std::thread::Builder::new().name("weir-audit".to_string()).spawn(body);
        let thread = thread.map_err(|error| format!("the audit log's thread cannot start: {error}"))?;
        Ok(Some(AuditLog { gate, queue: Some(queue), next, counts, tally, thread: Some(thread) }))
    }

    /// Never waits.
    pub fn note(&self, at: SystemTime, event: &AuditEvent) {
        let line = line(&self.gate, at, event, self.lost());
        let Some(queue) = &self.queue else { return };
        if queue.try_send(Order::Line(line)).is_err() {
            if self.counts.lost.fetch_add(1, Ordering::Relaxed) == 0 {
                tracing::warn!(
                    event = "audit_log_full",
                    "the audit log is behind, or its disk is full: events are lost"
                );
            }
            self.tally.set_audit_stuck(true);
        }
    }

    /// After a rotation by somebody else.
    pub fn reopen(&self) {
        if let Some(queue) = &self.queue {
            // One that finds no room is made up for by the next error.
            let _ = queue.try_send(Order::Reopen);
        }
    }

    /// Lines go to another file from the next one on, what the former one has not taken too.
    pub fn follow(&self, file: LogFile) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        self.reopen();
    }

    /// What is in the queue is written, or counted as lost. Says how many lines there were, and how many were lost.
    pub fn end(self) -> (u64, u64) {
        let (counts, tally) = (self.counts.clone(), self.tally.clone());
        drop(self);
        tally.set_audit_stuck(false);
        (counts.written.load(Ordering::Relaxed), counts.lost.load(Ordering::Relaxed))
    }

    /// Who has seen a count sees whether the log was stuck then.
    pub fn written(&self) -> u64 {
        self.counts.written.load(Ordering::Acquire)
    }

    pub fn lost(&self) -> u64 {
        self.counts.lost.load(Ordering::Relaxed)
    }
}

impl Drop for AuditLog {
    /// What is in the queue is written, or counted as lost.
    fn drop(&mut self) {
        self.counts.is_ending.store(true, Ordering::Relaxed);
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Writer {
    file: LogFile,
    next: Arc<Mutex<Option<LogFile>>>,
    counts: Arc<Counts>,
    tally: Arc<Tally>,
}

impl Writer {
    fn run(mut self, orders: &Receiver<Order>) {
        // Lines that the file has not taken, and when it is asked again.
        let (mut kept, mut retry_at) = (String::new(), Instant::now());
        loop {
            let order = match kept.is_empty() {
                true => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => orders.recv_timeout(RETRY),
            };
            match order {
                Ok(Order::Reopen) => {
                    self.turn_to_next();
                    self.file.reopen();
                }
                Ok(Order::Line(line)) if kept.is_empty() => kept = line,
                // The queue is what holds the others meanwhile: it is bounded.
                Ok(Order::Line(line)) => {
                    kept.push_str(&line);
                    if kept.len() < KEPT_BYTES_MAX && Instant::now() < retry_at {
                        continue;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.write(&mut kept);
                    self.lose(&mut kept);
                    return;
                }
            }
            loop {
                self.write(&mut kept);
                if kept.len() < KEPT_BYTES_MAX {
                    retry_at = Instant::now() + RETRY;
                    break;
                } else if self.counts.is_ending.load(Ordering::Relaxed) {
                    self.lose(&mut kept);
                } else {
                    std::thread::sleep(RETRY);
                }
            }
        }
    }

    fn turn_to_next(&mut self) {
        if let Some(next) = self.next.lock().unwrap_or_else(PoisonError::into_inner).take() {
            self.file = next;
        }
    }

    fn lose(&self, kept: &mut String) {
        let count = count_lines(kept);
        kept.clear();
        if count > 0 {
            self.counts.lost.fetch_add(count, Ordering::Relaxed);
            tracing::warn!(event = "audit_log_lost", count, "lines of the audit log are lost at the end");
        }
    }

    /// What the file takes is kept no longer.
    fn write(&mut self, kept: &mut String) {
        self.turn_to_next();
        if kept.is_empty() {
            return;
        }
        let (taken, written) = self.file.write(kept.as_bytes());
        if let Err(error) = &written
            && !self.tally.is_audit_stuck()
        {
            tracing::warn!(event = "audit_log_failed", %error, "the audit log cannot be written: it is tried again");
        }
        self.tally.set_audit_stuck(written.is_err());
        self.counts.written.fetch_add(count_lines(&kept[..taken]), Ordering::Release);
        kept.drain(..taken);
    }
}

/// The file, which can be written, now; None: there is none.
pub fn open(config: &AuditLogConfig) -> Result<Option<LogFile>, String> {
    let Some(path) = &config.file else { return Ok(None) };
    let mut file = LogFile::new(path, config.bytes_max, config.files_kept);
    file.check().map_err(|error| {
        format!("{} cannot be written ({error}): name a file in a folder that we may write to", path.display())
    })?;
    // By the first line: until then another one may be rotated in its place.
    file.reopen();
    Ok(Some(file))
}

/// What the cores are to tell; nothing without a file.
pub fn wanted(config: &AuditLogConfig) -> AuditSettings {
    match config.file {
        Some(_) => AuditSettings { events: config.events, refuses: config.refuses },
        None => AuditSettings::default(),
    }
}

/// Ends with a newline and holds no other.
fn line(gate: &str, at: SystemTime, event: &AuditEvent, lost: u64) -> String {
    let client = match event.peer {
        Peer::Tcp(address) => address.to_string(),
        Peer::Unix => "unix".to_string(),
    };
    let line = Line {
        time: at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as f64 / 1_000.0,
        gate,
        core: event.core,
        event: event.kind.word(),
        connection_id: event.connection_id,
        user: &event.user,
        client: &client,
        tls: event.tls,
        schema: &event.schema,
        outcome: if event.error.is_none() { "ok" } else { "error" },
        error: event.error,
        detail: &event.detail,
        lost,
    };
    // Numbers and texts: there is nothing in it that JSON can't hold.
    let mut text = serde_json::to_string(&line).unwrap_or_default();
    text.push('\n');
    text
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Lines on their way to the thread, some 300 bytes each.
const QUEUE_MAX: usize = 16_384;

/// Of lines that the file has not taken; what comes behind waits in the queue.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Between two tries to write.
const RETRY: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
