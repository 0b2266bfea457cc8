//! The next step that makes a connection look like a session: states compared, nothing done.
//!
//! Invariant: what is chosen depends on what the connection and the session have now, so that whoever is woken chooses anew.

use crate::engine::Engine;
use crate::link::Link;
use crate::session::insert_id::{Heard, InsertId, MAY_NUMBER, Number, may_number};
use crate::session::named::Lack;
use crate::session::prepared::Text;
use crate::session::previous::{ABOUT_PREVIOUS, Place, Way};
use crate::session::{Phase, Request, Session, UNSEEN};
use crate::slots::Key;
use crate::state::{SchemaId, StateId};
use std::rc::Rc;
use weir_net::command::Command;
use weir_net::flags::Status;
use weir_net::flavour::Flavour;
use weir_planner::{Asks, Effects, Plan};

pub(crate) enum Next {
    ChangeUser(SchemaId),
    Schema(SchemaId),
    Variables {
        wants: StateId,
        may_fail: bool,
    },
    Prepare(Rc<Text>),
    /// The roles of this state.
    Role(StateId),
    /// A name of `PREPARE` that means nothing to the session means nothing there.
    DropNamed(Box<str>),
    InsertId(Number),
    /// It asks for the last insert id, which went with its connection,
    Lost,
    /// … or which this one is to tell first.
    Await(Key<Link>),
    Trackers,
    UserVariables,
    Lead(Vec<Way>),
    /// Another's conditions off a MariaDB server's connection.
    Clear,
    /// Takes the count of changed rows off the connection.
    Uncount,
    AskWritable,
    Send,
}

impl Next {
    /// A statement of the gate's own that the command would find in the place of its previous one. What a change of the
    /// connection itself does to that is not undone: then another connection was taken already.
    pub(crate) fn runs_before(&self) -> bool {
        match self {
            Next::DropNamed(_) | Next::InsertId(_) | Next::UserVariables => true,
            Next::Prepare(text) => text.name.is_some(),
            _ => false,
        }
    }
}

/// What the connection lacks of the session's.
struct Missing {
    /// The session's state, as far as this command needs it.
    own: StateId,
    /// A statement to be prepared first, and the state in which it is understood as it was.
    home: Option<(StateId, Rc<Text>)>,
    /// Its user variables are another's, or older.
    lacks_user_variables: bool,
    /// The state in which its user variables' literals are understood as they were, if they are to be set.
    under: Option<StateId>,
    /// A name that was prepared there and is not the session's.
    gone: Option<Box<str>>,
}

/// It asks what only this connection knows about the previous statement, and about no user variable.
fn keeps_previous(request: &Request, place: &Place) -> bool {
    const MAY_READ: Effects = Effects::READS_USER_VARIABLE.union(UNSEEN);
    matches!(place, Place::On { .. })
        && request.asks().intersects(ABOUT_PREVIOUS)
        && request.plan.as_ref().is_none_or(|plan| !plan.effects.intersects(MAY_READ))
}

impl Engine {
    pub(crate) fn next_step(&mut self, session: Key<Session>, link: Key<Link>) -> Option<Next> {
        let s = &self.sessions[session];
        let Phase::Aligning(request) = &s.phase else { return None };
        let plan = request.plan.as_ref().filter(|_| !request.without_names);
        let lack = plan.and_then(|plan| s.lacks_named(&self.links[link], plan));
        let (named, gone) = match lack {
            Some(Lack::Prepared(text)) => (Some(text), None),
            Some(Lack::Gone(name)) => (None, Some(name)),
            None => (None, None),
        };
        let missing = self.missing_statement(session, request, link).or(named);
        // Who chooses other roles need not have the ones of before.
        let chooses = request.plan.as_ref().is_some_and(|plan| plan.effects.contains(Effects::SET_ROLE));
        let own = if chooses { self.states.role_as(s.state, self.links[link].state) } else { s.state };
        let home = missing.map(|text| (self.states.understood_as(own, text.state), text));
        let s = &self.sessions[session];
        let lacks_user_variables =
            s.lacks_user_variables(session, &self.links[link]) && !keeps_previous(request, &s.previous.place);
        let under = s.user_variables.under().filter(|_| lacks_user_variables);
        let under = under.map(|under| self.states.understood_as(own, under));
        Some(self.step_next(session, request, link, Missing { own, home, lacks_user_variables, under, gone }))
    }

    /// The text of the request's statement, if its connection has not prepared it.
    fn missing_statement(&self, session: Key<Session>, request: &Request, link: Key<Link>) -> Option<Rc<Text>> {
        let uses = matches!(request.command, Command::StmtExecute | Command::StmtSendLongData);
        let statement = self.sessions[session].statements.get(&request.statement.filter(|_| uses)?)?;
        let there = &self.links[link].statements;
        let is_there = there.contains_key(&statement.text.id) || statement.text.untouched(there).is_some();
        (!is_there).then(|| statement.text.clone())
    }

    /// Nothing of the session's would be lost by a change of user there.
    fn holds_nothing_of(&self, session: Key<Session>, link: &Link) -> bool {
        let s = &self.sessions[session];
        let has_number =
            matches!(s.insert_id, InsertId::OnLink { link: on, .. } if std::ptr::eq(&self.links[on], link));
        let is_free = s.pins.is_empty() && !link.status.contains(Status::IN_TRANS) && !has_number;
        link.last_session != Some(session) || is_free
    }

