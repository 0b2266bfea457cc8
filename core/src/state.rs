//! What makes one session's connection different from another's: schema and changed session variables, interned.
//!
//! ```text
//!   tracker: sql_mode = 'ANSI'  ──►  State { schema 3, sql_mode='ANSI' }  ──►  StateId 17   (equal states, equal ids)
//!   session wants 17, connection has 4  ──►  SET sql_mode='ANSI', time_zone=DEFAULT     (the difference)
//! ```
//! Invariant: variables are sorted by name; equal content has one id. Id 0 is the server's defaults.
//! Values are the server's own words from its trackers (S22): nothing is computed here.

use rustc_hash::{FxHashMap, FxHashSet};
use std::rc::Rc;
use weir_planner::variables::{VariableKind, variable_has_wrong_default, variable_is_replayable};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StateId(pub u32);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SchemaId(pub u32);

type Variables = Rc<[(Box<str>, Box<[u8]>)]>;

/// Not a variable: the collation that `SET NAMES … COLLATE …` gave to client, connection and results alike. Servers keep it
/// with all three, show it in the results' metadata, and report the character set's name alone.
pub const NAMES_COLLATION: &str = "names collation";
/// … which is the one that the server has chosen for that character set (`Facts::chooses_collations`).
pub const CHOSEN: &[u8] = b"DEFAULT";

/// Not a variable: what was said behind `SET ROLE`. Privileges follow from it, so it is never in one statement with
/// anything else, and no connection goes back from it but by a new login.
const ROLE: &str = "role";

/// The interner of variable sets and schema names of one core. An id is never given twice, so a stale one finds nothing.
#[derive(Debug)]
pub struct States {
    sets: FxHashMap<StateId, Variables>,
    ids: FxHashMap<Variables, StateId>,
    schemas: FxHashMap<SchemaId, Rc<[u8]>>,
    schema_ids: FxHashMap<Rc<[u8]>, SchemaId>,
    /// The next id of either.
    next: u32,
}

impl Default for States {
    fn default() -> States {
        let none: Variables = Rc::from([]);
        let nowhere: Rc<[u8]> = Rc::from(&b""[..]);
        States {
            sets: FxHashMap::from_iter([(StateId(0), none.clone())]),
            ids: FxHashMap::from_iter([(none, StateId(0))]),
            schemas: FxHashMap::from_iter([(SchemaId(0), nowhere.clone())]),
            schema_ids: FxHashMap::from_iter([(nowhere, SchemaId(0))]),
            next: 1,
        }
    }
}

impl States {
    /// The id of a schema's name; the empty name is "no schema selected".
    pub fn schema(&mut self, name: &[u8]) -> SchemaId {
        if let Some(id) = self.schema_ids.get(name) {
            return *id;
        }
        let name: Rc<[u8]> = Rc::from(name);
        let id = SchemaId(self.next_id());
        self.schemas.insert(id, name.clone());
        self.schema_ids.insert(name, id);
        id
    }

    pub fn schema_name(&self, id: SchemaId) -> &[u8] {
        &self.schemas[&id]
    }

    pub fn variables(&self, id: StateId) -> &[(Box<str>, Box<[u8]>)] {
        &self.sets[&id]
    }

    pub fn variable(&self, id: StateId, name: &str) -> Option<&[u8]> {
        let set = self.variables(id);
        set.binary_search_by(|(n, _)| (**n).cmp(name)).ok().map(|at| &*set[at].1)
    }

    /// The state like `id` but with `name` at `value`.
    pub fn with(&mut self, id: StateId, name: &str, value: &[u8]) -> StateId {
        let set = self.variables(id);
        let mut changed = set.to_vec();
        match set.binary_search_by(|(n, _)| (**n).cmp(name)) {
            Ok(at) if &*set[at].1 == value => return id,
            Ok(at) => changed[at].1 = value.into(),
            Err(at) => changed.insert(at, (name.into(), value.into())),
        }
        self.intern(changed)
    }

    /// The state like `id` but with `name` at the server's default.
    pub fn without(&mut self, id: StateId, name: &str) -> StateId {
        let set = self.variables(id);
        let Ok(at) = set.binary_search_by(|(n, _)| (**n).cmp(name)) else { return id };
        let mut changed = set.to_vec();
        changed.remove(at);
        self.intern(changed)
    }

