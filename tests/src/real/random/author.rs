//! The author: writes a case from a seed, a step at a time, by expanding the grammar.
//!
//! Invariant: no step waits for another session. The table `shared` is the only one that two sessions write: who may hold
//! locks in it is remembered until its transaction surely ended, and meanwhile the others leave it alone.
//!
//! | in a production | becomes |
//! |---|---|
//! | `{name}` | one of the productions of that name |
//! | `{a|b|}` | one of these texts |
//! | `{me}` | the session's letter |
//! | `${…}` | itself: the run fills it in |
//! | ` // ` | the end of a step; another session may come between |

use std::collections::{HashMap, VecDeque};

use super::Sharing;
use super::case::Case;
use super::grammar::{FLAVOURS, RULES, roots};
use crate::sim::random::Random;

/// The case that follows from this seed.
pub fn author(sharing: Sharing, seed: u64) -> Case {
    let mut random = Random::new(seed);
    // Each may pin a connection: no more than there are.
    let sessions = if sharing == Sharing::Scatter && random.chance(40) { 3 } else { 2 };
    let labels = ["a", "b", "c"].into_iter().take(sessions);
    let mut author = Author { actors: labels.map(Actor::new).collect(), random, turns: 0, gets_eofs: false };
    let capabilities = (*author.random.pick(FLAVOURS)).to_owned();
    author.gets_eofs = capabilities.contains("-DEPRECATE_EOF");
    let len = author.random.between(STEPS_MIN, STEPS_MAX) as usize;
    let mut steps = Vec::new();
    if author.random.chance(25) {
        // Sessions of different kinds, whose connections are not shared.
        let flavour = *author.random.pick(FLAVOURS);
        author.gets_eofs |= flavour.contains("-DEPRECATE_EOF");
        steps.push(format!("b: @connect caps='{flavour}'"));
    }
    let mut at = 0;
    while steps.len() < len {
        if author.random.chance(30) {
            at = author.random.below(sessions as u64) as usize;
        }
        if let Some(step) = author.step(at) {
            steps.push(step);
        }
    }
    Case { capabilities, roots: roots(sessions), steps }
}

struct Author {
    actors: Vec<Actor>,
    random: Random,
    /// Turns that have been drawn.
    turns: u32,
    /// Somebody gets EOFs behind columns. In those behind out-parameters the gate lacks `SERVER_PS_OUT_PARAMS`: the flag comes behind the
    /// rows, and the EOF has gone out before.
    gets_eofs: bool,
}

struct Actor {
    label: &'static str,
    /// Steps that are drawn and not yet written.
    due: VecDeque<String>,
    /// It may hold locks in `shared`.
    holds: bool,
    /// Its reads may lock.
    is_serializable: bool,
    /// `COMMIT` may be refused.
    is_in_xa: bool,
    /// What each prepared statement was executed with first: later executes keep to that. What a bare parameter is, the first execute
    /// on a connection decides, and one session's statement may begin anew on another (`docs/guide/differences.md`).
    types: HashMap<String, Vec<String>>,
    /// Prepared statements that were not executed yet, and whether a definition has changed since: then MySQL prepares them anew with
    /// what the execute brings, and on another connection they begin with that (`docs/guide/differences.md`).
    unused: HashMap<String, bool>,
    /// What each name was prepared with last; `None`: it is gone since.
    prepared: HashMap<String, Option<String>>,
    last: String,
}

impl Actor {
    fn new(label: &'static str) -> Actor {
        Actor {
            label,
            due: VecDeque::new(),
            holds: false,
            is_serializable: false,
            is_in_xa: false,
            types: HashMap::new(),
            unused: HashMap::new(),
            prepared: HashMap::new(),
            last: String::new(),
        }
    }

