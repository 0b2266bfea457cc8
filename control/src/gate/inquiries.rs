//! Inquiries: commits and writes whose answers were lost, until the primary has told what became of them (S72).
//!
//! ```text
//!   core: Lost ─► pending ── a primary is open: what has it of the source's? ─┬─ nothing that may be it ─► Found ─► core
//!                    ▲ not now: again in AGAIN                                └─ among these ─► the source: whose? ─► Found
//!                                                       the buffer's window is over ─► Found: unknown
//! ```
//! Invariant: each is answered exactly once, and only by who is primary when it answers: a word of one that was followed by another
//! meanwhile is asked anew.

use crate::client::Options;
use crate::config::MonitorConfig;
use crate::grpc::tls::ClientTls;
use crate::monitor::lookup::{self, Accounts, Answer, Question, Sought};
use crate::monitor::{Topology, topology};
use crate::tablet::find;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use weir_core::mail::{Finding, Lost, Mail};
use weir_core::snapshot::Address;
use weir_net::gtid::GtidSet;

pub struct Inquiries {
    monitor: MonitorConfig,
    tls: Option<ClientTls>,
    pending: Vec<Pending>,
    asked: JoinSet<Answered>,
    /// Who is asked, or was last.
    asked_of: Option<topology::Open>,
    /// Why the last question was not answered, and when the next may be asked.
    why: String,
    again_at: Instant,
}

struct Pending {
    core: usize,
    lost: Box<Lost>,
    since: Instant,
    until: Instant,
    /// This primary has these, and only its source knows whether it is one of them.
    among: Option<(topology::Open, GtidSet)>,
    is_asked: bool,
}

pub struct Answered {
    primary: topology::Open,
    /// Core and token of each.
    of: Vec<(usize, u64)>,
    outcome: Result<Vec<Answer>, String>,
}

impl Inquiries {
    pub fn new(monitor: MonitorConfig, tls: Option<ClientTls>) -> Inquiries {
        let (why, again_at) = ("no primary was up in time".to_string(), Instant::now());
        Inquiries { monitor, tls, pending: Vec::new(), asked: JoinSet::new(), asked_of: None, why, again_at }
    }

    /// Servers are asked with this account from now on.
    pub fn adopt(&mut self, monitor: &MonitorConfig) {
        self.monitor = monitor.clone();
    }

    pub fn handle_lost(&mut self, core: usize, lost: Box<Lost>, topology: &Topology) {
        let since = Instant::now();
        let window = Duration::from_millis(topology.settings().buffer_window_ms);
        self.pending.push(Pending { core, lost, since, until: since + window, among: None, is_asked: false });
        // Others of the same loss come in the same moment, and are asked for together.
        self.again_at = self.again_at.max(since + GATHERING);
    }

    /// Asks what can be asked, and gives up what has waited too long.
    pub fn advance(&mut self, now: Instant, topology: &Topology) -> Vec<(usize, Mail)> {
        let open = topology.open_primary();
        // What another primary had says nothing.
        let is_past = |pending: &&mut Pending| pending.among.as_ref().is_some_and(|(of, _)| Some(*of) != open);
        self.pending.iter_mut().filter(is_past).for_each(|pending| pending.among = None);
        if open.is_some() && open != self.asked_of && !self.asked.is_empty() {
            // Whoever was asked is primary no longer: its word would not count.
            self.asked = JoinSet::new();
            self.pending.iter_mut().for_each(|pending| pending.is_asked = false);
        }
        if let Some(open) = open.filter(|_| now >= self.again_at && self.asked.is_empty()) {
            self.ask(now, topology, open);
        }
        let over = |pending: &mut Pending| pending.until <= now;
        let why = &self.why;
        let unknown = |pending: Pending| found(&pending, Finding::Unknown(why.clone()));
        self.pending.extract_if(.., over).map(unknown).collect()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let first = self.pending.iter().map(|pending| pending.until).min()?;
        // What may be asked again is looked at when that is due; while a question is under way its answer comes first.
        let again =
            self.pending.iter().any(|pending| !pending.is_asked).then(|| self.again_at.max(Instant::now() + TICK));
        Some(again.map_or(first, |again| first.min(again)))
    }

    /// For ever while nothing is asked.
    pub async fn answered(&mut self) -> Answered {
        loop {
            match self.asked.join_next().await {
                Some(Ok(answer)) => return answer,
                // It was ended, or it panicked: what it asked is asked again or given up.
                Some(Err(_)) => self.pending.iter_mut().for_each(|pending| pending.is_asked = false),
                None => std::future::pending().await,
            }
        }
    }

