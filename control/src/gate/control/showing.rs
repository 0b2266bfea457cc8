//! What operators ask of the gate: pictures and tables, gathered from all cores.
//!
//! Invariant: each question is answered once, at the latest [`REPORT_LIMIT`] after it came, with what has come until then.

use super::Control;
use crate::gate::cluster::Cluster;
use crate::gate::desk::{Ask, Set};
use crate::gate::filters::{Asked, News};
use crate::gate::gather::{Asker, Gathered, TABLES_MAX};
use crate::show::{self, Scene};
use crate::status::{Picture, phase_name};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use weir_core::filters::Filters;
use weir_core::mail::Mail;
use weir_core::session::filters::told;
use weir_core::show::{Detail, Show, Shown, What};
use weir_core::stats::Report;
use weir_planner::filter::{Action, Rule, Statement};

pub type Pictured = oneshot::Sender<Arc<Picture>>;

/// A table that is wanted, and by whom.
pub struct Wanted {
    show: Box<Show>,
    by: By,
}

pub enum By {
    /// A client of this core, under this token.
    Core(usize, u64),
    Desk(oneshot::Sender<Result<Shown, String>>),
    /// Who wants other filters, and no table.
    Changer(oneshot::Sender<Result<(), String>>),
}

impl Control {
    pub(super) fn handle_ask(&mut self, ask: Ask) {
        match ask {
            Ask::Picture(sender) => {
                let cores = self.running.cores();
                if let Some(token) = self.gather.handle_ask(sender, cores, Instant::now() + REPORT_LIMIT) {
                    self.ask_cores(token, Detail { pins: true, ..Detail::default() });
                }
            }
            Ask::Table(show, sender) => self.handle_show(show, By::Desk(sender)),
            Ask::Set(Set { user, values }, sender) => {
                self.set_global(&user, &values);
                // Who asked may have left.
                let _ = sender.send(());
            }
            Ask::Filters(sender) => drop(sender.send(self.topology.filters().cloned())),
            Ask::ChangeFilters(user, statement, sender) => self.change_filters(&statement, &user, By::Changer(sender)),
            Ask::Settings(sender) => drop(sender.send(self.topology.settings().clone())),
            // Who asked may have left.
            Ask::Reload(sender) => drop(sender.send(self.reload())),
            Ask::Upgrade(sender) => self.start_upgrade(Some(sender)),
        }
    }

    pub(super) fn handle_show(&mut self, show: Box<Show>, by: By) {
        let wanted = Wanted { show, by };
        if matches!(wanted.show.what, What::Topology | What::Variables | What::Backends | What::Filters) {
            // What control knows by itself, whatever the cores do.
            return self.answer(Gathered { reports: Vec::new(), asker: Asker::Table(wanted) });
        }
        let (cores, detail) = (self.running.cores(), wanted.show.detail());
        match self.gather.handle_table(wanted, cores, Instant::now() + REPORT_LIMIT) {
            Ok(token) => self.ask_cores(token, detail),
            Err(wanted) => {
                let why = format!("{TABLES_MAX} SHOW WEIR are under way already: repeat it in a moment");
                self.reply(wanted.by, Err(why));
            }
        }
    }

    fn ask_cores(&self, token: u64, detail: Detail) {
        (0..self.running.cores())
            .for_each(|core| self.running.post(core, Mail::Report { token, detail: detail.clone() }));
    }

    pub(super) fn answer(&mut self, gathered: Gathered<Pictured, Wanted>) {
        match gathered.asker {
            Asker::Pictures(asks) => {
                let picture = Arc::new(self.picture(gathered.reports));
                for ask in asks {
                    // Who asked may have left.
                    let _ = ask.send(picture.clone());
                }
            }
            Asker::Table(Wanted { show, by }) => {
                if show.what == What::Events {
                    self.events.handle_refused(gathered.reports.iter().map(|r| r.counters.logins_refused).sum());
                }
                let picture = self.picture(gathered.reports);
                let mut now = self.config.clone();
                now.settings = self.topology.settings().clone();
                let tablets =
                    (0..picture.backends.len()).map(|at| self.topology.place(at).and_then(|(tablet, _)| tablet));
                let scene = Scene { picture: &picture, events: &self.events, config: &now, tablets: tablets.collect() };
                self.reply(by, show::answer(&show, &scene));
            }
        }
    }