    fn step_next(
        &self,
        session: Key<Session>,
        request: &Request,
        link: Key<Link>,
        Missing { own, home, lacks_user_variables, under, gone }: Missing,
    ) -> Next {
        let (s, l) = (&self.sessions[session], &self.links[link]);
        // What the connection knows of the previous statement would be lost with the rest.
        let may_clean = |plan: &&Rc<weir_planner::Plan>| !plan.asks.intersects(ABOUT_PREVIOUS);
        let plan = request.plan.as_ref().filter(may_clean);
        if l.account != s.account || plan.is_some_and(|plan| s.could_tell_leftovers(l, plan)) {
            return Next::ChangeUser(s.schema);
        }
        // A statement is prepared where its names meant what they meant when the client prepared it.
        // Without a schema it can only have qualified names, which mean the same in any.
        let (schema, state) = match &home {
            None if request.schemaless.is_some() => (SchemaId(0), own),
            None => (s.schema, own),
            Some((state, text)) if text.schema == SchemaId(0) => (l.schema, *state),
            Some((state, text)) => (text.schema, *state),
        };
        if l.schema != schema && schema != SchemaId(0) {
            return Next::Schema(schema);
        }
        if l.schema != schema {
            // "No schema" cannot be selected: only a fresh login has none.
            return Next::ChangeUser(schema);
        }
        let state = under.unwrap_or(state);
        if l.state != state {
            return self.step_to_state(session, l, state, schema);
        }
        if under.is_some() {
            return Next::UserVariables;
        }
        if let Some(name) = gone {
            return Next::DropNamed(name);
        }
        if let Some((_, text)) = home {
            return Next::Prepare(text);
        }
        if l.has_conditions && l.last_session != Some(session) {
            return Next::Clear;
        }
        if let Some(next) = self.step_to_insert_id(session, request, link) {
            return next;
        }
        let asks = request.asks();
        let knows_count = || s.previous.is_on(l.slot) && l.is_as_left_by(session);
        match s.previous.place {
            _ if self.must_ask_writable(session, request, link) => Next::AskWritable,
            _ if lacks_user_variables => Next::UserVariables,
            _ if self.wants_own_trackers(request) && !l.is_bare() => Next::Trackers,
            _ if l.has_count && request.echoes_count() && !knows_count() => Next::Uncount,
            Place::On { .. } if !s.previous.count_is_older => Next::Send,
            _ if asks.intersects(ABOUT_PREVIOUS) => {
                s.previous.way(asks, l.flavour).filter(|way| !way.is_empty()).map_or(Next::Send, Next::Lead)
            }
            _ => Next::Send,
        }
    }

    /// The connection's roles and variables are not those of this state. A login anew where statements lead nowhere near it.
    fn step_to_state(&self, session: Key<Session>, l: &Link, state: StateId, schema: SchemaId) -> Next {
        match (self.states.role(l.state), self.states.role(state)) {
            (has, wants) if has == wants => {}
            (_, None) => return Next::ChangeUser(schema),
            _ if !self.has_free_variables_only(l.state) => return Next::ChangeUser(schema),
            // Roles are taken away, too: never taken for accepted.
            (_, Some(_)) => return Next::Role(state),
        }
        // A MariaDB server's default is seldom what the login has chosen, and a change of user chooses anew.
        let is_free = l.flavour == Flavour::MariaDb && self.holds_nothing_of(session, l);
        if is_free && self.states.undoes_charset(l.state, state) {
            return Next::ChangeUser(schema);
        }
        let may_fail = !self.accepted.contains(&(l.backend, l.state.0, state.0));
        Next::Variables { wants: state, may_fail }
    }

    /// None: the connection holds what the command may ask for.
    fn step_to_insert_id(&self, session: Key<Session>, request: &Request, link: Key<Link>) -> Option<Next> {
        let (s, l) = (&self.sessions[session], &self.links[link]);
        if l.numbered && l.last_session != Some(session) {
            return Some(Next::InsertId(Number::Nobodys));
        }
        let asks = request.asks();
        // What may set it leaves it as it is where it finds no row.
        let may_set = request.plan.as_ref().is_some_and(|plan| {
            plan.effects.contains(Effects::SETS_LAST_INSERT_ID) || plan.kind == weir_planner::Kind::Load
        });
        if !asks.contains(Asks::LAST_INSERT_ID) && !may_set {
            return self.step_to_untold_id(session, request, link);
        }
        match s.insert_id {
            InsertId::Never if l.last_session != Some(session) => Some(Next::InsertId(Number::Given(0))),
            InsertId::Known(id) => Some(Next::InsertId(Number::Given(id))),
            InsertId::OnLink { link: on, heard: Heard::Likely | Heard::Nothing, .. }
                if on != link && self.links.get(on).is_some() =>
            {
                Some(Next::Await(on))
            }
            InsertId::OnLink { link: on, said, .. } if on != link => Some(Next::InsertId(Number::Given(said))),
            InsertId::OnLink { before, .. } if before != 0 => Some(Next::InsertId(Number::Mended(before))),
            InsertId::Lost if asks.contains(Asks::LAST_INSERT_ID) => Some(Next::Lost),
            _ => None,
        }
    }

    /// A number that another connection knows best is told before a statement that may fail, and leave it to this one alone.
    fn step_to_untold_id(&self, session: Key<Session>, request: &Request, link: Key<Link>) -> Option<Next> {
        let InsertId::OnLink { link: on, heard: heard @ (Heard::Nothing | Heard::Likely), .. } =
            self.sessions[session].insert_id
        else {
            return None;
        };
        let may_leave = |plan: &Plan| match heard {
            Heard::Nothing => plan.effects.intersects(MAY_NUMBER),
            _ => may_number(plan),
        };
        let is_there = || self.links.get(on).is_some() && request.plan.as_ref().is_some_and(|plan| may_leave(plan));
        (on != link && is_there()).then_some(Next::Await(on))
    }
}