    /// The state like `id`, but with what decides how a statement is understood as in `home`. Nothing else is taken from
    /// there: to set `autocommit` would end a transaction.
    pub fn understood_as(&mut self, id: StateId, home: StateId) -> StateId {
        if id == home {
            return id;
        }
        UNDERSTANDING.iter().fold(id, |state, name| {
            let value = self.variable(home, name).map(<[u8]>::to_vec);
            self.with_or_without(state, name, value.as_deref())
        })
    }

    pub fn with_or_without(&mut self, id: StateId, name: &str, value: Option<&[u8]>) -> StateId {
        match value {
            Some(value) => self.with(id, name, value),
            None => self.without(id, name),
        }
    }

    /// The roles that were chosen; None: those of the login.
    pub fn role(&self, id: StateId) -> Option<&[u8]> {
        if id == StateId(0) { None } else { self.variable(id, ROLE) }
    }

    pub fn with_role(&mut self, id: StateId, role: Option<&[u8]>) -> StateId {
        match role {
            Some(role) => self.with(id, ROLE, role),
            None => self.without(id, ROLE),
        }
    }

    /// The state like `id`, with the roles of `other`.
    pub fn role_as(&mut self, id: StateId, other: StateId) -> StateId {
        let role = self.role(other).map(<[u8]>::to_vec);
        self.with_role(id, role.as_deref())
    }

    fn intern(&mut self, set: Vec<(Box<str>, Box<[u8]>)>) -> StateId {
        let set: Variables = Rc::from(set);
        if let Some(id) = self.ids.get(&set) {
            return *id;
        }
        let id = StateId(self.next_id());
        self.sets.insert(id, set.clone());
        self.ids.insert(set, id);
        id
    }

    /// Four billion would take days of nothing but new names; then the gate ends rather than mix two of them up.
    fn next_id(&mut self) -> u32 {
        let id = self.next;
        self.next = id.checked_add(1).expect("ids of states are used up");
        id
    }

    /// So many that those which nobody uses are worth looking for.
    pub fn is_full(&self) -> bool {
        self.sets.len() + self.schemas.len() > crate::limits::STATES_MAX
    }

    /// Forgets all but these, and what is always known.
    pub fn keep(&mut self, schemas: &FxHashSet<SchemaId>, sets: &FxHashSet<StateId>) {
        self.schemas.retain(|id, _| id.0 == 0 || schemas.contains(id));
        self.schema_ids.retain(|_, id| id.0 == 0 || schemas.contains(id));
        self.sets.retain(|id, _| id.0 == 0 || sets.contains(id));
        self.ids.retain(|_, id| id.0 == 0 || sets.contains(id));
    }

    /// True when a character set or collation of `has` is to be as the login made it. `DEFAULT` leads to the server's.
    pub fn undoes_charset(&self, has: StateId, wants: StateId) -> bool {
        let wants = self.variables(wants);
        let is_charset = |name: &str| name.starts_with("character_set_") || name.starts_with("collation_");
        self.variables(has).iter().any(|(name, _)| is_charset(name) && wants.iter().all(|(known, _)| known != name))
    }

