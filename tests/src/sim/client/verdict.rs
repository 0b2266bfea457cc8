//! What an answer, an error or a lost connection means to a client: right, wrong, or open.

use weir_core::snapshot::Consistency;
use weir_net::flags::Status;

use crate::sim::agenda::MS;
use crate::sim::client::ask::{Ask, wrong};
use crate::sim::client::mind::Effect;
use crate::sim::client::reply::{End, Outcome};
use crate::sim::client::{Client, State};
use crate::sim::oracle::horizon::{Floors, Promise};
use crate::sim::oracle::{Fate, Tag};
use crate::sim::scene::Scene;

/// Errors with which nothing was sent, or nothing was run.
const UNSENT: &[u16] = &[1040, 1053, 1290, 1317];

impl Client {
    pub(super) fn answered(&mut self, scene: &mut Scene, ask: Ask, outcomes: &[Outcome]) {
        scene.tell(|| format!("client {}: {:?} answered {}", self.id, ask.tag, brief(outcomes)));
        let wrongness = wrong(&ask, outcomes);
        if let (Some(what), Some(Outcome::Err { code, message })) = (&wrongness, outcomes.last()) {
            return self.failed(scene, &ask, *code, message, what);
        }
        if let Some(what) = wrongness {
            return scene.oracle.violate(format!("client {}: the answer to {:?} {what}", self.id, ask.tag));
        }
        if let Some(Outcome::Err { .. }) = outcomes.last() {
            // As expected, and it changed nothing.
            return;
        }
        if ask.touches {
            self.mind.touch(ask.number);
        }
        self.mind.apply(&mut scene.oracle, &ask.effect);
        self.learn(scene, &ask, outcomes);
        self.judge(scene, &ask, outcomes);
        for outcome in outcomes {
            if let Outcome::Ok(end) | Outcome::Rows { end, .. } = outcome {
                self.check_trackers(scene, &ask, end);
            }
        }
        if let Some(Outcome::Ok(end) | Outcome::Rows { end, .. }) = outcomes.last() {
            self.check_status(scene, &ask, end.status);
        }
    }

    /// What only the answer tells.
    fn learn(&mut self, scene: &mut Scene, ask: &Ask, outcomes: &[Outcome]) {
        match (&ask.effect, outcomes.first()) {
            (Effect::AutoInsert, Some(Outcome::Ok(end))) => {
                if end.insert_id == 0 {
                    scene.oracle.violate(format!("{:?} has no insert id", ask.tag));
                }
                self.mind.insert_id = end.insert_id;
            }
            (Effect::Prepare(kind), Some(Outcome::Prepared { id, .. })) => self.mind.prepared(*id, *kind),
            (_, Some(Outcome::Rows { rows, .. })) if ask.remembers => {
                let number = rows.first().and_then(|row| row.get(1)?.as_ref()?.parse().ok()).unwrap_or(0);
                // In a transaction it may be the session's own, and be taken back with it.
                let is_lasting = !self.mind.in_transaction() && !self.mind.transaction_unsure;
                if ask.is_read && is_lasting && ask.promise.level != Consistency::Eventual {
                    self.mind.clock = self.mind.clock.max(number);
                } else if !ask.is_read {
                    self.mind.remembered = number;
                }
            }
            _ => {}
        }
    }

    /// What it showed, and what it means for what later reads must show.
    fn judge(&mut self, scene: &mut Scene, ask: &Ask, outcomes: &[Outcome]) {
        let Some(tag) = ask.tag else { return };
        if let Some(open) = self.mind.transaction.as_mut().filter(|open| open.number == ask.number) {
            open.promise = ask.promise;
        }
        self.mind.horizon = self.mind.horizon.max(scene.oracle.horizons.tell(tag));
        if !ask.is_read || !ask.touches {
            return;
        }
        let said = match outcomes {
            [Outcome::Rows { rows, .. }] if ask.is_horizon => {
                rows.first().and_then(|row| row.get(1)?.as_ref()?.parse().ok())
            }
            _ => None,
        };
        if said.is_some_and(|said| said > scene.log.len()) {
            scene.oracle.violate(format!("the read {tag} shows {said:?} transactions, more than there are"));
        }
        // What was answered before it in this session came before it.
        let floors = Floors { session: self.mind.horizon, ..ask.promise.floors };
        let seen = scene.oracle.read(tag, &Promise { floors, ..ask.promise }, said);
        self.mind.horizon = self.mind.horizon.max(seen);
    }

    fn check_status(&self, scene: &mut Scene, ask: &Ask, status: Status) {
        let read_only = self.mind.transaction.as_ref().is_some_and(|open| open.read_only);
        let modes = self.mind.variables.value("sql_mode").unwrap_or_default();
        let flags = [
            (Status::IN_TRANS, self.mind.in_transaction()),
            (Status::IN_TRANS_READONLY, read_only),
            (Status::AUTOCOMMIT, self.mind.autocommit()),
            (Status::NO_BACKSLASH_ESCAPES, modes.contains("NO_BACKSLASH_ESCAPES")),
            (Status::MORE_RESULTS, false),
        ];
        for (flag, wanted) in flags {
            if status.contains(flag) != wanted {
                let what =
                    format!("client {}: after {:?} the flag {flag:?} should be {wanted}: {status:?}", self.id, ask.tag);
                return scene.oracle.violate(what);
            }
        }
    }

