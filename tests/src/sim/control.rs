//! The model of the control thread: it looks at the servers now and then and tells the cores what it saw.
//!
//! Invariant: what it says about a replica's executed set was true when it looked, so it is never ahead of the replica.

use std::net::SocketAddr;
use std::sync::Arc;

use weir_core::allowance::{Allowance, Allowances};
use weir_core::audit::{AuditKind, AuditKinds, AuditSettings};
use weir_core::filters::Filters;
use weir_core::mail::{ControlMail, Finding, Lost, Mail};
use weir_core::permissions::Permissions;
use weir_core::querylog::QueryLogSettings;
use weir_core::show::Detail;
use weir_core::snapshot::{
    Address, BackendId, BackendView, Balance, Face, Health, Keys, Mandate, Role, Settings, Snapshot,
};
use weir_core::trace::TraceSettings;
use weir_net::gtid::{GtidSet, Sid};
use weir_planner::filter::Filter;
use weir_planner::{Facts, Route};

use crate::sim::agenda::MS;
use crate::sim::fault::Fault;
use crate::sim::mutation::Mutation;
use crate::sim::plan::Plan;
use crate::sim::random::Random;
use crate::sim::scene::Scene;
use crate::sim::server::Server;
use crate::sim::server::data::UUID;
use crate::sim::server::login::rsa_key;

pub struct Control {
    generation: u64,
    /// From the reload on, and without one from the start.
    budget: u32,
    settings: Arc<Settings>,
    keys: Keys,
    /// Servers that are taken for down until then.
    alarms: Vec<u64>,
    pub reports_asked: u64,
    pub reports_seen: u64,
    pub drained: usize,
    pub logged: u64,
    permissions: Option<Permissions>,
    filters: Option<Filters>,
    /// By core, since when: what nobody knows yet whether it was committed.
    lost: Vec<(usize, Box<Lost>, u64)>,
    /// Whatever is not there is said to be there.
    lies: bool,
    /// Nothing is used any more: the end of the run.
    ending: bool,
    /// From and to whom the primary's role went: looks at them show what was before.
    pub unheard: Option<[usize; 2]>,
    mandate: Mandate,
    /// By core: the last epoch for which nothing was open on the primary.
    handed_over: Vec<u64>,
}

impl Control {
    pub fn new(plan: &Plan, random: &mut Random) -> Control {
        let mut settings = Settings {
            connections_per_backend_max: plan.budget,
            connections_warm_min: random.below(2) as u32,
            connection_idle_ms_max: *random.pick(&[100, 5_000, 60_000]),
            connection_age_ms_max: *random.pick(&[500, 3_600_000]),
            wait_ms_max: plan.wait_ms_max,
            handshake_ms_max: 10_000,
            dial_ms_max: 1_000,
            balance: *random.pick(&[Balance::Random, Balance::LeastOutstanding]),
            read_write_splitting: random.chance(85),
            split_read_only_transactions: random.chance(50),
            consistency: plan.mutation.map_or(plan.rules.level, |mutation| mutation.altered(plan.rules.level)),
            read_after_write_ms_max: plan.read_after_write_ms_max,
            statements_per_connection_max: *random.pick(&[2, 512]),
            query_log: QueryLogSettings { sample: plan.budget % 3, slow_ms: 5_000, shows_literals: true },
            traces: TraceSettings { is_on: plan.budget.is_multiple_of(3), sample: 2, per_s_max: 100 },
            digests: plan.budget.is_multiple_of(2),
            allowances: turns(plan.seed).into(),
            audit: AuditSettings { events: audited(plan.budget), refuses: false },
            // Few statements of one form at a time. Seeds of a million and less are known from before.
            digest_running_max: if plan.seed > 1_000_000 && plan.seed % 7 == 2 {
                1 + (plan.seed / 7 % 3) as u32
            } else {
                0
            },
            // Each lease on another connection. Seeds of a million and less are known from before.
            scatter: plan.seed > 1_000_000 && plan.seed.is_multiple_of(3),
            ..Settings::default()
        };
        // A reload while statements run. Seeds of a million and less are known from before.
        if plan.seed > 1_000_000 && plan.seed.is_multiple_of(5) {
            settings.connections_per_backend_max = (plan.budget / 2).max(1);
        }
        Control {
            generation: 0,
            budget: plan.budget,
            settings: Arc::new(settings),
            permissions: (plan.budget % 2 == 1).then(|| Permissions { rules: Arc::default(), version: 1 }),
            // Seeds of a million and less are known from before.
            filters: (plan.seed > 1_000_000 && plan.seed % 4 == 1).then(|| filters(plan.seed)),
            keys: Keys { tls: None, listeners: Arc::default(), backend_tls: None, rsa: Arc::new(rsa_key().clone()) },
            alarms: vec![0; plan.servers.len()],
            reports_asked: 0,
            reports_seen: 0,
            drained: 0,
            logged: 0,
            lost: Vec::new(),
            lies: false,
            ending: false,
            unheard: None,
            mandate: if plan.faults.iter().any(|planned| matches!(planned.fault, Fault::Move { .. })) {
                Mandate { epoch: 1, holder: Some(BackendId(0)), uuid: Some(UUID), ..Mandate::default() }
            } else {
                Mandate::default()
            },
            handed_over: vec![0; usize::from(plan.cores)],
        }
    }

