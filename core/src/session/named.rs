//! Statements prepared by name in SQL text: they travel with their session from connection to connection (S41).
//!
//! ```text
//!   PREPARE s FROM '…' ──► known ──► any connection: PREPARE s FROM '…' in front of EXECUTE s, under the state it was read in
//!   PREPARE s FROM @v  ──► the server is asked for the text behind it, then known
//!   a text that is not to be read, CALL ──► the session keeps its connection: until the last such name is gone, or a reset
//! ```
//! Invariant: a statement that may use a name runs where each name means what it means to its session, and no other name
//! means anything. What `EXECUTE` of a known text does is what its text says.

use crate::engine::Engine;
use crate::link::expect::Purpose;
use crate::link::{Lessee, Link};
use crate::session::ClassId;
use crate::session::pins::Reasons;
use crate::session::prepared::{Text, Texts};
use crate::session::trackers::last_row;
use crate::session::{Phase, Session};
use crate::slots::Key;
use crate::state::{SchemaId, StateId};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use weir_net::command::Command;
use weir_net::scan::ReplyKind;
use weir_planner::named::{Named, NamedSource, executed, is_plain};
use weir_planner::{Effects, Facts, Kind, Plan};

/// Texts that travel are at most so long, in bytes, and a session has at most so many.
const TEXT_BYTES_MAX: usize = 8 << 10;
const NAMES_MAX: usize = 32;

/// A session's.
#[derive(Debug, Default)]
pub struct NamedStatements {
    known: BTreeMap<Box<str>, Known>,
    /// Those whose text is not known: only their connection has them.
    strangers: BTreeSet<Box<str>>,
    /// Nobody knows which names there are, or what one of them has done.
    is_unclear: bool,
    /// Names that were given to a `CALL`. They are kept when nothing else is known: a procedure hardly takes them for something else.
    calls: BTreeSet<Box<str>>,
}

/// A text that was prepared by name.
#[derive(Debug)]
pub struct Known {
    /// The whole `PREPARE` and where it was said.
    text: Rc<Text>,
    /// What it prepares, and as what it was read.
    inside: Box<[u8]>,
    facts: Facts,
    plan: Rc<Plan>,
}

/// Where and how a statement is said.
pub struct Home {
    pub facts: Facts,
    pub schema: SchemaId,
    pub state: StateId,
    pub class: ClassId,
}

/// What its connection lacks before a statement may run there.
pub enum Lack {
    Prepared(Rc<Text>),
    /// A name that means nothing to the session.
    Gone(Box<str>),
}

impl NamedStatements {
    /// The plan and the schema of an `EXECUTE`, if its text is known.
    #[cold]
    pub fn executed(&self, execute: &Plan) -> Option<(Rc<Plan>, SchemaId)> {
        let known = self.known.get(&execute.named.as_ref()?.name)?;
        let mut plan = executed(execute, &known.plan)?;
        plan.memo = known.plan.memo.clone();
        Some((Rc::new(plan), known.text.schema))
    }

    /// An `EXECUTE` whose text is a `CALL`.
    pub fn is_call(&self, execute: &Plan) -> bool {
        execute.effects.contains(Effects::TEXT_EXECUTE)
            && execute.named.as_ref().is_some_and(|named| self.calls.contains(&named.name))
    }

    /// The text behind an `EXECUTE`, if it is known.
    pub fn behind(&self, execute: &Plan) -> Option<&Known> {
        self.known.get(&execute.named.as_ref()?.name)
    }

    /// A statement has ended that was planned so.
    fn settle(&mut self, plan: &Plan, failed: bool, texts: &mut Texts, home: &Home) {
        if plan.effects.intersects(Effects::CALL | Effects::UNKNOWN) && !self.is_empty() {
            // A procedure may prepare, too.
            return self.disown();
        }
        if !plan.effects.intersects(BY_NAME) {
            return;
        }
        let Some(named) = &plan.named else { return self.disown() };
        if plan.effects.contains(Effects::TEXT_EXECUTE) {
            self.is_unclear |= !failed || self.strangers.contains(&named.name);
        } else if plan.effects.contains(Effects::TEXT_DEALLOCATE) {
            if !failed {
                self.forget(&named.name);
            }
        } else {
            // The one of before is gone even when the new one cannot be prepared (seen on 9.7).
            self.forget(&named.name);
            if !failed {
                self.prepared(named, texts, home);
            }
        }
    }