    /// A tracker may come or not, but what it says must be this session's own.
    fn check_trackers(&self, scene: &mut Scene, ask: &Ask, end: &End) {
        for (name, value) in &end.variables {
            let own = self.mind.variables.value(name);
            if !name.starts_with("session_track_") && own != Some(value) {
                let what = format!("client {}: {:?} tracks {name} as {value}, it is {own:?}", self.id, ask.tag);
                return scene.oracle.violate(what);
            }
        }
        let tracks = self.nature.caps.contains(weir_net::flags::Capabilities::SESSION_TRACK);
        let must = tracks && matches!(ask.effect, Effect::Use(_));
        let seen = end.schema.as_deref().filter(|schema| !schema.is_empty());
        if (must || end.schema.is_some()) && seen != self.mind.schema.as_deref() {
            let what =
                format!("client {}: {:?} tracks the schema {seen:?}, it is {:?}", self.id, ask.tag, self.mind.schema);
            scene.oracle.violate(what);
        }
    }

    /// An error that was not the expected answer.
    fn failed(&mut self, scene: &mut Scene, ask: &Ask, code: u16, message: &str, what: &str) {
        scene.oracle.counts.errors += 1;
        if ask.may_be_gone && code == 1105 {
            return;
        }
        self.script.drop_plans();
        let tagged = ask.tag.is_some() && Tag::find(message) == ask.tag;
        if tagged && code == 1205 && (ask.may_wait || scene.oracle.locks_linger) {
            // Only the statement was undone; without autocommit it has begun a transaction nevertheless.
            self.mind.touch(ask.number);
            self.mind.transaction_unsure = self.mind.in_transaction();
            return;
        }
        // A fenced server's own refusal, where nothing could be sent again: behind other results, or on a connection that is held.
        let fenced = tagged && code == 1290;
        if !scene.oracle.errors_excused || (tagged && !fenced) || NEVER.contains(&code) {
            return scene.oracle.violate(format!("client {}: the answer to {:?} {what}", self.id, ask.tag));
        }
        let unsent = UNSENT.contains(&code) || message.contains("nothing was sent");
        if unsent {
            if let Some(id) = ask.ledger {
                scene.oracle.fate(id, Fate::Refused);
            }
            self.mind.transaction_unsure = self.mind.in_transaction();
            if self.mind.fragile || fenced {
                self.leave(scene);
            }
            return;
        }
        if let Some(told) = told(message).filter(|_| !self.mind.in_transaction()) {
            // What became of it, though its answer is lost.
            if let Some(id) = ask.ledger {
                scene.oracle.fate(id, told);
            }
            if let Some(tag) = ask.tag.filter(|_| told == Fate::Acknowledged) {
                scene.oracle.horizons.tell(tag);
            }
            return self.leave(scene);
        }
        // A transaction of which nothing was committed is one that was rolled back.
        if ask.commits && code != 1213 {
            return self.leave_open(scene);
        }
        if self.mind.in_transaction() {
            // It can never be committed now.
            if let Some(id) = ask.ledger {
                scene.oracle.fate(id, Fate::Refused);
            }
            let survives = code == 1213 && !self.mind.is_pinned() && ask.is_stateless();
            self.mind.lose_connection(&mut scene.oracle);
            if !survives {
                self.leave(scene);
            }
            return;
        }
        if !ask.is_harmless || self.mind.is_pinned() || !self.mind.autocommit() {
            self.leave(scene);
        }
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self, scene: &mut Scene, why: &str) {
        scene.oracle.counts.lost += 1;
        scene.tell(|| format!("client {}: {why}", self.id));
        if !scene.oracle.errors_excused {
            scene.oracle.violate(format!("client {} loses its connection: {why}", self.id));
        }
        self.leave(scene);
    }

    /// Ends this session, whose state is open, and comes back later.
    pub(super) fn leave(&mut self, scene: &mut Scene) {
        if self.outstanding.iter().any(|ask| ask.commits) {
            return self.leave_open(scene);
        }
        if self.mind.in_transaction() {
            for id in self.outstanding.iter().filter_map(|ask| ask.ledger) {
                scene.oracle.fate(id, Fate::Refused);
            }
        }
        self.mind.rollback(&mut scene.oracle);
        self.go(scene);
    }

    /// The same with a commit under way: whether it happened stays unknown.
    fn leave_open(&mut self, scene: &mut Scene) {
        self.mind.transaction = None;
        self.go(scene);
    }

    fn go(&mut self, scene: &mut Scene) {
        if let Some(sock) = self.sock.take() {
            scene.close(sock);
        }
        self.outstanding.clear();
        self.reader = None;
        self.change = None;
        self.mind.transaction_unsure = false;
        self.script.drop_plans();
        if matches!(self.state, State::Leaving) {
            self.state = State::Done;
        }
        if !matches!(self.state, State::Done) {
            self.go_away(scene, 50 * MS);
        }
    }
}

impl Ask {
    /// It changes nothing of the session but data and the transaction.
    fn is_stateless(&self) -> bool {
        matches!(self.effect, Effect::None | Effect::Ledger(_) | Effect::Write { .. } | Effect::Rollback)
    }
}

/// The outcome of a statement of its own, if an error names it.
fn told(message: &str) -> Option<Fate> {
    match () {
        () if message.contains("It committed as") => Some(Fate::Acknowledged),
        () if message.contains("Nothing of it is on the primary") => Some(Fate::Refused),
        () => None,
    }
}

fn brief(outcomes: &[Outcome]) -> String {
    let one = |outcome: &Outcome| match outcome {
        Outcome::Rows { rows, end, .. } => {
            format!("{} rows, first {:?}, {:?}", rows.len(), rows.first(), end.status)
        }
        Outcome::Ok(end) => format!("OK {} id {} {:?} {:?}", end.affected, end.insert_id, end.status, end.info),
        other => format!("{other:?}"),
    };
    outcomes.iter().map(one).collect::<Vec<_>>().join(" | ")
}

/// Whatever goes wrong elsewhere, the client's own commands were right: syntax, arguments of an execute, a statement's id.
const NEVER: [u16; 3] = [1064, 1210, 1243];