    pub fn alarm(&mut self, server: usize, until: u64) {
        self.alarms[server] = until;
    }

    /// What the servers look like now.
    pub fn look(&mut self, scene: &Scene, servers: &[Server]) -> Arc<Snapshot> {
        self.generation += 1;
        if self.generation == GROWS_AT {
            let grown = Settings { connections_per_backend_max: self.budget, ..(*self.settings).clone() };
            self.settings = Arc::new(grown);
        }
        let backends = servers.iter().map(|server| self.view(scene, server)).collect();
        Arc::new(Snapshot {
            generation: self.generation,
            backends,
            settings: self.settings.clone(),
            keys: self.keys.clone(),
            // They allow everything: whether they are there must make no difference.
            permissions: self.permissions.clone(),
            // They hold statements back, and refuse none.
            filters: self.filters.clone(),
            face: Face { version: "9.7.4-weir".to_string(), charset: 255, native_password: false },
            mandate: self.mandate.clone(),
        })
    }

    fn view(&self, scene: &Scene, server: &Server) -> BackendView {
        let mut executed = GtidSet::new();
        let applied = if server.store.replica { server.store.applied } else { scene.log.len() };
        let lie = usize::from(server.store.replica && applied < scene.log.len() && scene.errs(Mutation::ReplicaAhead));
        if applied + lie > 0 {
            executed.add(Sid::of(UUID), 1, (applied + lie) as u64);
        }
        let down = !server.up || scene.now < server.frozen_until || scene.now < self.alarms[server.id];
        let lag_ns = match scene.log.get(applied) {
            Some(next) if server.store.replica => scene.now - next.at,
            _ => 0,
        };
        let is_replica = match self.unheard {
            Some([from, _]) if from == server.id => false,
            Some([_, to]) if to == server.id => true,
            _ => server.store.replica,
        };
        let address = SocketAddr::from(([127, 0, 0, 1], 10_000 + server.id as u16));
        BackendView {
            id: BackendId(server.id as u16),
            name: format!("server{}", server.id),
            uuid: Some(UUID),
            address: Address::Tcp(address),
            role: if is_replica { Role::Replica } else { Role::Primary },
            health: match (self.ending, down) {
                (true, _) => Health::Gone,
                (false, true) => Health::Down,
                (false, false) => Health::Up,
            },
            lag_ms: (!server.applier_stopped).then_some((lag_ns / MS) as u32),
            executed: Arc::new(executed),
            weight: 1,
            version: "9.7.4-sim".to_string(),
            version_number: 90704,
            read_only: is_replica,
            zone: String::new(),
            queries_per_second: 0,
            threads_connected: 0,
            threads_running: 0,
        }
    }

