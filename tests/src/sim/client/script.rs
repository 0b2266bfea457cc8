//! What a client does next: chosen by the seed among the features that are on (swarm), within the rules of its session.
//!
//! Invariant: it asks only what its own model can judge, and writes only what is its own or keeps the sum of accounts.

use std::collections::VecDeque;

use weir_core::snapshot::Consistency;
use weir_net::flags::Capabilities;

use crate::sim::client::ask::{Ask, Check, Want, is};
use crate::sim::client::mind::{Effect, Mind, Prepared, Slot};
use crate::sim::client::script::levels::hint;
use crate::sim::oracle::Tag;
use crate::sim::random::Random;
use crate::sim::server::data::SCHEMAS;

mod binary;
pub mod levels;
mod state;

/// A group of statements that a seed switches on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    Values,
    Transfers,
    Ledger,
    AutoInsert,
    Variables,
    Names,
    UserVariables,
    TemporaryTables,
    Locks,
    Diagnostics,
    Schemas,
    Prepared,
    LongData,
    Cursors,
    Big,
    Multi,
    Reset,
    ChangeUser,
    Errors,
    Autocommit,
    ReadOnly,
    Pipelining,
    Clock,
    Small,
    /// For worlds of `Mode::Levels` alone.
    Levels,
}

impl Feature {
    /// What a seed may switch on without a gate.
    pub const ALL: &'static [Feature] = &[
        Feature::Values,
        Feature::Transfers,
        Feature::Ledger,
        Feature::AutoInsert,
        Feature::Variables,
        Feature::Names,
        Feature::UserVariables,
        Feature::TemporaryTables,
        Feature::Locks,
        Feature::Diagnostics,
        Feature::Schemas,
        Feature::Prepared,
        Feature::LongData,
        Feature::Cursors,
        Feature::Big,
        Feature::Multi,
        Feature::Reset,
        Feature::ChangeUser,
        Feature::Errors,
        Feature::Autocommit,
        Feature::ReadOnly,
        Feature::Pipelining,
        Feature::Clock,
        Feature::Small,
    ];
}

/// What all clients of a world must know.
#[derive(Clone, Debug)]
pub struct Rules {
    pub accounts: i64,
    /// The gate's level.
    pub level: Consistency,
    pub users: Vec<String>,
    /// The longest result, in rows.
    pub rows_max: u64,
}

/// A step that is decided already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Todo {
    Begin { read_only: bool },
    Commit,
    Rollback,
    LockedRead(i64),
    Move(i64, i64),
    ReadBack(i64, i64),
    Ledger,
    WriteValue,
    ReadValue,
    ReadInsertId,
    ShowWarnings(Option<Tag>),
    RowCount(i64),
    FoundRows(u64),
    ReadTemporary(String),
    DropTemporary(String),
    Unlock(String),
    Execute(usize),
    Fetch { id: u32, row: i64, rows: i64, tag: Tag },
    Autocommit(bool),
    Horizon,
}

#[derive(Debug)]
pub struct Script {
    client: u32,
    pub features: Vec<Feature>,
    pub rules: Rules,
    pub steps_left: u32,
    todo: VecDeque<Todo>,
    tag_last: u32,
    id_last: i64,
    session: i64,
}

impl Script {
    pub fn new(client: u32, features: Vec<Feature>, rules: Rules, steps: u32) -> Script {
        Script {
            client,
            features,
            rules,
            steps_left: steps,
            todo: VecDeque::new(),
            tag_last: 0,
            id_last: 0,
            session: 0,
        }
    }

    /// Nothing more to do in this session.
    pub fn is_over(&self, mind: &Mind) -> bool {
        self.steps_left == 0 && self.todo.is_empty() && !mind.in_transaction() && !mind.transaction_unsure
    }

    /// What was planned no longer makes sense.
    pub fn drop_plans(&mut self) {
        self.todo.clear();
    }

    /// A new session begins: its keys are its own.
    pub fn begin_session(&mut self) {
        self.todo.clear();
        self.session += 1;
    }

    /// The next commands: more than one are sent without waiting for answers.
    pub fn next(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities) -> Vec<Ask> {
        if mind.transaction_unsure {
            self.todo.clear();
            return vec![self.query(caps, "ROLLBACK").effect(Effect::Rollback)];
        }
        if let Some(todo) = self.todo.pop_front() {
            return self.planned(random, mind, caps, todo).into_iter().collect();
        }
        if self.steps_left == 0 && mind.in_transaction() {
            return self.planned(random, mind, caps, Todo::Commit).into_iter().collect();
        }
        self.steps_left = self.steps_left.saturating_sub(1);
        let quiet = !mind.in_transaction() && mind.autocommit() && !mind.is_pinned();
        if quiet && self.has(Feature::Pipelining) && random.chance(30) {
            let count = random.between(2, 6);
            return (0..count).filter_map(|_| self.stateless(random, mind, caps)).collect();
        }
        let feature = *random.pick(&self.features);
        self.step(random, mind, caps, feature).into_iter().collect()
    }

    fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    fn step(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities, feature: Feature) -> Option<Ask> {
        match feature {
            Feature::Values if random.chance(50) => self.planned(random, mind, caps, Todo::WriteValue),
            Feature::Values => self.planned(random, mind, caps, Todo::ReadValue),
            Feature::Transfers => self.transfer(random, mind, caps),
            Feature::Ledger => self.planned(random, mind, caps, Todo::Ledger),
            Feature::AutoInsert => self.auto_insert(random, caps),
            Feature::Variables => Some(self.variable(random, mind, caps)),
            Feature::Names => Some(self.names(random, caps)),
            Feature::UserVariables => Some(self.user_variable(random, mind, caps)),
            Feature::TemporaryTables => self.temporary(random, mind, caps),
            Feature::Locks => Some(self.lock(random, mind, caps)),
            Feature::Diagnostics => Some(self.diagnostics(random, mind, caps)),
            Feature::Schemas => Some(self.schema(random, mind, caps)),
            Feature::Prepared => Some(self.prepared(random, mind, caps)),
            Feature::LongData | Feature::Cursors => self.statement_extra(random, mind, caps, feature),
            Feature::Big => Some(self.big(random, caps)),
            Feature::Multi => Some(self.multi(random, mind, caps)),
            Feature::Reset if random.chance(30) => Some(self.reset()),
            Feature::ChangeUser if random.chance(30) => Some(self.change_user(random)),
            Feature::Errors => Some(self.error(random, mind, caps)),
            Feature::Autocommit if !mind.in_transaction() => {
                let off = mind.autocommit();
                self.planned(random, mind, caps, Todo::Autocommit(!off))
            }
            Feature::ReadOnly if !mind.in_transaction() => {
                self.todo.extend([Todo::ReadValue, Todo::ReadValue, Todo::Commit]);
                self.planned(random, mind, caps, Todo::Begin { read_only: true })
            }
            Feature::Clock if random.chance(40) => Some(self.tick(caps)),
            Feature::Clock => Some(self.read_clock(random, mind, caps)),
            Feature::Levels => self.levels(random, mind, caps),
            _ => Some(self.small(random, mind, caps)),
        }
    }

    /// Commands whose answers depend on nothing that their neighbours change.
    fn stateless(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities) -> Option<Ask> {
        match random.below(5) {
            0 => self.planned(random, mind, caps, Todo::ReadValue),
            1 => self.planned(random, mind, caps, Todo::Ledger),
            2 => Some(self.big(random, caps)),
            3 => Some(self.sum(caps)),
            _ => Some(self.small(random, mind, caps)),
        }
    }

    fn planned(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities, todo: Todo) -> Option<Ask> {
        Some(match todo {
            Todo::Begin { read_only } => self.begin(random, caps, read_only),
            Todo::Commit => {
                let mut ask = self.query(caps, "COMMIT").effect(Effect::Commit);
                ask.commits = true;
                ask
            }
            Todo::Rollback => self.query(caps, "ROLLBACK").effect(Effect::Rollback),
            Todo::LockedRead(account) => {
                let tag = self.tag();
                let text = format!("SELECT '{tag}', n FROM db1.acct WHERE id={account} FOR UPDATE");
                let rows = vec![vec![is(tag), Want::AtLeast(i64::MIN)]];
                let mut ask = Ask::query(tag, caps, &text).rows(rows).touches().may_wait();
                ask.remembers = true;
                self.numbered(ask)
            }
            Todo::Move(account, by) => {
                let sign = if by < 0 { '-' } else { '+' };
                let text = format!("UPDATE db1.acct SET n=n{sign}{} WHERE id={account}", by.abs());
                let ask = self.query(caps, &text).check(Check::Ok { affected: Some(1), tagged: true });
                self.numbered(ask.touches().may_wait())
            }
            Todo::ReadBack(account, by) => {
                let tag = self.tag();
                let text = format!("SELECT '{tag}', n FROM db1.acct WHERE id={account}");
                let ask = Ask::query(tag, caps, &text).rows(vec![vec![is(tag), is(mind.remembered + by)]]);
                self.numbered(ask.touches())
            }
            Todo::Ledger => self.ledger(caps),
            Todo::WriteValue => return self.write_value(random, mind, caps),
            Todo::ReadValue => self.read_value(random, mind, caps),
            Todo::ReadInsertId => {
                let tag = self.tag();
                let text = format!("SELECT '{tag}', LAST_INSERT_ID()");
                Ask::query(tag, caps, &text).rows(vec![vec![is(tag), is(mind.insert_id)]]).read()
            }
            Todo::ShowWarnings(_) | Todo::RowCount(_) | Todo::FoundRows(_) => self.about_previous(caps, todo),
            Todo::ReadTemporary(name) => self.read_temporary(mind, caps, &name)?,
            Todo::DropTemporary(name) => self.drop_temporary(mind, caps, &name)?,
            Todo::Unlock(name) => self.unlock(mind, caps, &name)?,
            Todo::Execute(at) => self.execute(random, mind, caps, at)?,
            Todo::Fetch { id, row, rows, tag } => self.fetch(random, id, row, rows, tag),
            Todo::Autocommit(on) => self.autocommit(random, caps, on),
            Todo::Horizon => self.horizon(random, mind, caps),
        })
    }