    fn prepared(&mut self, named: &Named, texts: &mut Texts, home: &Home) {
        let known = match &named.source {
            NamedSource::Literal(text) => Known::read(&named.name, text, texts, home),
            _ => None,
        };
        if self.calls.len() < NAMES_MAX && known.as_ref().is_some_and(|known| known.plan.kind == Kind::Call) {
            self.calls.insert(named.name.clone());
        }
        match known.filter(|_| self.known.len() + self.strangers.len() < NAMES_MAX) {
            Some(known) => drop(self.known.insert(named.name.clone(), known)),
            None => drop(self.strangers.insert(named.name.clone())),
        }
    }

    fn forget(&mut self, name: &str) {
        self.known.remove(name);
        self.strangers.remove(name);
        self.calls.remove(name);
    }

    fn disown(&mut self) {
        *self =
            NamedStatements { is_unclear: true, calls: std::mem::take(&mut self.calls), ..NamedStatements::default() };
    }

    /// There is none, for sure.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.strangers.is_empty() && !self.is_unclear
    }

    /// They can be prepared on any connection. What reads a user variable keeps the type that it had (seen on 9.7).
    fn travel(&self) -> bool {
        let stay = |known: &Known| known.plan.effects.contains(Effects::READS_USER_VARIABLE);
        self.strangers.is_empty() && !self.is_unclear && !self.known.values().any(stay)
    }

    /// What a connection that has these lacks for a statement planned so.
    fn lack(&self, there: &OnLink, plan: &Plan) -> Option<Lack> {
        if !plan.effects.intersects(USES) || self.is_unclear {
            return None;
        }
        // A procedure may use any of them, also one that is called by name.
        let is_any = plan.effects.intersects(Effects::CALL | Effects::UNKNOWN);
        let name = plan.named.as_ref().filter(|_| !is_any).map(|named| &named.name);
        let means_nothing = |(there, _): &&(Box<str>, u64)| {
            name.is_none_or(|name| name == there) && !self.known.contains_key(there) && !self.strangers.contains(there)
        };
        if let Some((gone, _)) = there.names.iter().find(means_nothing) {
            return Some(Lack::Gone(gone.clone()));
        }
        let mut wanted = self.known.iter().filter(|(known, _)| name.is_none_or(|name| name == *known));
        let is_there = |name: &str, text: &Text| there.names.iter().any(|(n, id)| **n == *name && *id == text.id);
        let lacking = wanted.find(|(name, known)| !is_there(name, &known.text));
        lacking.map(|(_, known)| Lack::Prepared(known.text.clone()))
    }
}

/// What may make a name mean another text, or nothing, or who knows what.
const CHANGES: Effects = BY_NAME.union(Effects::CALL).union(Effects::UNKNOWN);

const BY_NAME: Effects = Effects::TEXT_PREPARE.union(Effects::TEXT_EXECUTE).union(Effects::TEXT_DEALLOCATE);

/// What may use a name that was prepared before. In an XA transaction that has ended nothing is prepared any more, so that it begins
/// with all of them.
const USES: Effects = Effects::TEXT_EXECUTE
    .union(Effects::XA_START)
    .union(Effects::TEXT_NAMED)
    .union(Effects::TEXT_DEALLOCATE)
    .union(Effects::CALL)
    .union(Effects::UNKNOWN);

impl Known {
    pub fn sql(&self) -> &[u8] {
        &self.inside
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// That it was prepared in.
    pub fn schema(&self) -> SchemaId {
        self.text.schema
    }

    fn read(name: &str, text: &[u8], texts: &mut Texts, home: &Home) -> Option<Known> {
        if text.len() > TEXT_BYTES_MAX || !is_plain(text) {
            return None;
        }
        let plan = weir_planner::plan(text, &home.facts);
        // For the rules of who may use which table.
        let _ = plan.tables(text, &home.facts);
        // As if it were to be executed at once.
        executed(&weir_planner::plan(b"EXECUTE s", &home.facts), &plan)?;
        let mut said = b"PREPARE ".to_vec();
        said.extend_from_slice(&written(name));
        said.extend_from_slice(b" FROM '");
        for byte in text {
            said.extend(std::iter::repeat_n(*byte, if *byte == b'\'' { 2 } else { 1 }));
        }
        said.push(b'\'');
        let inside = Box::from(text);
        let text = texts.intern_named(&said, name, home.schema, home.state, home.class);
        Some(Known { text, inside, facts: home.facts, plan: Rc::new(plan) })
    }
}

/// As it stands in a statement.
fn written(name: &str) -> Vec<u8> {
    format!("`{}`", name.replace('`', "``")).into_bytes()
}

/// Those that a connection has: the name, and which `Text` was prepared by it (0: one that nobody can read).
#[derive(Debug, Default)]
pub struct OnLink {
    names: Vec<(Box<str>, u64)>,
}

impl OnLink {
    fn note(&mut self, name: &str, text: u64) {
        self.forget(name);
        self.names.push((name.into(), text));
    }