    /// Everybody is gone: nothing is to be kept.
    pub fn end(&mut self, gone: bool) {
        self.ending = gone;
        let quick = Settings { connections_warm_min: 0, connection_idle_ms_max: 500, ..(*self.settings).clone() };
        self.settings = Arc::new(quick);
    }

    /// A letter from a core. True: it asks for a look.
    pub fn told(&mut self, scene: &mut Scene, core: usize, mail: ControlMail) -> bool {
        match mail {
            ControlMail::Report { token, report } => {
                self.reports_seen += 1;
                if usize::from(report.core) != core || token > self.reports_asked {
                    scene.oracle.violate(format!("core {core} reports as core {} with token {token}", report.core));
                }
                false
            }
            ControlMail::Suspect { backend, why, .. } => {
                scene.tell(|| format!("core {core} suspects {backend:?}: {why}"));
                true
            }
            ControlMail::Audit(event) => {
                if usize::from(event.core) != core || event.user.is_empty() {
                    scene.oracle.violate(format!("core {core} tells of {event:?}"));
                }
                false
            }
            ControlMail::Statement(event) => {
                if usize::from(event.core) != core || event.statement.is_empty() {
                    scene.oracle.violate(format!("core {core} logs {event:?}"));
                }
                self.logged += 1;
                false
            }
            ControlMail::Span(span) => {
                let times = [span.times.began, span.times.sent.unwrap_or(span.times.began), span.times.ended];
                if usize::from(span.core) != core || span.draft.statement.is_empty() || !times.is_sorted() {
                    scene.oracle.violate(format!("core {core} traces {span:?}"));
                }
                false
            }
            // Nobody runs it: it ends as dropped. What it is, it may be anywhere, and as often as one likes.
            ControlMail::Copied(copied) => {
                let plan = weir_planner::plan(&copied.text, &Facts::default());
                if plan.route != Route::Read || !plan.effects.is_empty() || !copied.is_wanted() {
                    scene.oracle.violate(format!("core {core} copies {copied:?}"));
                }
                false
            }
            ControlMail::Lost(lost) => {
                self.lost.push((core, lost, scene.now));
                true
            }
            // There is one gate, and its clients kill nobody: an id that came to be asked for is a mistake of the engine's.
            ControlMail::Kill { kill, .. } => {
                scene.oracle.violate(format!("core {core} asks other gates to end {kill:?}"));
                false
            }
            ControlMail::Killed { token, .. } => {
                scene.oracle.violate(format!("core {core} answers a kill that nobody asked for: {token}"));
                false
            }
            // Its clients are no admins.
            ControlMail::SetGlobal { .. } | ControlMail::Filter { .. } => unreachable!("nobody may"),
            ControlMail::Show { .. } => unreachable!("nobody asks"),
            ControlMail::Drained => {
                self.drained += 1;
                false
            }
            ControlMail::HandedOver { epoch } => {
                self.handed_over[core] = epoch;
                false
            }
            ControlMail::Log { level, event, detail } => {
                scene.tell(|| format!("core {core} logs {level:?} {event}: {detail}"));
                false
            }
        }
    }

    /// The next epoch.
    pub fn mandate(&mut self, holder: Option<usize>, is_ending: bool, is_planned: bool) {
        self.mandate = Mandate {
            epoch: self.mandate.epoch + 1,
            holder: holder.map(|server| BackendId(server as u16)),
            uuid: holder.map(|_| UUID),
            is_ending,
            is_planned,
            ..Mandate::default()
        };
    }

    /// Nothing is open on the primary that is about to be followed.
    pub fn is_handed_over(&self) -> bool {
        self.handed_over.iter().all(|epoch| *epoch >= self.mandate.epoch)
    }