    fn tag(&mut self) -> Tag {
        self.tag_last += 1;
        Tag { client: self.client, n: self.tag_last }
    }

    /// A number of this client's own: rows of the ledger, transactions.
    fn fresh(&mut self) -> i64 {
        self.id_last += 1;
        i64::from(self.client) * 1_000_000 + self.id_last
    }

    /// A text that carries its tag in a comment.
    fn query(&mut self, caps: Capabilities, text: &str) -> Ask {
        let tag = self.tag();
        Ask::query(tag, caps, &format!("{text} /* {tag} */"))
    }

    /// For what begins a transaction when autocommit is off.
    fn numbered(&mut self, mut ask: Ask) -> Ask {
        ask.number = self.fresh() as u64;
        ask
    }

    fn begin(&mut self, random: &mut Random, caps: Capabilities, read_only: bool) -> Ask {
        let text = match random.below(3) {
            _ if read_only => "START TRANSACTION READ ONLY",
            0 => "BEGIN",
            1 => "START TRANSACTION",
            _ => "START TRANSACTION WITH CONSISTENT SNAPSHOT",
        };
        let wish = self.wish(random);
        let mut ask = self.query(caps, format!("{text} {}", hint(wish)).trim_end());
        ask = self.numbered(ask);
        ask.wish = wish;
        let number = ask.number;
        ask.commits = true;
        ask.effect(Effect::Begin { number, read_only })
    }

    fn transfer(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities) -> Option<Ask> {
        if mind.in_transaction() {
            // What is open is ended first: an open transaction may already hold rows of the bank.
            return self.planned(random, mind, caps, Todo::Commit);
        }
        let from = random.below(self.rules.accounts as u64) as i64;
        let to = (from + 1 + random.below(self.rules.accounts as u64 - 1) as i64) % self.rules.accounts;
        let by = random.between(1, 90) as i64;
        if random.chance(30) {
            self.todo.extend([Todo::LockedRead(from), Todo::Move(from, -by), Todo::ReadBack(from, -by)]);
        } else {
            self.todo.push_back(Todo::Move(from, -by));
        }
        if random.chance(40) {
            self.todo.push_back(Todo::WriteValue);
        }
        self.todo.extend([Todo::Move(to, by), Todo::Ledger]);
        self.todo.push_back(if random.chance(75) { Todo::Commit } else { Todo::Rollback });
        if mind.autocommit() {
            return self.planned(random, mind, caps, Todo::Begin { read_only: false });
        }
        let first = self.todo.pop_front()?;
        self.planned(random, mind, caps, first)
    }

    fn ledger(&mut self, caps: Capabilities) -> Ask {
        let (id, tag) = (self.fresh(), self.tag());
        let text = format!("INSERT INTO db1.ledger VALUES ({id},'{tag}')");
        let mut ask = Ask::query(tag, caps, &text).check(Check::Ok { affected: Some(1), tagged: true });
        ask.ledger = Some(id);
        self.numbered(ask.effect(Effect::Ledger(id)).touches())
    }

    fn write_value(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities) -> Option<Ask> {
        if mind.transaction.as_ref().is_some_and(|open| open.read_only) {
            return None;
        }
        let schema = match &mind.schema {
            Some(schema) if random.chance(50) => schema.clone(),
            _ => random.pick(SCHEMAS).to_string(),
        };
        let key = self.key(random);
        let tag = self.tag();
        let value = format!("value of {tag}");
        let name = if mind.schema.as_ref() == Some(&schema) { "kv".to_string() } else { format!("{schema}.kv") };
        let text = format!("REPLACE INTO {name} VALUES ({key},'{value}')");
        let ask = Ask::query(tag, caps, &text).effect(Effect::Write { schema, key, value }).touches();
        Some(self.numbered(ask))
    }