    /// `SET …` that makes a connection in state `has` look like `wants`; false when they are equal. The roles alone differ, or
    /// are the same. What is not set leads back to what its login made of the server's defaults.
    pub fn difference(&self, has: StateId, wants: StateId, login: Defaults, out: &mut Vec<u8>) -> bool {
        if has == wants {
            return false;
        }
        if self.role(has) != self.role(wants) {
            out.extend_from_slice(b"SET ROLE ");
            out.extend_from_slice(self.role(wants).unwrap_or(b"DEFAULT"));
            return true;
        }
        let start = out.len();
        out.extend_from_slice(b"SET ");
        let (has, wants) = (self.variables(has), self.variables(wants));
        let mut first = true;
        let names = names_between(has, wants, login);
        if let Some((charset, collation)) = &names {
            out.extend_from_slice(b"NAMES '");
            out.extend_from_slice(charset);
            if let Some(collation) = collation {
                out.extend_from_slice(b"' COLLATE '");
                out.extend_from_slice(collation);
            }
            out.push(b'\'');
            first = false;
        }
        let unnamed = find(wants, NAMES_COLLATION).is_none() && find(has, NAMES_COLLATION).is_some();
        // What the connection has and the session has not goes back to the default before anything else is set,
        // since some variables (character_set_connection) change others (collation_connection).
        let gone = |name: &str| is_gone(name, wants);
        for (name, _) in has.iter().filter(|(name, _)| gone(name)) {
            if login.ignores_space && &**name == "sql_mode" {
                put_given(out, &mut first, name, b"CONCAT(@@GLOBAL.sql_mode,',IGNORE_SPACE')");
                continue;
            }
            if login.charset.is_some() && follows_login(name) {
                continue;
            }
            match login.collation.filter(|_| follows_login(name)) {
                // The server takes a collation by its number for each of them, and remembers it where it keeps a character set.
                Some(collation) => put_given(out, &mut first, name, collation.to_string().as_bytes()),
                None => put_assignment(out, &mut first, name, None),
            }
        }
        let is_gone_collation = |name: &str| name == "collation_connection" && gone(name);
        for (name, value) in wants.iter() {
            if &**name == NAMES_COLLATION || &**name == ROLE {
                continue;
            }
            let same = match &names {
                Some((charset, _)) if BY_NAMES.contains(&&**name) => charset == value,
                _ => has.iter().any(|(n, v)| n == name && v == value),
            };
            // A collation that has gone back to the default has taken its character set along.
            let is_undone = &**name == "character_set_connection" && has.iter().any(|(n, _)| is_gone_collation(n));
            if !same || is_undone || follows_another(name) || (unnamed && name.starts_with("character_set_")) {
                put_assignment(out, &mut first, name, Some(value));
            }
        }
        if first {
            out.truncate(start);
        }
        !first
    }
}

type Values = [(Box<str>, Box<[u8]>)];

fn find(set: &Values, name: &str) -> Option<Box<[u8]>> {
    set.iter().find(|(known, _)| **known == *name).map(|(_, value)| value.clone())
}

fn is_gone(name: &str, wants: &Values) -> bool {
    wants.iter().all(|(known, _)| **known != *name) && name != NAMES_COLLATION && name != ROLE
}

/// The `NAMES` on the way from one to the other: the character set that client, connection and results have by it, and its collation
/// where that is not the server's choice.
fn names_between(has: &Values, wants: &Values, login: Defaults) -> Option<(Box<[u8]>, Option<Box<[u8]>>)> {
    let to_login = login.charset.filter(|_| has.iter().any(|(name, _)| is_gone(name, wants) && follows_login(name)));
    let names = find(wants, NAMES_COLLATION);
    let charset = |set| find(set, "character_set_results");
    let (Some(collation), Some(wanted)) = (&names, charset(wants)) else {
        return to_login.map(|charset| (charset.as_bytes().into(), None));
    };
    let is_chosen = **collation == *CHOSEN;
    let differs = find(has, NAMES_COLLATION) != names || is_chosen && charset(has).as_ref() != Some(&wanted);
    (differs || to_login.is_some()).then(|| (wanted, (!is_chosen).then(|| collation.clone())))
}

/// Variables that the server looks at when it prepares a statement.
const UNDERSTANDING: [&str; 10] = [
    NAMES_COLLATION,
    "character_set_client",
    "character_set_connection",
    "character_set_results",
    "collation_connection",
    "default_collation_for_utf8mb4",
    "div_precision_increment",
    "explicit_defaults_for_timestamp",
    "group_concat_max_len",
    "sql_mode",
];

/// What `SET NAMES` sets, in its order.
pub const BY_NAMES: [&str; 3] = ["character_set_client", "character_set_connection", "character_set_results"];

/// `collation_connection` is changed by setting `character_set_connection`, so it is always set again, behind it
/// (names are sorted: `character_set_…` stands before `collation_…`).
fn follows_another(name: &str) -> bool {
    name == "collation_connection"
}

