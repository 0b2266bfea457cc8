//! The gate's files: the table permissions that it watches, the query log and the audit log that it writes. Each may be off.

use crate::acl::Permissions;
use crate::audit::AuditLog;
use crate::config::{Config, address};
use crate::querylog::line::Literals;
use crate::querylog::{QueryLog, QueryLogOptions};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::task::JoinSet;
use weir_core::audit::AuditEvent;
use weir_core::querylog::{QueryEvent, QueryLogSettings};
use weir_core::tally::Tally;

pub struct Files {
    permissions: Option<Permissions>,
    query_log: Option<QueryLog>,
    audit_log: Option<AuditLog>,
}

impl Files {
    /// An error says which file is wrong and what to do.
    pub fn open(config: &Config, tally: Arc<Tally>, tasks: &mut JoinSet<()>) -> Result<Files, String> {
        let permissions = config.permissions.as_deref().map(|path| Permissions::open(Some(path))).transpose()?;
        if let Some(permissions) = &permissions {
            tasks.spawn(permissions.clone().watch());
        }
        let query_log = options(config).map(QueryLog::start).transpose()?;
        let gate = config.listen.first().map(address::show_listen).unwrap_or_default();
        let audit_log = AuditLog::start(&config.audit_log, gate, tally)?;
        Ok(Files { permissions, query_log, audit_log })
    }

    /// What the cores are to obey; None: permissions are off.
    pub fn held(&self) -> Option<weir_core::permissions::Permissions> {
        self.permissions.as_ref().map(Permissions::held)
    }

    /// Other permissions hold than at the last call.
    pub async fn changed(&mut self) {
        match &mut self.permissions {
            Some(permissions) => permissions.changed().await,
            None => std::future::pending().await,
        }
    }

    /// `SIGHUP`: the permissions are read now, and the logs' files are opened anew.
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

    /// Name, value and explanation, as `Counters::each` has them. `unheard`: events that never came here.
    pub fn counters(&self, unheard: u64) -> Vec<(&'static str, u64, &'static str)> {
        let log = self.query_log.as_ref();
        let dropped = log.map_or(0, QueryLog::dropped).saturating_add(unheard);
        let wrong = self.permissions.as_ref().map_or(0, Permissions::wrong);
        let audit = self.audit_log.as_ref().map_or((0, 0), |log| (log.written(), log.lost()));
        counted((log.map_or(0, QueryLog::written), dropped), audit, wrong)
    }
}

/// Name, value and explanation. Of each log: lines written, lines lost.
pub fn counted(query_log: (u64, u64), audit_log: (u64, u64), wrong: u64) -> Vec<(&'static str, u64, &'static str)> {
    vec![
        ("query_log_lines", query_log.0, "Lines of the query log that were written."),
        ("query_log_dropped", query_log.1, "Statements that the query log wanted and lost: no room, or no disk."),
        ("audit_log_lines", audit_log.0, "Lines of the audit log that were written."),
        ("audit_log_lost", audit_log.1, "Events that the audit log lost: no room, or no disk."),
        ("permissions_wrong", wrong, "Files of table permissions that were not taken, since they have mistakes."),
    ]
}

/// What the cores are to tell; nothing without a file.
pub fn wanted(config: &Config) -> QueryLogSettings {
    let log = &config.query_log;
    match log.file {
        Some(_) => QueryLogSettings { sample: log.sample, slow_ms: log.slow_ms, shows_literals: log.shows_literals },
        None => QueryLogSettings::default(),
    }
}

fn options(config: &Config) -> Option<QueryLogOptions> {
    let log = &config.query_log;
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
