//! Vitals: how a server feels, in numbers that move all the time. Whatever it does not tell stays at its default.

use crate::client::{Outcome, Reply, Rows};
use std::time::Duration;
use weir_net::gtid::GtidSet;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vitals {
    pub uptime_s: Option<u64>,
    pub threads_running: u32,
    pub threads_connected: u32,
    /// Statements since its start; our own looks are among them.
    pub queries: u64,
    /// Statements per second between the last two looks.
    pub queries_per_second: u32,
    pub semi_sync: SemiSync,
    /// Writes hang until there is space on a disk: a thread says so, or a commit hangs while the error log says that the
    /// disk is full (MY-000035, written again every ten minutes), which is how a binlog without space shows in MySQL 9.7.
    /// Not seen: tables that can't grow; the server refuses those writes (1114) and serves the rest.
    pub disk_full: bool,
    pub purged: GtidSet,
    /// What it calls itself for others (`report_host`), and its port; empty if nobody has set it.
    pub report_host: String,
    pub report_port: u16,
}

/// The plugins' own words; both off where they are not loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SemiSync {
    /// Its commits wait for replicas now.
    pub source_on: bool,
    /// It acknowledges to its source now.
    pub replica_on: bool,
    /// Replicas that acknowledge to it.
    pub clients: u32,
}

/// Asked apart from the look, because its statements cost more and change less of what is believed. No privilege is
/// needed but for the last.
pub const QUESTION: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Uptime','Threads_running','Threads_connected',\
     'Queries','Rpl_semi_sync_source_status','Rpl_semi_sync_replica_status','Rpl_semi_sync_source_clients',\
     'Rpl_semi_sync_master_status','Rpl_semi_sync_slave_status','Rpl_semi_sync_master_clients');\
     SELECT @@GLOBAL.gtid_purged, @@GLOBAL.report_host, IF(@@GLOBAL.report_port=0, @@GLOBAL.port, @@GLOBAL.report_port);\
     SELECT COUNT(*) FROM performance_schema.threads WHERE PROCESSLIST_STATE='Waiting for disk space' OR \
       (PROCESSLIST_STATE='waiting for handler commit' AND PROCESSLIST_TIME>=2 AND EXISTS \
         (SELECT * FROM performance_schema.error_log WHERE ERROR_CODE='MY-000035' AND LOGGED>NOW()-INTERVAL 11 MINUTE))";

impl Vitals {
    pub fn read(reply: Reply) -> Vitals {
        let mut vitals = Vitals::default();
        let mut results = reply.outcomes.into_iter();
        let Some(status) = rows(results.next()) else { return vitals };
        for row in &status.rows {
            let cell = |at: usize| row.get(at).and_then(|value| value.as_text()).unwrap_or_default();
            vitals.handle_status(&cell(0), &cell(1));
        }
        if let Some(names) = rows(results.next()) {
            vitals.purged = GtidSet::parse(cell(&names, 0).as_bytes()).unwrap_or_default();
            vitals.report_host = cell(&names, 1);
            vitals.report_port = cell(&names, 2).parse().unwrap_or(0);
        }
        if let Some(waiting) = rows(results.next()) {
            vitals.disk_full = cell(&waiting, 0).parse().unwrap_or(0) > 0;
        }
        vitals
    }

    fn handle_status(&mut self, name: &str, value: &str) {
        let number = || value.parse::<u64>().unwrap_or(0);
        let small = || u32::try_from(number()).unwrap_or(u32::MAX);
        match name {
            "Uptime" => self.uptime_s = value.parse().ok(),
            "Threads_running" => self.threads_running = small(),
            "Threads_connected" => self.threads_connected = small(),
            "Queries" => self.queries = number(),
            "Rpl_semi_sync_source_status" | "Rpl_semi_sync_master_status" => self.semi_sync.source_on = value == "ON",
            "Rpl_semi_sync_replica_status" | "Rpl_semi_sync_slave_status" => self.semi_sync.replica_on = value == "ON",
            "Rpl_semi_sync_source_clients" | "Rpl_semi_sync_master_clients" => self.semi_sync.clients = small(),
            _ => {}
        }
    }

    /// Fills in the rate since an earlier word of the same server.
    pub fn count_since(&mut self, before: &Vitals, elapsed: Duration) {
        let served = self.queries.saturating_sub(before.queries);
        let ms = elapsed.as_millis().max(1) as u64;
        self.queries_per_second = u32::try_from(served.saturating_mul(1_000) / ms).unwrap_or(u32::MAX);
    }
}

fn rows(outcome: Option<Outcome>) -> Option<Rows> {
    match outcome {
        Some(Outcome::Rows(rows)) => Some(rows),
        Some(Outcome::Ok(_) | Outcome::Err(_)) | None => None,
    }
}

fn cell(rows: &Rows, at: usize) -> String {
    rows.rows.first().and_then(|row| row.get(at)).and_then(|value| value.as_text()).unwrap_or_default()
}

/// Between two questions.
pub const PAUSE: Duration = Duration::from_millis(1_000);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_counted_between_two_words() {
        let before = Vitals { queries: 1_000, ..Vitals::default() };
        let mut now = Vitals { queries: 1_500, ..Vitals::default() };
        now.count_since(&before, Duration::from_millis(250));
        assert_eq!(now.queries_per_second, 2_000);
        // It was restarted in between.
        let mut again = Vitals { queries: 3, ..Vitals::default() };
        again.count_since(&before, Duration::from_millis(250));
        assert_eq!(again.queries_per_second, 0);
    }

    #[test]
    fn old_and_new_names_are_the_same() {
        for names in [
            ("Rpl_semi_sync_master_status", "Rpl_semi_sync_slave_status"),
            ("Rpl_semi_sync_source_status", "Rpl_semi_sync_replica_status"),
        ] {
            let mut vitals = Vitals::default();
            vitals.handle_status(names.0, "ON");
            vitals.handle_status(names.1, "ON");
            assert_eq!(vitals.semi_sync, SemiSync { source_on: true, replica_on: true, clients: 0 });
        }
    }
}