    fn forget(&mut self, name: &str) {
        self.names.retain(|(there, _)| **there != *name);
    }

    /// So many that a reset is due: the server counts them.
    pub fn are_many(&self) -> bool {
        self.names.len() > NAMES_MAX
    }
}

impl Session {
    /// Its connection is gone, with what only that one had.
    pub(crate) fn named_lost(&mut self) {
        if !self.named.travel() {
            self.named = NamedStatements::default();
        }
    }

    /// What the connection lacks before the statement of this plan may run there.
    pub(crate) fn lacks_named(&self, link: &Link, plan: &Plan) -> Option<Lack> {
        if self.named.is_empty() && link.named.names.is_empty() {
            return None;
        }
        self.named.lack(&link.named, plan)
    }
}

impl Engine {
    /// A statement has ended: which names its session and its connection have now. The reasons to keep the connection come or go.
    pub(crate) fn settle_named(&mut self, session: Key<Session>, link: Key<Link>, plan: &Plan, failed: bool) {
        if !plan.effects.intersects(CHANGES) {
            return;
        }
        let s = &mut self.sessions[session];
        let home = Home { facts: s.facts, schema: s.schema, state: s.state, class: s.class };
        s.named.settle(plan, failed, &mut self.texts, &home);
        let there = &mut self.links[link].named;
        if let Some(named) = plan.named.as_ref().filter(|_| !plan.effects.contains(Effects::TEXT_NAMED)) {
            match s.named.known.get(&named.name) {
                Some(known) => there.note(&named.name, known.text.id),
                None if s.named.strangers.contains(&named.name) => there.note(&named.name, 0),
                None => there.forget(&named.name),
            }
        }
        self.settle_named_pin(session);
    }

    fn settle_named_pin(&mut self, session: Key<Session>) {
        match self.sessions[session].named.travel() {
            true => self.unpin(session, Reasons::TEXT_PREPARE),
            false => self.pin(session, Reasons::TEXT_PREPARE),
        }
    }

    /// Asks for the text that was prepared out of a user variable. False: nothing is to be asked.
    pub(crate) fn ask_named_text(
        &mut self,
        session: Key<Session>,
        link: Key<Link>,
        plan: &Plan,
        warnings: u16,
    ) -> bool {
        let Some(named) =
            plan.named.as_ref().filter(|named| self.sessions[session].named.strangers.contains(&named.name))
        else {
            return false;
        };
        // The question would end what may be asked about warnings.
        let NamedSource::Variable(variable) = named.source.clone() else { return false };
        if warnings > 0 || !plan.effects.contains(Effects::TEXT_PREPARE) {
            return false;
        }
        let text = format!("SELECT HEX(CONVERT(@`{}` USING utf8mb4)) LIMIT 1", variable.replace('`', "``"));
        let purpose = Purpose::NamedText(session, named.name.clone());
        self.links[link].captured.clear();
        self.inject(link, ReplyKind::Query, purpose, Command::Query, text.as_bytes());
        true
    }

    /// The server has told the text behind a name.
    pub(crate) fn named_text_told(&mut self, session: Key<Session>, link: Key<Link>, name: &str) {
        let values = last_row(&std::mem::take(&mut self.links[link].captured));
        if let Some(s) = self.sessions.get_mut(session).filter(|s| s.named.strangers.contains(name))
            && let Some(text) = values.first().and_then(|hex| unhex(hex))
        {
            let home = Home { facts: s.facts, schema: s.schema, state: s.state, class: s.class };
            if let Some(known) = Known::read(name, &text, &mut self.texts, &home) {
                s.named.strangers.remove(name);
                self.links[link].named.note(name, known.text.id);
                s.named.known.insert(name.into(), known);
                self.settle_named_pin(session);
            }
        }
        self.conclude(link);
    }

    /// A connection has prepared a named text for the session that leases it.
    pub(crate) fn named_prepared(&mut self, link: Key<Link>, text: &Text) {
        if let Some(name) = &text.name {
            self.links[link].named.note(name, text.id);
        }
    }

    /// A name could not be prepared (1792, 1399): what only might use it goes on. False: it is used for sure.
    pub(crate) fn go_on_without_names(&mut self, link: Key<Link>) -> bool {
        let Some(Lessee::Session(session)) = self.links[link].lessee else { return false };
        let Phase::Aligning(request) = &mut self.sessions[session].phase else { return false };
        const SURELY: Effects = BY_NAME.union(Effects::TEXT_NAMED);
        let might_only = request.plan.as_ref().is_some_and(|plan| !plan.effects.intersects(SURELY));
        if might_only {
            request.without_names = true;
            self.proceed(session);
        }
        might_only
    }