    /// What became of the transactions whose answers were lost, as far as the primary tells now.
    pub fn findings(&mut self, scene: &mut Scene, servers: &[Server]) -> Vec<(usize, Mail)> {
        let is_up = |server: &&Server| !server.store.replica && server.up && scene.now >= server.frozen_until;
        let open = servers.iter().find(is_up).filter(|_| !self.mandate.is_ending);
        let window_ns = self.settings.buffer_window_ms * MS;
        let mut mails = Vec::new();
        for (core, lost, since) in std::mem::take(&mut self.lost) {
            let by = (usize::from(lost.backend.0), lost.thread_id);
            let has_ended = |primary: &Server| primary.id != by.0 || !primary.store.threads.contains(&lost.thread_id);
            let finding = match open.filter(|primary| has_ended(primary)) {
                Some(_) => {
                    let finding = find(scene, &lost, by);
                    self.lies |= finding == Finding::Absent && scene.mistake(Mutation::WrongFinding);
                    if self.lies && finding == Finding::Absent { lie(&lost) } else { finding }
                }
                None if scene.now > since + window_ns => Finding::Unknown("it was not seen".to_owned()),
                None => {
                    self.lost.push((core, lost, since));
                    continue;
                }
            };
            scene.tell(|| format!("core {core} hears what became of {by:?}: {finding:?}"));
            mails.push((core, Mail::Found { token: lost.token, finding }));
        }
        mails
    }

    pub fn ask_report(&mut self) -> Mail {
        self.reports_asked += 1;
        Mail::Report {
            token: self.reports_asked,
            detail: Detail { of: None, sessions: true, pins: true, digests: true, forgets_digests: false },
        }
    }
}

fn lie(lost: &Lost) -> Finding {
    let mut found = GtidSet::new();
    found.add(Sid::of(lost.source), 1, 1);
    Finding::Committed(found)
}

/// In the primary's log: nothing is ever lost here, and a thread's number is never given again.
fn find(scene: &Scene, lost: &Lost, by: (usize, u32)) -> Finding {
    let sid = Sid::of(lost.source);
    let mut found = GtidSet::new();
    for (at, logged) in scene.log.iter().enumerate() {
        let number = at as u64 + 1;
        if logged.by == by && !lost.others.holds(&sid, number) {
            found.add(sid.clone(), number, number);
        }
    }
    if found.is_empty() { Finding::Absent } else { Finding::Committed(found) }
}

/// All kinds in some runs, none in others.
fn audited(budget: u32) -> AuditKinds {
    let mut kinds = AuditKinds::default();
    AuditKind::ALL.into_iter().filter(|_| budget % 3 == 1).for_each(|kind| kinds.add(kind));
    kinds
}

/// In some runs few statements of an account run at a time; the others wait until they do.
fn turns(seed: u64) -> Allowances {
    let row = Allowance {
        running_max: 1 + (seed / 4 % 3) as u32,
        waiting_max: 1_000_000,
        wait_ms_max: Some(3_600_000),
        ..Allowance::default()
    };
    let others = (seed % 4 == 3).then(|| Arc::new(row));
    Allowances { others, ..Allowances::default() }
}
/// So few statements at once, however many wait.
fn filters(seed: u64) -> Filters {
    let text = format!(
        "create filter reads () with_pattern (plans='Select') execute (action='CONCURRENCY_CONTROL', \
         action_args='max_concurrency={}; max_queue_size=1000000; max_wait_ms=1000000'); \
         create filter all () with_pattern () execute (action='CONCURRENCY_CONTROL', \
         action_args='max_concurrency={}; max_queue_size=1000000; max_wait_ms=1000000'); \
         create filter copies () with_pattern () execute (action='MIRROR', action_args='target=next; percent=50')",
        1 + seed / 4 % 3,
        1 + seed / 12 % 4,
    );
    let filters = Filter::read_all(&text).expect("they mean something");
    Filters::following(None, &filters).expect("they mean something")
}

/// The snapshot with which a budget that began small becomes the plan's.
const GROWS_AT: u64 = 6;
