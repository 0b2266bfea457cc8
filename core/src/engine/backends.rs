//! The core's view of its backends: a new snapshot, dials and evictions, and its share of the gate's connections.
//!
//! The budget of connections per backend is one number for the gate. Each core owns a share; shares move between cores
//! by mail, so their sum never exceeds the budget and no core takes a lock to know its own.

use super::{Action, Engine};
use crate::limits::{DIAL_PAUSE_MS, SWEEP_MS};
use crate::link::expect::Purpose;
use crate::link::{Link, LinkPhase, Tracking};
use crate::mail::{ControlMail, CoreId, Level, Mail, Sign};
use crate::session::account::AccountId;
use crate::session::user_variables::OnLink;
use crate::session::{ClassId, Phase, Wait};
use crate::slots::Key;
use crate::snapshot::{BackendId, Health, Role, Settings, Snapshot};
use crate::state::{SchemaId, StateId};
use crate::timers::Owner as TimerOwner;
use crate::traffic::{self, Traffic};
use rustc_hash::FxHashSet;
use std::cmp::Ordering;
use std::rc::Rc;
use std::sync::Arc;
use weir_planner::routines::Routines;
use weir_pool::{Limits, SlotId, Want};

pub(super) fn pool_limits(settings: &Settings) -> Limits {
    Limits {
        waiters_max: settings.waiters_max as usize,
        warm_min: settings.connections_warm_min as usize,
        idle_ns_max: settings.connection_idle_ms_max.saturating_mul(1_000_000),
        age_ns_max: settings.connection_age_ms_max.saturating_mul(1_000_000),
        scatter: settings.scatter,
        ..Limits::default()
    }
}

impl Engine {
    /// The world has changed: backends come and go, the primary moves, settings hold from here on.
    pub(crate) fn adopt_snapshot(&mut self, snapshot: Arc<Snapshot>) {
        let before = std::mem::replace(&mut self.snapshot, Rc::new(snapshot));
        let snapshot = self.snapshot.clone();
        self.knows_replicas = snapshot.backends.iter().any(|view| view.role == Role::Replica);
        self.restraint.is_ruled = snapshot.permissions.is_some() || snapshot.filters.is_some();
        self.restraint.limits_forms = snapshot.settings.digest_running_max > 0;
        self.restraint.is_watched = self.restraint.is_ruled || snapshot.settings.digests || self.restraint.limits_forms;
        let budgets = [&before, &snapshot].map(|of| of.settings.connections_per_backend_max);
        let is_shared_anew = before.settings.budget_version != snapshot.settings.budget_version;
        let known = self.commands_by_backend.len();
        self.pool.set_limits(pool_limits(&snapshot.settings));
        while self.commands_by_backend.len() < snapshot.backends.len() {
            self.pool.add_backend();
            let backend = self.commands_by_backend.len() as u16;
            self.commands_by_backend.push(0);
            self.traffic.push(Traffic::default());
            self.pool.set_quota(backend, self.share(snapshot.settings.connections_per_backend_max));
        }
        self.share_budget(known, budgets, is_shared_anew);
        for view in &snapshot.backends {
            let usable = view.health == Health::Up;
            self.pool.set_usable(view.id.0, usable);
            if !usable {
                self.fail_line(view.id);
            }
        }
        for view in &snapshot.backends {
            let was_up = before.backends.get(view.id.0 as usize).map(|old| old.health == Health::Up);
            let traffic = &mut self.traffic[view.id.0 as usize];
            match (was_up, view.health == Health::Up) {
                // Down before, or new while the gate runs: it starts slowly. At the gate's own start all are new.
                (Some(false), true) => traffic.up_since = Some(self.now),
                (None, true) if before.generation > 0 => traffic.up_since = Some(self.now),
                _ => {}
            }
        }
        for session in std::mem::take(&mut self.streamers) {
            let waits = |s: &crate::session::Session| matches!(s.phase, Phase::Waiting(_, Wait::Stream));
            if self.sessions.get(session).is_some_and(waits) {
                self.decide_anew(session);
            }
        }
        self.sampler.obey(&snapshot.settings);
        self.restraint.admission.is_on = snapshot.settings.admission.is_on;
        let of = |settings: &Settings| (settings.times, settings.allowances.clone());
        // At the start there are none yet.
        let has_weights = !self.restraint.admission.weights.is_empty();
        if !has_weights || of(&before.settings) != of(&snapshot.settings) {
            self.adopt_allowances();
        }
        let (was, now) = (&before.settings, &snapshot.settings);
        let is_same = was.reading_routines == now.reading_routines && was.modifying_routines == now.modifying_routines;
        if !has_weights || !is_same {
            // What cannot be read the configuration has refused.
            self.plans.vouch(Routines::parse(&now.reading_routines, &now.modifying_routines).unwrap_or_default());
        }
        let version = |of: &Option<crate::filters::Filters>| of.as_ref().map_or(0, |filters| filters.version);
        if version(&before.filters) != version(&snapshot.filters) {
            self.adopt_filters(before.filters.as_ref());
        }
        if before.settings.digest_running_max != snapshot.settings.digest_running_max {
            self.adopt_form_limit();
        }
        self.adopt_mandate(&before.mandate);
        self.release_buffer();
        if self.sweep.at == crate::time::Instant::NEVER {
            self.timers.set(&mut self.sweep, self.now.plus_ms(SWEEP_MS), TimerOwner::Core);
        }
    }