/// Variables that a login sets by its collation.
fn follows_login(name: &str) -> bool {
    BY_NAMES.contains(&name) || name == "collation_connection"
}

/// What a login asks for beside the server's defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// Where that is not the server's own.
    pub collation: Option<u8>,
    /// Where the login says no more than a character set, whose collation the server has chosen.
    pub charset: Option<&'static str>,
    /// `CLIENT_IGNORE_SPACE`, which adds to `sql_mode`.
    pub ignores_space: bool,
}

/// The collation that a login of class `class` leaves on a server whose own is `server`, if another. What cannot be a client's
/// (two bytes and more a letter) or does not exist leaves the server's own.
pub fn login_collation(class: u8, server: u8) -> Option<u8> {
    let is_possible =
        matches!(class, 1..=16 | 18..=34 | 36..=53 | 57..=59 | 63..=89 | 91..=99 | 192..=215 | 223..=250 | 255);
    (class != server && is_possible).then_some(class)
}

fn put_given(out: &mut Vec<u8>, first: &mut bool, name: &str, value: &[u8]) {
    if !std::mem::take(first) {
        out.push(b',');
    }
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    out.extend_from_slice(value);
}

fn put_assignment(out: &mut Vec<u8>, first: &mut bool, name: &str, value: Option<&[u8]>) {
    put_given(out, first, name, b"");
    match value {
        None if variable_has_wrong_default(name) => {
            out.extend_from_slice(b"@@GLOBAL.");
            out.extend_from_slice(name.as_bytes());
        }
        None => out.extend_from_slice(b"DEFAULT"),
        Some(value) => put_value(out, name, value),
    }
}