    pub fn handle_answer(&mut self, answer: Answered, topology: &Topology) -> Vec<(usize, Mail)> {
        let is_asked = |pending: &Pending| answer.of.contains(&(pending.core, pending.lost.token));
        self.pending.iter_mut().filter(|pending| is_asked(pending)).for_each(|pending| pending.is_asked = false);
        let findings = match answer.outcome {
            Ok(_) if topology.open_primary() != Some(answer.primary) => {
                Err("the primary changed meanwhile".to_string())
            }
            outcome => outcome,
        };
        let findings = match findings {
            Ok(findings) => findings,
            Err(why) => {
                tracing::debug!(event = "outcome_not_found", why);
                (self.why, self.again_at) = (why, Instant::now() + AGAIN);
                return Vec::new();
            }
        };
        let mut mails = Vec::new();
        for ((core, token), finding) in answer.of.into_iter().zip(findings) {
            let Some(at) = self.pending.iter().position(|p| (p.core, p.lost.token) == (core, token)) else { continue };
            let finding = match finding {
                Answer::Found(finding) => finding,
                Answer::Among(set) => {
                    self.why =
                        "the server that alone knows who wrote what the primary has of it is not back".to_string();
                    self.pending[at].among = Some((answer.primary, set));
                    continue;
                }
            };
            let pending = self.pending.remove(at);
            tracing::info!(event = "outcome", core, thread = pending.lost.thread_id, finding = ?finding);
            mails.push(found(&pending, finding));
        }
        mails
    }

    /// What was lost on one server, as far as one question holds it.
    fn ask(&mut self, now: Instant, topology: &Topology, primary: topology::Open) {
        // First what the primary has; who wrote it where that is not enough.
        let first = self.pending.iter().find(|pending| pending.among.is_none()).or(self.pending.first());
        let Some((source, backend, is_second)) = first.map(|p| (p.lost.source, p.lost.backend, p.among.is_some()))
        else {
            return;
        };
        let asked = if is_second { backend } else { primary.backend };
        let Some((tablet, address)) = topology.place(usize::from(asked.0)) else { return };
        let mut question = Question { source, sought: Vec::new() };
        let mut of = Vec::new();
        let is_alike = |pending: &&mut Pending| pending.lost.source == source && pending.among.is_some() == is_second;
        let alike = self.pending.iter_mut().filter(is_alike);
        for pending in alike.take(find::SOUGHT_MAX) {
            let Lost { thread_id, others, sent_ms, token, .. } = &*pending.lost;
            let waited_ms = now.duration_since(pending.since).as_millis() as u64;
            let sent_ms = sent_ms.saturating_add(waited_ms);
            let among = pending.among.as_ref().map(|(_, set)| set.clone());
            question.sought.push(Sought { thread_id: *thread_id, others: others.clone(), sent_ms, among });
            of.push((pending.core, *token));
            pending.is_asked = true;
        }
        self.asked_of = Some(primary);
        let (tls, accounts) = (self.tls.clone(), self.accounts(&address));
        self.asked.spawn(async move {
            let asked = async {
                match &tablet {
                    Some(tablet) => find::ask(tablet, tls.as_ref(), &question).await,
                    None => lookup::look_up(&accounts, &question).await,
                }
            };
            let late = || Err("a server does not answer".to_string());
            let outcome = tokio::time::timeout(ANSWER_LIMIT, asked).await.unwrap_or_else(|_| late());
            Answered { primary, of, outcome }
        });
    }

    /// Without a tablet: the gate's own, which may lack the right to read a binary log.
    fn accounts(&self, address: &Address) -> Accounts {
        let mut options = Options::address(address)
            .user(&self.monitor.user)
            .attribute("program_name", "weir-monitor")
            .timeout(Some(Duration::from_millis(self.monitor.timeout_ms)));
        options.password = self.monitor.password.clone();
        Accounts { look: options.clone(), dump: options }
    }
}

fn found(pending: &Pending, finding: Finding) -> (usize, Mail) {
    (pending.core, Mail::Found { token: pending.lost.token, finding })
}

/// The losses of one moment.
const GATHERING: Duration = Duration::from_millis(5);

/// After a question that could not be answered.
const AGAIN: Duration = Duration::from_millis(100);

/// A new primary is told of by the topology; this is for what changes otherwise.
const TICK: Duration = Duration::from_millis(20);

/// A primary that is gone does not say so. Longer than reading the log may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(6);