    /// A larger budget adds to what each core has, wherever share has moved, so that the sum is right at any time. A smaller one is
    /// shared out anew: until connections beyond it are free there may be more. Backends from `known` on have their share already.
    fn share_budget(&mut self, known: usize, [before, now]: [u32; 2], is_shared_anew: bool) {
        let (share, more) = (self.share(now), self.share(now).saturating_sub(self.share(before)));
        for backend in 0..known as u16 {
            match is_shared_anew {
                true => self.pool.set_quota(backend, share),
                false if more > 0 => self.pool.grant(backend, more),
                false => {}
            }
        }
        if is_shared_anew {
            self.grant_early();
        }
    }

    /// This core's first share of a budget: equal parts, the remainder to the first cores, at least one in all.
    fn share(&self, budget: u32) -> u32 {
        let cores = u32::from(self.cores);
        budget / cores + u32::from(u32::from(self.core.0) < budget % cores)
    }

    /// The backend is down: whoever waits in its line decides anew.
    pub(crate) fn fail_line(&mut self, backend: BackendId) {
        for ticket in self.pool.fail_line(backend.0) {
            match self.waiters.remove(&ticket) {
                Some(super::Waiter::Session(session)) => self.decide_anew(session),
                Some(super::Waiter::Index(of, _)) => self.index_line_failed(of),
                _ => {}
            }
        }
    }

    /// Dials that the pool wants, idle connections that it wants closed. True when something was started.
    pub(crate) fn open_and_evict(&mut self) -> bool {
        let mut moved = false;
        while let Some(slot) = self.pool.poll_evict(self.now.0) {
            moved = true;
            match self.slot_links.get(slot.index) {
                Some(link) => self.retire(link),
                None => self.pool.closed(self.now.0, slot),
            }
        }
        while let Some((slot, backend, want)) = self.pool.poll_dial() {
            moved = true;
            self.dial(slot, BackendId(backend), &want);
        }
        moved
    }