    fn key(&self, random: &mut Random) -> i64 {
        (i64::from(self.client) * 1_000 + self.session) * 10 + random.between(1, 5) as i64
    }

    fn read_value(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities) -> Ask {
        let (schema, key) = (random.pick(SCHEMAS).to_string(), self.key(random));
        let name = if mind.schema.as_ref() == Some(&schema) { "kv".to_string() } else { format!("{schema}.kv") };
        let (tag, wish) = (self.tag(), self.wish(random));
        let text = format!("SELECT {}'{tag}', v FROM {name} WHERE k={key}", hint(wish));
        let ask = Ask::query(tag, caps, &text).read().touches();
        let mut ask = ask.check(self.value_check(self.level(mind, wish), mind, tag, &schema, key));
        ask.wish = wish;
        self.numbered(ask)
    }

    fn value_check(&self, level: Consistency, mind: &Mind, tag: Tag, schema: &str, key: i64) -> Check {
        let history = mind.values.get(&(schema.to_string(), key)).map_or(&[][..], |all| all);
        // A transaction that may write is on the primary, one that may not is where its begin was sent.
        if level == Consistency::Eventual && mind.transaction.as_ref().is_none_or(|open| open.read_only) {
            let among = history.iter().cloned().map(Some).collect();
            return Check::MaybeRow(vec![is(tag), Want::Among(among)]);
        }
        Check::Rows(history.last().map(|value| vec![is(tag), is(value)]).into_iter().collect())
    }

    fn auto_insert(&mut self, random: &mut Random, caps: Capabilities) -> Option<Ask> {
        let tag = self.tag();
        (0..random.between(1, 2)).for_each(|_| self.todo.push_back(Todo::ReadInsertId));
        if random.chance(30) {
            return self.todo.pop_front().map(|_| self.insert_id_anew(tag, caps));
        }
        Some(self.insert_id_anew(tag, caps))
    }

    fn insert_id_anew(&mut self, tag: Tag, caps: Capabilities) -> Ask {
        let text = format!("INSERT INTO db1.auto (who) VALUES ('{tag}')");
        let ask = Ask::query(tag, caps, &text).check(Check::Ok { affected: Some(1), tagged: true });
        self.numbered(ask.effect(Effect::AutoInsert).touches())
    }

    fn sum(&mut self, caps: Capabilities) -> Ask {
        let tag = self.tag();
        let text = format!("SELECT '{tag}', SUM(n) FROM db1.acct");
        let ask = Ask::query(tag, caps, &text).rows(vec![vec![is(tag), is(self.rules.accounts * 1000)]]);
        self.numbered(ask.read().touches())
    }

    fn tick(&mut self, caps: Capabilities) -> Ask {
        let ask = self.query(caps, "UPDATE db1.clock SET n=n+1 WHERE id=1");
        self.numbered(ask.touches().may_wait())
    }

    /// The clock never goes back within a session (S60).
    fn read_clock(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities) -> Ask {
        let (tag, wish) = (self.tag(), self.wish(random));
        let low = if self.level(mind, wish) == Consistency::Eventual { 0 } else { mind.clock };
        let text = format!("SELECT {}'{tag}', n FROM db1.clock WHERE id=1", hint(wish));
        let ask = Ask::query(tag, caps, &text);
        let mut ask = ask.rows(vec![vec![is(tag), Want::AtLeast(low)]]).read().touches();
        ask.remembers = true;
        ask.wish = wish;
        self.numbered(ask)
    }

    fn big(&mut self, random: &mut Random, caps: Capabilities) -> Ask {
        let tag = self.tag();
        let rows = random.below(self.rules.rows_max);
        let wide = "y".repeat(random.below(300) as usize);
        let text = format!("SELECT '{tag}', pad, '{wide}' FROM db1.big LIMIT {rows}");
        let pad = crate::sim::server::values::pad;
        let wants = (0..rows as i64).map(|at| vec![is(tag), is(pad(at)), is(&wide)]).collect();
        let ask = Ask::query(tag, caps, &text).rows(wants).read().touches();
        self.numbered(ask)
    }
}

/// Statements of this session that have this kind.
fn slot_of(mind: &Mind, kind: Prepared) -> Option<(usize, &Slot)> {
    mind.statements.iter().enumerate().find(|(_, slot)| slot.kind == kind)
}