    /// A name that means nothing to the session that leases the connection goes.
    pub(crate) fn drop_named(&mut self, link: Key<Link>, name: &str) {
        debug_assert!(self.links[link].lessee.is_some());
        let mut text = b"DEALLOCATE PREPARE ".to_vec();
        text.extend_from_slice(&written(name));
        self.links[link].named.forget(name);
        self.inject(link, ReplyKind::Query, Purpose::Given, Command::Query, &text);
    }
}

fn unhex(hex: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    let byte = |pair: &[u8]| Some((digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?) as u8);
    hex.chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> Home {
        Home { facts: Facts::default(), schema: SchemaId(3), state: StateId(4), class: ClassId(0) }
    }

    fn plan(sql: &str) -> Plan {
        weir_planner::plan(sql.as_bytes(), &Facts::default())
    }

    fn after(statements: &[(&str, bool)]) -> (NamedStatements, Texts) {
        let (mut named, mut texts) = (NamedStatements::default(), Texts::default());
        for (sql, failed) in statements {
            named.settle(&plan(sql), *failed, &mut texts, &home());
        }
        (named, texts)
    }

    fn lack(named: &NamedStatements, there: &OnLink, sql: &str) -> String {
        match named.lack(there, &plan(sql)) {
            None => "nothing".to_owned(),
            Some(Lack::Gone(name)) => format!("without {name}"),
            Some(Lack::Prepared(text)) => String::from_utf8_lossy(&text.sql).into_owned(),
        }
    }

    #[test]
    fn a_literal_travels_and_anything_else_stays() {
        let (named, _) = after(&[("PREPARE s FROM 'SELECT ''a'''", false)]);
        assert!(named.travel() && !named.is_empty());
        assert!(!after(&[("PREPARE s FROM @v", false)]).0.travel());
        assert!(after(&[("PREPARE s FROM @v", false), ("DEALLOCATE PREPARE S", false)]).0.is_empty());
        assert!(after(&[("PREPARE s FROM @v", true)]).0.is_empty());
        assert!(after(&[("PREPARE s FROM 'SELECT 1'", false), ("PREPARE s FROM 'SELEC'", true)]).0.is_empty());
        let (unclear, _) = after(&[("PREPARE s FROM @v", false), ("EXECUTE s", false), ("DROP PREPARE s", false)]);
        assert!(!unclear.travel(), "it may have done anything");
        assert!(!after(&[("PREPARE s FROM 'SELECT 1'", false), ("CALL p()", false)]).0.travel());
        assert!(!after(&[("PREPARE s FROM 'SELECT 1'; SELECT 2", false)]).0.travel());
        assert!(!after(&[("PREPARE s FROM 'SELECT CONNECTION_ID()'", false)]).0.travel());
        assert!(after(&[("EXECUTE nothing", true), ("SELECT 1", false)]).0.is_empty());
    }

    #[test]
    fn a_connection_is_brought_to_mean_what_the_session_means() {
        let (named, _) = after(&[("PREPARE s FROM 'SELECT ''a'''", false), ("PREPARE t FROM 'SELECT 2'", false)]);
        let mut there = OnLink::default();
        assert_eq!(lack(&named, &there, "EXECUTE s"), "PREPARE `s` FROM 'SELECT ''a'''");
        assert_eq!(lack(&named, &there, "SELECT 1"), "nothing");
        there.note("s", named.known["s"].text.id);
        assert_eq!(lack(&named, &there, "EXECUTE s"), "nothing");
        assert_eq!(lack(&named, &there, "CALL p()"), "PREPARE `t` FROM 'SELECT 2'");
        there.note("other", 77);
        assert_eq!(lack(&named, &there, "EXECUTE s"), "nothing");
        assert_eq!(lack(&named, &there, "EXECUTE other"), "without other");
        assert_eq!(lack(&named, &there, "CALL p()"), "without other");
        let (caller, _) = after(&[("PREPARE c FROM 'CALL p()'", false)]);
        let (call, _) = caller.executed(&plan("EXECUTE c")).unwrap();
        there.note("c", caller.known["c"].text.id);
        there.forget("s");
        assert!(matches!(caller.lack(&there, &call), Some(Lack::Gone(name)) if &*name == "other"));
        there.note("s", 77);
        assert_eq!(lack(&named, &there, "DEALLOCATE PREPARE s"), "PREPARE `s` FROM 'SELECT ''a'''");
    }
}