    fn reply(&self, by: By, answer: Result<Shown, String>) {
        match by {
            By::Core(core, token) => self.running.post(core, Mail::Shown { token, answer }),
            // Who asked may have left.
            By::Desk(sender) => drop(sender.send(answer)),
            By::Changer(sender) => drop(sender.send(answer.map(drop))),
        }
    }

    /// By the statement of an admin.
    pub(super) fn change_filters(&mut self, statement: &Statement, user: &str, by: By) {
        tracing::info!(event = "filters_change", user, "{user} wants other filters: {}", told(statement));
        self.events.note("filters_change", user, told(statement));
        if let Some(why) = self.lacks_target(statement) {
            return self.filters_changed(by, Err(why));
        }
        if let Some((by, outcome)) = self.filters.change(statement, user, by) {
            self.filters_changed(by, outcome);
        }
    }

    /// Why a filter that would be there then cannot mirror.
    fn lacks_target(&self, statement: &Statement) -> Option<String> {
        let held = self.topology.filters().map(Filters::filters).unwrap_or_default();
        let next = statement.apply(&held).ok()?;
        let mut targets = next.iter().filter(|filter| !held.contains(filter)).filter_map(|filter| {
            match Rule::of(filter).ok()?.action {
                Action::Mirror(mirror) => Some(mirror.target),
                _ => None,
            }
        });
        let knows = |target: &str| self.config.mirrors.iter().any(|known| known.name == target);
        let target = targets.find(|target| !knows(target))?;
        Some(format!("this gate knows no mirror '{target}': name it in its configuration ([[mirrors]]), and reload"))
    }

    pub(super) fn handle_filters(&mut self, news: News) {
        match news {
            News::Changed => self.publish_filters(),
            News::Answer(asked) => {
                let Asked { by, outcome } = *asked;
                let outcome = outcome.map(|record| {
                    if let Some(cluster) = &self.cluster {
                        cluster.admit(record);
                    }
                    self.handle_cluster();
                });
                self.filters_changed(by, outcome);
            }
        }
    }

    /// Whoever asked hears of it behind the snapshot.
    fn filters_changed(&mut self, by: By, outcome: Result<(), String>) {
        if outcome.is_ok() {
            self.publish_filters();
        }
        match by {
            By::Core(core, token) => self.running.post(core, Mail::Filtered { token, outcome }),
            // Who asked may have left.
            By::Changer(sender) => drop(sender.send(outcome)),
            By::Desk(_) => unreachable!("it wants a table"),
        }
    }

    pub(super) fn publish_filters(&mut self) {
        self.topology.filter(self.filters.held());
        self.publish();
    }

    fn picture(&self, reports: Vec<Report>) -> Picture {
        let inbox = self.running.inbox();
        let mut own = self.files.counters((inbox.statements_dropped(), inbox.spans_dropped()));
        own.extend(self.events.counters());
        let views = self.topology.views().into_iter().enumerate();
        Picture {
            uptime_ms: self.began.elapsed().as_millis() as u64,
            ready: self.is_ready(),
            draining: self.is_draining(),
            generation: self.topology.generation(),
            listen: self.listen.clone(),
            cores: self.running.cores(),
            backends: views.map(|(at, view)| (view, self.topology.note(at).to_string())).collect(),
            read_write_splitting: self.topology.settings().read_write_splitting,
            replica_lag_ms_max: self.config.settings.replica_lag_ms_max,
            cluster: self.cluster.as_ref().map(Cluster::picture),
            tag: self.kills.tag(),
            clients_max: self.topology.settings().clients_max,
            has_primary: self.topology.open_primary().is_some(),
            own,
            certificates: self.certificates.ends().to_vec(),
            filters: self.topology.filters().cloned(),
            reports,
        }
    }

    /// What the controllers' last word says, for the events.
    pub(super) fn note_epoch(&mut self) {
        let Some(record) = self.cluster.as_ref().and_then(|cluster| cluster.picture().record) else { return };
        let primary = record.primary().unwrap_or("nobody");
        let text = format!(
            "epoch {}: {}, primary {primary} ({}: {})",
            record.epoch.number(),
            phase_name(&record.phase),
            record.changed_by,
            record.reason
        );
        self.events.handle_epoch(record.epoch.number(), &record.cluster, text);
    }
}

/// How long an answer waits for reports; a core that is busier than that is named as silent.
const REPORT_LIMIT: Duration = Duration::from_millis(500);
