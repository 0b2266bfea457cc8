//! The gate's files, and what it tells of statements and sessions: the table permissions that it watches, the query log and the audit log
//! that it writes, the traces that a collector gets, the copies that mirrors run. Each may be off; all but the traces may be replaced
//! while the gate runs.

use crate::acl::Permissions;
use crate::audit::{self, AuditLog};
use crate::config::{AuditLogConfig, Config, QueryLogConfig, address, listeners};
use crate::mirrors::{self, Mirrors};
use crate::querylog::file::LogFile;
use crate::querylog::line::Literals;
use crate::querylog::{QueryLog, QueryLogOptions};
use crate::traces::{self, Traces};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::task::JoinSet;
use weir_core::audit::AuditEvent;
use weir_core::mirror::Copied;
use weir_core::querylog::{QueryEvent, QueryLogSettings};
use weir_core::tally::Tally;
use weir_core::time::Instant;
use weir_core::trace::Span;

pub struct Files {
    permissions: Option<Permissions>,
    /// Of the last permissions that there were, and their files with mistakes.
    version: u64,
    wrong_before: u64,
    query_log: Option<QueryLog>,
    audit_log: Option<AuditLog>,
    traces: Option<Traces>,
    mirrors: Mirrors,
    query_log_config: QueryLogConfig,
    audit_log_config: AuditLogConfig,
    /// What this gate is called in the audit log.
    gate: String,
    tally: Arc<Tally>,
    /// Lines of logs that were replaced or switched off: written and lost.
    lines_before: (u64, u64),
    audited_before: (u64, u64),
    /// What looks at the permissions.
    watch: JoinSet<()>,
}

/// What the next configuration names, opened already. The outer None: it stays as it is.
pub struct Opened {
    permissions: Option<Option<Permissions>>,
    query_log: Option<Option<QueryLog>>,
    query_log_config: QueryLogConfig,
    mirrors: Option<mirrors::Opened>,
    audit_log: AuditStep,
    audit_log_config: AuditLogConfig,
}

enum AuditStep {
    Stays,
    Begins(AuditLog),
    Turns(LogFile),
    Ends,
}

impl Files {
    /// An error says which file is wrong and what to do.
    pub fn open(config: &Config, tally: Arc<Tally>) -> Result<Files, String> {
        let gate = config.listen.first().map(address::show_listen).unwrap_or_default();
        let mut files = Files {
            permissions: None,
            version: 0,
            wrong_before: 0,
            query_log: None,
            traces: Traces::start(&config.traces, &gate)?,
            mirrors: Mirrors::default(),
            audit_log: None,
            query_log_config: Config::defaults(Vec::new()).query_log,
            audit_log_config: AuditLogConfig::default(),
            gate,
            tally,
            lines_before: (0, 0),
            audited_before: (0, 0),
            watch: JoinSet::new(),
        };
        let opened = files.prepare(config)?;
        files.adopt(opened);
        Ok(files)
    }

    /// Opens what `next` names, and changes nothing yet.
    pub fn prepare(&mut self, next: &Config) -> Result<Opened, String> {
        let path = next.permissions.as_deref();
        let held = self.permissions.as_ref().and_then(Permissions::path);
        let permissions = match path == held {
            true => None,
            false => Some(path.map(|path| self.open_permissions(path)).transpose()?),
        };
        let query_log = match next.query_log == self.query_log_config {
            true => None,
            false => Some(options(&next.query_log).map(QueryLog::start).transpose()?),
        };
        let mirrors = self.mirrors.prepare(&next.mirrors)?;
        let audit_log = self.prepare_audit(&next.audit_log)?;
        let (query_log_config, audit_log_config) = (next.query_log.clone(), next.audit_log.clone());
        Ok(Opened { permissions, query_log, query_log_config, audit_log, audit_log_config, mirrors })
    }

    /// What it is told of, and who may not come in while it is stuck, the cores know.
    fn prepare_audit(&self, next: &AuditLogConfig) -> Result<AuditStep, String> {
        let place = |log: &AuditLogConfig| (log.file.clone(), log.bytes_max, log.files_kept);
        if place(next) == place(&self.audit_log_config) {
            return Ok(AuditStep::Stays);
        }
        Ok(match &self.audit_log {
            None => {
                let begun = AuditLog::start(next, self.gate.clone(), self.tally.clone())?;
                begun.map_or(AuditStep::Stays, AuditStep::Begins)
            }
            Some(_) => audit::open(next)?.map_or(AuditStep::Ends, AuditStep::Turns),
        })
    }

    fn open_permissions(&self, path: &Path) -> Result<Permissions, String> {
        Ok(Permissions::open(Some(path))?.following(self.version))
    }