    /// A statement that leaves neither conditions nor a count goes in front of what MySQL's answer to depends on what is there (the guide,
    /// "differences"): a `CALL` that counts nothing has the count of the statement before, and the error about a statement that is no more
    /// stands behind the conditions of the one before.
    fn with_room(&mut self, step: String) -> String {
        const COUNTS: [&str; 8] = ["INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "ALTER", "CALL", "EXECUTE"];
        let mut words = step.split_whitespace();
        let (verb, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let text = match verb {
            "@execute" | "@fetch" | "@reset-statement" | "EXECUTE" => self.prepared.get(name),
            _ => None,
        };
        let is_gone = text.is_some_and(|text| text.is_none());
        let calls =
            step.starts_with("CALL ") || text.is_some_and(|text| text.as_ref().is_some_and(|t| t.contains("CALL ")));
        let counted = || self.last.starts_with("@execute") || COUNTS.iter().any(|word| self.last.contains(word));
        if self.last != ROOM && (is_gone || calls && counted()) {
            self.due.push_front(step);
            return ROOM.to_owned();
        }
        step
    }

    /// A statement that MySQL would prepare anew before its first execute is closed instead.
    fn without_stale(&mut self, step: String) -> String {
        const CHANGES: [&str; 4] = ["CREATE ", "ALTER ", "DROP ", "RENAME "];
        let mut words = step.split_whitespace();
        match (words.next(), words.next()) {
            (Some("@prepare"), Some(name)) => drop(self.unused.insert(name.to_owned(), false)),
            (Some("@execute"), Some(name)) if self.unused.remove(name) == Some(true) => {
                return format!("@close {name}");
            }
            _ if CHANGES.iter().any(|change| step.contains(change)) => {
                self.unused.values_mut().for_each(|is_stale| *is_stale = true);
            }
            _ => {}
        }
        step
    }

    fn note(&mut self, step: &str) {
        let mut words = step.split_whitespace();
        match (words.next(), words.next()) {
            (Some("@prepare" | "PREPARE"), Some(name)) => {
                self.prepared.insert(name.to_owned(), Some(step.to_owned()));
            }
            (Some("@close"), Some(name)) => {
                self.prepared.insert(name.to_owned(), None);
            }
            _ => {}
        }
        step.clone_into(&mut self.last);
        if step.contains("XA START") {
            self.is_in_xa = true;
        }
        let ends_all = step == "@reset" || step.starts_with("@change-user") || step == "@quit";
        if ends_all || step.starts_with("XA ROLLBACK") || step.starts_with("XA COMMIT") {
            self.is_in_xa = false;
        }
        let is_end = matches!(step, "COMMIT" | "ROLLBACK") && !self.is_in_xa;
        if is_end || ends_all {
            self.holds = false;
        }
        if ends_all {
            self.prepared.values_mut().for_each(|text| *text = None);
        }
        self.is_serializable |= step.contains("SERIALIZABLE");
        self.holds |= step.contains("shared") && (self.is_serializable || may_lock(step));
    }
}

const ROOM: &str = "DO 0";

fn may_lock(step: &str) -> bool {
    const WORDS: [&str; 9] = ["INSERT", "UPDATE", "DELETE", "REPLACE", "SHARE", "LOAD", "CALL", "XA", "EXECUTE"];
    WORDS.iter().any(|word| step.contains(word))
}

impl Author {
    /// The next step of this session; `None` if it would have to wait.
    fn step(&mut self, at: usize) -> Option<String> {
        if self.actors[at].due.is_empty() {
            let label = self.actors[at].label;
            self.turns += 1;
            let turn = self.expand("{turn}", label, 0);
            self.actors[at].due = turn.split(" // ").map(|step| step.trim().to_owned()).collect();
        }
        let step = self.actors[at].due.pop_front()?;
        let step = self.with_first_types(at, step);
        let step = self.actors[at].without_stale(step);
        let step = self.actors[at].with_room(step);
        if self.gets_eofs && step.starts_with("@prepare o2") {
            return None;
        }
        let is_free = self.actors.iter().enumerate().all(|(other, actor)| other == at || !actor.holds);
        let locks = may_lock(&step) || self.actors[at].is_serializable;
        if step.contains("shared") && locks && !is_free {
            return None;
        }
        self.actors[at].note(&step);
        Some(format!("{}: {step}", self.actors[at].label))
    }

    fn with_first_types(&mut self, at: usize, step: String) -> String {
        let mut words = step.split_whitespace();
        let (verb, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().to_owned());
        if verb == "@prepare" {
            self.actors[at].types.remove(&name);
        }
        let is_kept = self.actors[at].due.front().is_some_and(|next| next.contains(" keep "));
        let is_fixed = is_kept || step.contains(" keep ") || step.contains("${");
        if verb != "@execute" || is_fixed || !matches!(&*name, "s1" | "s2") {
            return step;
        }
        let count = if name == "s1" { 1 } else { 2 };
        let mut params: Vec<String> = parameters(&step);
        if params.len() != count {
            return step;
        }
        let Some(types) = self.actors[at].types.get(&name).cloned() else {
            // A NULL leaves open what it is.
            for param in params.iter_mut().filter(|param| param.starts_with("null:")) {
                while param.starts_with("null:") {
                    *param = self.expand("{param}", "a", 0);
                }
            }
            self.actors[at].types.insert(name.clone(), params.iter().map(|param| type_of(param)).collect());
            return format!("@execute {name} {}", params.join(" "));
        };
        for (param, wanted) in params.iter_mut().zip(types) {
            while type_of(param) != wanted {
                *param = self.expand("{param}", "a", 0);
            }
        }
        format!("@execute {name} {}", params.join(" "))
    }

    fn expand(&mut self, text: &str, me: &str, depth: usize) -> String {
        assert!(depth < DEPTH_MAX, "the grammar goes round at {text}");
        let mut out = String::new();
        let mut left = text;
        while let Some(at) = left.find('{') {
            let end = at + left[at..].find('}').unwrap_or_else(|| panic!("a {{ without its }} in {text}"));
            let inner = &left[at + 1..end];
            out.push_str(&left[..at]);
            if left[..at].ends_with('$') {
                out.push_str(&left[at..=end]);
            } else if inner == "me" {
                out.push_str(me);
            } else if inner == "xid" {
                // One for each turn: a replica applies two transactions of one name beside each other when they touch different rows,
                // and stops at the second (XAER_DUPID, seen on 9.7).
                out.push_str(&format!("'${{db}}_{me}{}'", self.turns));
            } else if inner.contains('|') {
                let choices: Vec<&str> = inner.split('|').collect();
                out.push_str(self.random.pick::<&str>(&choices));
            } else {
                let rule = self.rule(inner);
                out.push_str(&self.expand(rule, me, depth + 1));
            }
            left = &left[end + 1..];
        }
        out.push_str(left);
        out
    }

    fn rule(&mut self, name: &str) -> &'static str {
        let found = RULES.iter().find(|(known, _)| *known == name);
        let (_, productions) = found.unwrap_or_else(|| panic!("the grammar has no {name}"));
        let total: u64 = productions.iter().map(|production| weight(production).0).sum();
        let mut draw = self.random.below(total);
        for production in *productions {
            let (weight, text) = weight(production);
            if draw < weight {
                return text;
            }
            draw -= weight;
        }
        unreachable!("the draw is below the sum of the weights")
    }
}

/// The parameters of an execute; a quoted one may have spaces.
fn parameters(step: &str) -> Vec<String> {
    let mut params: Vec<String> = Vec::new();
    let mut in_quotes = false;
    for word in step.split(' ').skip(2) {
        match params.last_mut().filter(|_| in_quotes) {
            Some(last) => {
                last.push(' ');
                last.push_str(word);
            }
            None => params.push(word.to_owned()),
        }
        in_quotes ^= word.matches('\'').count() % 2 == 1;
    }
    params
}

/// `i32:5`, `null:i32`, `'datetime:…'`.
fn type_of(param: &str) -> String {
    let param = param.trim_start_matches('\'');
    let (kind, rest) = param.split_once(':').unwrap_or((param, ""));
    if kind == "null" { rest } else { kind }.to_owned()
}

/// `3* text` is drawn three times as often.
fn weight(production: &'static str) -> (u64, &'static str) {
    let weighted = production.split_once("* ").and_then(|(number, text)| Some((number.parse().ok()?, text)));
    weighted.unwrap_or((1, production))
}

/// Steps of a case: long enough for state to build up, short enough that its database is made often.
const STEPS_MIN: u64 = 30;
const STEPS_MAX: u64 = 90;
/// Productions within productions.
const DEPTH_MAX: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_writes_a_script_and_the_same_one_twice() {
        for seed in 0..400 {
            for sharing in [Sharing::Worst, Sharing::Scatter] {
                let case = author(sharing, seed);
                assert_eq!(case, author(sharing, seed));
                case.session().unwrap_or_else(|why| panic!("seed {seed}: {why}\n{}", case.text()));
            }
        }
    }

    #[test]
    fn every_rule_is_reached() {
        let text: String = RULES.iter().flat_map(|(_, productions)| *productions).copied().collect();
        for (name, _) in RULES.iter().filter(|(name, _)| *name != "turn") {
            assert!(text.contains(&format!("{{{name}}}")), "nothing leads to {name}");
        }
    }
}