    /// `SlotId::NOWHERE`: the pool knows nothing of it.
    pub(crate) fn dial(&mut self, slot: SlotId, backend: BackendId, want: &Want) -> Key<Link> {
        let address = self.snapshot.backend(backend).address.clone();
        let wire = self.wires.insert(crate::wire::Wire::new(crate::wire::Owner::Nobody));
        let account = AccountId(want.account);
        self.accounts.hold(account);
        let link = self.links.insert(Link {
            wire,
            slot,
            backend,
            account,
            class: ClassId(want.class),
            caps: weir_net::flags::Capabilities::empty(),
            flavour: Default::default(),
            has_conditions: false,
            has_count: false,
            phase: LinkPhase::Dialing,
            thread_id: 0,
            nonce: [0; 20],
            token: self.restraint.errands.next_token(),
            schema: SchemaId(want.schema),
            state: Default::default(),
            status: Default::default(),
            statements: Default::default(),
            expects: Default::default(),
            scan: Engine::scan(),
            inbound: Default::default(),
            lessee: None,
            last_session: None,
            numbered: false,
            undisturbed: false,
            proved_at: Default::default(),
            opened_at: Default::default(),
            rested_at: Default::default(),
            saw_writable: false,
            user_variables: OnLink::default(),
            named: Default::default(),
            compression: None,
            goes_on: false,
            owes_gtid: false,
            charset: 0,
            tracking: Tracking::Gates,
            spoiled: false,
            void: false,
            hunt: None,
            deadline: Default::default(),
            trail: Default::default(),
            forwarded: 0,
            captured: Vec::new(),
        });
        self.wires[wire].owner = crate::wire::Owner::Backend(link);
        if slot != SlotId::NOWHERE {
            self.wires[wire].slot = Some(slot);
            self.slot_links.put(slot.index, link);
        }
        self.counters.dials += 1;
        let limit = self.now.plus_ms(self.snapshot.settings.dial_ms_max);
        self.arm_link(link, limit);
        match self.dial_pause.get(&backend).copied().filter(|until| *until > self.now) {
            // A dial was refused a moment ago: this one waits for its turn in `link_due`.
            Some(until) => {
                self.wires[wire].known = false;
                self.arm_link(link, until);
            }
            None => self.actions.push_back(Action::Dial { wire: wire.into(), address }),
        }
        link
    }

    pub(crate) fn dial_after_pause(&mut self, link: Key<Link>) {
        let l = &self.links[link];
        let (wire, backend) = (l.wire, l.backend);
        let address = self.snapshot.backend(backend).address.clone();
        self.dial_pause.remove(&backend);
        self.wires[wire].known = true;
        self.arm_link(link, self.now.plus_ms(self.snapshot.settings.dial_ms_max));
        self.actions.push_back(Action::Dial { wire: wire.into(), address });
    }

    /// Nothing could be opened there: pause before the next dial, and let the control thread look.
    pub(crate) fn backend_suspect(&mut self, backend: BackendId, why: &'static str, sign: Sign) {
        self.dial_pause.insert(backend, self.now.plus_ms(DIAL_PAUSE_MS));
        self.actions.push_back(Action::Tell(ControlMail::Suspect { backend, why, sign }));
        if self.snapshot.primary() != Some(backend) {
            // Reads need not wait for this one (S09).
            self.fail_line(backend);
        }
    }

    pub(crate) fn arm_link(&mut self, link: Key<Link>, at: crate::time::Instant) {
        let owner = TimerOwner::Link { index: link.index, generation: link.generation };
        if let Some(l) = self.links.get_mut(link) {
            self.timers.set(&mut l.deadline, at, owner);
        }
    }

    pub(crate) fn quota_wanted(&mut self, from: CoreId, backend: BackendId) {
        // With fewer connections than cores nobody has a share to insist on: they go round.
        let budget = self.snapshot.settings.connections_per_backend_max;
        let fair = if budget < u32::from(self.cores) { 0 } else { self.share(budget) };
        let count = self.pool.cede(self.now.0, backend.0, 1, fair);
        if count > 0 {
            self.post(from, Mail::QuotaGranted { backend, count, budget: self.snapshot.settings.budget_version });
        } else {
            self.quota_debts.push_back((from, backend));
        }
    }

    /// What is in the mail of a budget that was shared out anew since is void, and what comes before this core has heard of its
    /// budget waits for that: the shares add up to the budget that holds.
    pub(crate) fn quota_granted(&mut self, backend: BackendId, count: u32, budget: u32) {
        match budget.cmp(&self.snapshot.settings.budget_version) {
            Ordering::Equal => self.pool.grant(backend.0, count),
            Ordering::Greater => self.quota_early.push((backend, count, budget)),
            Ordering::Less => {}
        }
    }

    fn grant_early(&mut self) {
        for (backend, count, budget) in std::mem::take(&mut self.quota_early) {
            self.quota_granted(backend, count, budget);
        }
    }