fn put_value(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    match variable_is_replayable(name) {
        Some(VariableKind::Number) => out.extend_from_slice(value),
        // The tracker shows NULL as nothing.
        _ if value.is_empty() && name == "character_set_results" => out.extend_from_slice(b"NULL"),
        _ => {
            // Doubling the quote is right under every sql_mode; a backslash is not, so such values are never replayed
            // as text but in hexadecimal, which has no escapes.
            if value.contains(&b'\\') || value.contains(&b'\'') {
                out.extend_from_slice(b"_utf8mb4 0x");
                for byte in value {
                    out.extend_from_slice(format!("{byte:02x}").as_bytes());
                }
            } else {
                out.push(b'\'');
                out.extend_from_slice(value);
                out.push(b'\'');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(states: &States, has: StateId, wants: StateId) -> String {
        let mut out = Vec::new();
        states.difference(has, wants, Defaults::default(), &mut out);
        String::from_utf8(out).unwrap()
    }

    /// S22: who has logged in with a collation gets back to it, not to the server's own.
    #[test]
    fn what_is_not_set_is_as_the_login_left_it() {
        let mut states = States::default();
        let mut named = states.with(StateId(0), "sql_mode", b"ANSI");
        for name in ["character_set_client", "character_set_connection", "character_set_results"] {
            named = states.with(named, name, b"latin1");
        }
        let mut out = Vec::new();
        let login = Defaults { collation: login_collation(45, 255), ..Defaults::default() };
        assert!(states.difference(named, StateId(0), login, &mut out));
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "SET character_set_client=45,character_set_connection=45,character_set_results=45,sql_mode=DEFAULT"
        );
        let mut out = Vec::new();
        let moded = states.with(StateId(0), "sql_mode", b"ANSI");
        assert!(states.difference(moded, StateId(0), Defaults { ignores_space: true, ..login }, &mut out));
        assert_eq!(String::from_utf8(out).unwrap(), "SET sql_mode=CONCAT(@@GLOBAL.sql_mode,',IGNORE_SPACE')");
        assert_eq!(
            [(255, 255), (35, 255), (100, 255), (8, 255)].map(|(c, s)| login_collation(c, s)),
            [None, None, None, Some(8)]
        );
    }

    #[test]
    fn equal_states_have_one_id_and_differences_are_minimal() {
        let mut states = States::default();
        let a = states.with(StateId(0), "sql_mode", b"ANSI");
        let b = states.with(a, "time_zone", b"+01:00");
        let c = states.with(StateId(0), "time_zone", b"+01:00");
        assert_eq!(states.with(c, "sql_mode", b"ANSI"), b);
        assert_eq!(set(&states, StateId(0), b), "SET sql_mode='ANSI',time_zone='+01:00'");
        assert_eq!(set(&states, b, a), "SET time_zone=DEFAULT");
        assert_eq!(set(&states, a, c), "SET sql_mode=DEFAULT,time_zone='+01:00'");
        assert_eq!(set(&states, b, b), "");
        let latin = states.with(a, "character_set_client", b"latin1");
        assert!(states.undoes_charset(latin, a) && !states.undoes_charset(a, latin) && !states.undoes_charset(b, a));
    }

    /// S22: the collation of `SET NAMES` stays with the three character sets, and goes with them.
    #[test]
    fn a_collation_by_names_is_carried_and_undone() {
        let mut states = States::default();
        let mut plain = StateId(0);
        for name in ["character_set_client", "character_set_connection", "character_set_results"] {
            plain = states.with(plain, name, b"utf8mb4");
        }
        let collated = states.with(plain, "collation_connection", b"utf8mb4_bin");
        let collated = states.with(collated, NAMES_COLLATION, b"utf8mb4_bin");
        assert_eq!(
            set(&states, plain, collated),
            "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin',collation_connection='utf8mb4_bin'"
        );
        assert_eq!(
            set(&states, StateId(0), collated),
            "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin',collation_connection='utf8mb4_bin'"
        );
        assert_eq!(
            set(&states, collated, plain),
            "SET collation_connection=DEFAULT,character_set_client='utf8mb4',character_set_connection='utf8mb4',\
             character_set_results='utf8mb4'"
        );
    }

    /// S41: a statement is prepared as it was understood, without touching the session's transaction.
    #[test]
    fn a_statement_is_understood_as_at_home() {
        let mut states = States::default();
        let home = states.with(StateId(0), "sql_mode", b"ANSI");
        let off = states.with(StateId(0), "autocommit", b"OFF");
        let now = states.with(off, "group_concat_max_len", b"7");
        let both = states.understood_as(now, home);
        assert_eq!(set(&states, now, both), "SET group_concat_max_len=DEFAULT,sql_mode='ANSI'");
        assert_eq!(states.understood_as(now, now), now);
    }

    /// S22: roles come first and alone, and a login is what takes them away.
    #[test]
    fn roles_are_chosen_by_themselves() {
        let mut states = States::default();
        let zone = states.with(StateId(0), "time_zone", b"+01:00");
        let plain = states.with_role(zone, Some(b"'reader'"));
        let only = states.role_as(StateId(0), plain);
        assert_eq!((states.role(plain), states.role(zone)), (Some(&b"'reader'"[..]), None));
        assert_eq!(set(&states, StateId(0), only), "SET ROLE 'reader'");
        assert_eq!(set(&states, only, plain), "SET time_zone='+01:00'");
        assert_eq!(states.role_as(plain, StateId(0)), zone);
    }

    #[test]
    fn what_nobody_uses_is_forgotten_and_its_id_is_not_given_again() {
        let mut states = States::default();
        let (shop, other) = (states.schema(b"shop"), states.schema(b"other"));
        let (ansi, plain) = (states.with(StateId(0), "sql_mode", b"ANSI"), states.with(StateId(0), "sql_mode", b""));
        states.keep(&FxHashSet::from_iter([shop]), &FxHashSet::from_iter([ansi]));
        assert_eq!((states.schema(b"shop"), states.schema_name(shop)), (shop, &b"shop"[..]));
        assert_eq!(states.with(StateId(0), "sql_mode", b"ANSI"), ansi);
        assert_eq!((states.schema(b""), states.variables(StateId(0)).len()), (SchemaId(0), 0));
        let again = states.schema(b"other");
        assert!(again != other && again.0 > plain.0);
    }

    #[test]
    fn schemas_are_interned() {
        let mut states = States::default();
        assert_eq!(states.schema(b""), SchemaId(0));
        let shop = states.schema(b"shop");
        assert_eq!(states.schema(b"shop"), shop);
        assert_eq!(states.schema_name(shop), b"shop");
    }
}