    pub fn adopt(&mut self, opened: Opened) {
        if let Some(mirrors) = opened.mirrors {
            self.mirrors.adopt(mirrors);
        }
        if let Some(permissions) = opened.permissions {
            self.wrong_before += self.permissions.as_ref().map_or(0, Permissions::wrong);
            self.watch.abort_all();
            if let Some(permissions) = &permissions {
                self.watch.spawn(permissions.clone().watch());
            }
            self.permissions = permissions;
        }
        if let Some(query_log) = opened.query_log {
            if let Some(old) = self.query_log.take() {
                self.lines_before.0 += old.written();
                self.lines_before.1 += old.dropped();
            }
            self.query_log = query_log;
        }
        self.query_log_config = opened.query_log_config;
        self.audit_log_config = opened.audit_log_config;
        match (opened.audit_log, &self.audit_log) {
            (AuditStep::Stays, _) => {}
            (AuditStep::Begins(log), _) => self.audit_log = Some(log),
            (AuditStep::Turns(file), Some(log)) => log.follow(file),
            (AuditStep::Turns(_), None) => unreachable!("there is one to turn, see prepare_audit"),
            (AuditStep::Ends, _) => {
                let (written, lost) = self.audit_log.take().map_or((0, 0), AuditLog::end);
                self.audited_before = (self.audited_before.0 + written, self.audited_before.1 + lost);
            }
        }
    }

    /// What the cores are to obey; None: permissions are off.
    pub fn held(&mut self) -> Option<weir_core::permissions::Permissions> {
        let held = self.permissions.as_ref().map(Permissions::held)?;
        self.version = self.version.max(held.version);
        Some(held)
    }

    /// Other permissions hold than at the last call.
    pub async fn changed(&mut self) {
        match &mut self.permissions {
            Some(permissions) => permissions.changed().await,
            None => std::future::pending().await,
        }
    }

    /// The permissions are read now, and the logs' files are opened anew.
    pub fn reload(&self) {
        if let Some(permissions) = &self.permissions {
            permissions.reload();
        }
        if let Some(log) = &self.query_log {
            log.reopen();
        }
        if let Some(log) = &self.audit_log {
            log.reopen();
        }
    }

    pub fn audit(&self, event: &AuditEvent) {
        if let Some(log) = &self.audit_log {
            log.note(SystemTime::now(), event);
        }
    }

    pub fn log(&self, event: &QueryEvent) {
        if let Some(log) = &self.query_log {
            log.offer(SystemTime::now(), event);
        }
    }

    pub fn trace(&self, clock: Instant, span: Box<Span>) {
        if let Some(traces) = &self.traces {
            traces.offer(clock, span);
        }
    }

    pub fn mirror(&self, copied: Box<Copied>) {
        self.mirrors.offer(copied);
    }

    /// Name, value and explanation, as `Counters::each` has them. `unheard`: events and spans that never came here.
    pub fn counters(&self, (unheard, spans_unheard): (u64, u64)) -> Vec<(&'static str, u64, &'static str)> {
        let log = self.query_log.as_ref();
        let (written, lost) = self.lines_before;
        let written = written + log.map_or(0, QueryLog::written);
        let dropped = (lost + log.map_or(0, QueryLog::dropped)).saturating_add(unheard);
        let wrong = self.wrong_before + self.permissions.as_ref().map_or(0, Permissions::wrong);
        let (written_before, lost_before) = self.audited_before;
        let audit = self.audit_log.as_ref().map_or((0, 0), |log| (log.written(), log.lost()));
        let audit = (written_before + audit.0, lost_before + audit.1);
        let [exported, lost, failed] = self.traces.as_ref().map_or([0; 3], Traces::counted);
        counted((written, dropped), audit, wrong, [exported, lost.saturating_add(spans_unheard), failed])
    }
}

/// Name, value and explanation. Of each log: lines written, lines lost; of traces: exported, dropped, failed.
pub fn counted(
    query_log: (u64, u64),
    audit_log: (u64, u64),
    wrong: u64,
    traces: [u64; 3],
) -> Vec<(&'static str, u64, &'static str)> {
    vec![
        ("query_log_lines", query_log.0, "Lines of the query log that were written."),
        ("query_log_dropped", query_log.1, "Statements that the query log wanted and lost: no room, or no disk."),
        ("audit_log_lines", audit_log.0, "Lines of the audit log that were written."),
        ("audit_log_lost", audit_log.1, "Events that the audit log lost: no room, or no disk."),
        ("traces_exported", traces[0], "Traced statements that the collector has taken."),
        ("traces_dropped", traces[1], "Traced statements that found no room on their way to the collector."),
        ("traces_failed", traces[2], "Traced statements that the collector refused, or was away for too long for."),
        ("permissions_wrong", wrong, "Files of table permissions that were not taken, since they have mistakes."),
    ]
}

/// Those settings of the cores that the configuration says in other words: of logs, traces and listeners.
pub fn spell_out(config: &mut Config) {
    config.settings.query_log = wanted(&config.query_log);
    config.settings.audit = audit::wanted(&config.audit_log);
    config.settings.traces = traces::wanted(config);
    config.settings.listeners = listeners::wanted(config);
}

/// What the cores are to tell; nothing without a file.
fn wanted(log: &QueryLogConfig) -> QueryLogSettings {
    match log.file {
        Some(_) => QueryLogSettings { sample: log.sample, slow_ms: log.slow_ms, shows_literals: log.shows_literals },
        None => QueryLogSettings::default(),
    }
}

fn options(log: &QueryLogConfig) -> Option<QueryLogOptions> {
    Some(QueryLogOptions {
        path: log.file.clone()?,
        sample: log.sample,
        literals: if log.shows_literals { Literals::Shown } else { Literals::Redacted },
        bytes_max: log.bytes_max,
        files_kept: log.files_kept,
        queue_max: QUEUE_MAX,
    })
}

/// Lines on their way to the log's thread, up to 10 KiB each.
const QUEUE_MAX: usize = 4_096;