    pub(crate) fn move_quota(&mut self) {
        if self.cores == 1 {
            return;
        }
        while let Some((backend, count)) = self.pool.poll_ceded() {
            let backend = BackendId(backend);
            match self.quota_debts.iter().position(|(_, b)| *b == backend) {
                Some(at) => {
                    let (core, _) = self.quota_debts.remove(at).expect("found a moment ago");
                    let budget = self.snapshot.settings.budget_version;
                    self.post(core, Mail::QuotaGranted { backend, count, budget });
                }
                None => self.pool.grant(backend.0, count),
            }
        }
        let this = self.core.0;
        while let Some(backend) = self.pool.poll_quota_wanted() {
            for core in (0..self.cores).filter(|c| *c != this) {
                let mail = Mail::QuotaWanted { from: self.core, backend: BackendId(backend) };
                self.post(CoreId(core), mail);
            }
        }
    }

    pub(crate) fn post(&mut self, core: CoreId, mail: Mail) {
        self.actions.push_back(Action::Post { core, mail });
    }

    pub(crate) fn log(&mut self, level: Level, event: &'static str, detail: String) {
        self.actions.push_back(Action::Tell(ControlMail::Log { level, event, detail }));
    }

    /// Housekeeping: once a second while the gate runs.
    pub(crate) fn sweep_due(&mut self) {
        if !self.timers.is_due(self.now, &mut self.sweep, TimerOwner::Core) {
            return;
        }
        self.timers.set(&mut self.sweep, self.now.plus_ms(SWEEP_MS), TimerOwner::Core);
        for backend in 0..self.commands_by_backend.len() as u16 {
            self.pool.rearm_quota(backend);
        }
        self.tick_traffic();
        if self.questioners.len() > self.sessions.len() {
            let sessions = &self.sessions;
            self.questioners.retain(|(at, key)| sessions.get(*key).is_some_and(|s| s.could_give_up(*at)));
        }
        self.end_partings();
        self.moves_due();
        self.errands_due();
        if self.states.is_full() {
            self.sweep_states();
        }
        // Whoever still wants a connection asks again.
        self.quota_debts.clear();
    }

    /// Forgets schemas and sets of variables that no session, link or statement has. Who waits in a pool's line wants what
    /// its session has.
    fn sweep_states(&mut self) {
        let (mut schemas, mut sets) = (FxHashSet::default(), FxHashSet::default());
        let mut uses = |schema: SchemaId, set: StateId| {
            schemas.insert(schema);
            sets.insert(set);
        };
        for (_, s) in self.sessions.iter() {
            uses(s.schema, s.state);
            s.user_variables.under().into_iter().for_each(|under| uses(s.schema, under));
            // Those with a text of their own have it from nowhere else.
            s.statements.values().for_each(|statement| uses(statement.text.schema, statement.text.state));
        }
        self.texts.homes().for_each(|(schema, set)| uses(schema, set));
        self.digests.schemas().for_each(|schema| uses(schema, StateId(0)));
        for (_, link) in self.links.iter() {
            uses(link.schema, link.state);
            for expect in &link.expects {
                match expect.purpose {
                    Purpose::Schema(schema) => uses(schema, link.state),
                    Purpose::Variables(set) => uses(link.schema, set),
                    _ => {}
                }
            }
        }
        self.states.keep(&schemas, &sets);
        self.accepted.retain(|(_, has, wants)| sets.contains(&StateId(*has)) && sets.contains(&StateId(*wants)));
    }

    /// Rates and outliers, once a second.
    fn tick_traffic(&mut self) {
        let snapshot = self.snapshot.clone();
        let serves = |at: usize| {
            let view = &snapshot.backends[at];
            view.role == Role::Replica && view.health == Health::Up
        };
        let all = self.traffic.iter_mut().enumerate();
        let (mut replicas, mut others): (Vec<_>, Vec<_>) = all.partition(|(at, _)| serves(*at));
        let mut replicas: Vec<&mut Traffic> = replicas.drain(..).map(|(_, traffic)| traffic).collect();
        let ejected = traffic::tick(self.now, &mut replicas);
        // The primary is never ejected.
        others.iter_mut().for_each(|(_, traffic)| {
            traffic::tick(self.now, &mut [traffic]);
        });
        self.counters.ejections += u64::from(ejected);
        if ejected > 0 {
            self.log(
                Level::Warn,
                "replicas are out of line with the others",
                format!("{ejected} get no reads for a while"),
            );
        }
    }
}
