//! The crowd: sysbench's `oltp_read_write` beside the workers, in runs of a few seconds one after the other.
//!
//! Invariant: every error that sysbench passes over is accounted for: by a deadlock that a server has counted, or it is
//! wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use weir_control::lab::template::APP;

use super::harm::Harm;
use super::stage::Stage;
use super::{Plan, Report};
use crate::client::Account;
use crate::error::Fault;
use crate::sysbench::{Run, Summary, Sysbench, Tables};

pub struct Crowd {
    threads: usize,
    deadlocks: u64,
    thread: JoinHandle<Result<Vec<Summary>, Fault>>,
}

impl Crowd {
    pub fn start(stage: &Stage, plan: &Plan, over: &Arc<AtomicBool>) -> Result<Crowd, Fault> {
        let sysbench = Sysbench::find()?;
        let (user, password) = APP;
        let account = Account {
            address: stage.gate(),
            user: user.to_owned(),
            password: password.to_owned(),
            schema: Some("sbtest".to_owned()),
        };
        stage.run_on_primary("CREATE DATABASE IF NOT EXISTS sbtest")?;
        sysbench.prepare(&account, &TABLES)?;
        let deadlocks = stage.deadlocks();
        let run = Run {
            test: "oltp_read_write".to_owned(),
            account,
            tables: TABLES,
            threads: plan.sysbench_threads,
            time: TIME,
            prepared: true,
            rate: plan.sysbench_rate,
            goes_on: true,
        };
        let over = over.clone();
        let thread = thread::spawn(move || {
            let mut all = Vec::new();
            while !over.load(Ordering::Relaxed) {
                all.push(sysbench.run(&run)?);
            }
            Ok(all)
        });
        Ok(Crowd { threads: plan.sysbench_threads, deadlocks, thread })
    }

    pub fn end(self, stage: &Stage, report: &mut Report) -> Result<(), Fault> {
        let runs = self.thread.join().map_err(|_| Fault::Program("the crowd panicked".to_owned()))??;
        let sum = |of: fn(&Summary) -> u64| runs.iter().map(of).sum::<u64>();
        let (transactions, errors, reconnects) =
            (sum(|run| run.transactions), sum(|run| run.ignored_errors), sum(|run| run.reconnects));
        let deadlocks = stage.deadlocks().saturating_sub(self.deadlocks);
        report.crowd = Some(format!(
            "sysbench oltp_read_write, {} threads: {transactions} transactions in {} runs, {errors} errors passed over, \
             {reconnects} reconnects; the servers counted {deadlocks} deadlocks",
            self.threads,
            runs.len()
        ));
        // A lost primary takes its open transactions along; a planned move none.
        let is_planned = report.rounds.iter().all(|round| round.harm == Harm::Switchover);
        if is_planned && (errors > deadlocks || reconnects > 0) {
            report
                .wrong
                .push(format!("sysbench saw {errors} errors and {reconnects} reconnects, with {deadlocks} deadlocks"));
        }
        Ok(())
    }
}

const TABLES: Tables = Tables { count: 4, rows: 50_000 };

const TIME: Duration = Duration::from_secs(10);
