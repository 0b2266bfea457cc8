//! The server's commands and their replies.
//!
//! Rules: MySQL "Command Phase".

use weir_net::command::{Command, query_text};
use weir_net::flags::Status;
use weir_net::track::{Track, put_track};

use crate::sim::mutation::Mutation;
use crate::sim::oracle::Tag;
use crate::sim::scene::Scene;
use crate::sim::server::execute::{Answer, Stop, Work, needs_primary};
use crate::sim::server::reply::{Cell, Finish, Replier};
use crate::sim::server::session::Session;
use crate::sim::server::sql::{SetScope, Statement, parse};
use crate::sim::server::variables::Fault;
use crate::sim::server::{Job, Server};

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Binary,
}

impl Server {
    /// Runs a command. False: it waits for a row that another transaction has locked, and has changed nothing.
    pub fn command(&mut self, scene: &mut Scene, id: u32, job: &mut Job, lock_timed_out: bool) -> bool {
        let Some(conn) = self.conns.get_mut(&id) else { return true };
        let mut replier = Replier::new(job.seq.wrapping_add(1), conn.caps);
        let (code, body) = job.payload.split_first().map_or((0, &[][..]), |(code, body)| (*code, body));
        let command = Command::from_byte(code);
        scene.tell(|| format!("server {}: connection {id}: {command:?} {}", self.id, shown(body)));
        let mut session = std::mem::take(&mut conn.session);
        if command == Some(Command::ChangeUser) {
            conn.session = session;
            let (seq, payload) = (job.seq, job.payload.clone());
            self.change_user(scene, id, seq, &payload[1..]);
            return true;
        }
        if command == Some(Command::Quit) {
            conn.session = session;
            conn.end();
            return true;
        }
        let done = match command {
            Some(Command::Query) => self.query(scene, id, &mut session, &mut replier, job, lock_timed_out),
            Some(Command::StmtExecute) => self.execute(scene, id, &mut session, &mut replier, job, lock_timed_out),
            Some(command) => {
                self.small_command(scene, id, &mut session, &mut replier, command, body);
                true
            }
            None => {
                replier.err(1047, "08S01", "Unknown command");
                true
            }
        };
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.session = session;
        }
        if done {
            self.answer(scene, id, replier.out);
        }
        done
    }

    /// Queues a reply, or, when the world is to be wrong, does something else with it.
    fn answer(&mut self, scene: &mut Scene, id: u32, mut reply: Vec<u8>) {
        let others: Vec<u32> = self.conns.keys().copied().filter(|other| *other != id).collect();
        let waiting = others.iter().find(|other| self.conns[other].is_busy()).copied();
        if let Some(other) = waiting
            && !reply.is_empty()
            && scene.mistake(Mutation::WrongClient)
        {
            if let Some(conn) = self.conns.get_mut(&other) {
                conn.out.extend(&reply);
            }
            scene.later(1, crate::sim::agenda::Event::Server { server: self.id, conn: other });
        }
        if !reply.is_empty() && scene.mistake(Mutation::NoAnswer) {
            reply.clear();
        }
        if reply.len() > 3 && scene.mistake(Mutation::WrongSequence) {
            reply[3] = reply[3].wrapping_add(1);
        }
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if conn.held.is_none() && conn.front().is_some() && !reply.is_empty() && scene.mistake(Mutation::SwappedReplies)
        {
            conn.held = Some(reply);
            return;
        }
        conn.out.extend(reply);
        conn.out.extend(conn.held.take().unwrap_or_default());
    }

    fn query(
        &mut self,
        scene: &mut Scene,
        id: u32,
        session: &mut Session,
        replier: &mut Replier,
        job: &mut Job,
        lock_timed_out: bool,
    ) -> bool {
        let body = &job.payload[1..];
        let Ok(parts) = query_text(body, replier.caps) else {
            scene.oracle.violate("query attributes that cannot be read reached a server");
            return true;
        };
        let text = String::from_utf8_lossy(&body[parts.text]).into_owned();
        let tag = Tag::find(&text);
        if let Some(id) = process_asked(&text) {
            let names = ["COMMAND", "STATE", "ATTR_VALUE"].map(str::to_string).to_vec();
            let answer = Answer::Rows { names, rows: vec![self.shown(id).unwrap_or(vec![None; 3])] };
            let run = Run { id, tag, params: &[], format: Format::Text, lock_timed_out };
            write_answer(scene, replier, session, &run, answer, false);
            return true;
        }
        let statements = match parse(&text) {
            Ok(statements) if statements.is_empty() => {
                replier.err(1065, "42000", "Query was empty");
                return true;
            }
            Ok(statements) if statements.len() == 1 || session.multi_statements => statements,
            other => {
                let near = format!("You have an error in your SQL syntax; {:?} {}", other.err(), tag_name(tag));
                replier.err(1064, "42000", &near);
                return true;
            }
        };
        let mut run = Run { id, tag, params: &[], format: Format::Text, lock_timed_out };
        self.tell_oracle(scene, &run, session, job, &statements);
        let count = statements.len();
        for (at, statement) in statements.iter().enumerate() {
            let more = at + 1 < count;
            match self.run_one(scene, session, replier, &run, statement, more) {
                Ended::Well => {}
                Ended::Badly => return true,
                Ended::Waits if at == 0 => return false,
                Ended::Waits => {
                    run.lock_timed_out = true;
                    self.run_one(scene, session, replier, &run, statement, more);
                    return true;
                }
            }
        }
        true
    }

    /// Once for each command, however often it has to wait.
    pub fn tell_oracle(
        &mut self,
        scene: &mut Scene,
        run: &Run<'_>,
        session: &Session,
        job: &mut Job,
        statements: &[Statement],
    ) {
        let Some(tag) = run.tag else { return };
        if std::mem::replace(&mut job.told, true) {
            return;
        }
        let sets_again = |statement: &Statement| matches!(statement, Statement::Set(all) if all.iter().all(|(scope, ..)| *scope == SetScope::User));
        if scene.oracle.has_run(tag) && statements.iter().all(sets_again) {
            // The gate gives a session its user variables again, in the words of the statements that set them.
            return;
        }
        let writes = statements.iter().any(needs_primary);
        if writes && self.store.replica && self.store.deposed {
            // Refused: it does not run.
            return;
        }
        let moved = session.transaction.is_some() && scene.mistake(Mutation::SplitTransaction);
        let place = (self.id, if moved { run.id + 1000 } else { run.id });
        let replica = self.store.replica || writes && scene.mistake(Mutation::WriteOnReplica);
        scene.oracle.ran(tag, place, replica, writes, session);
        let executed = self.store.executed(scene);
        scene.oracle.horizons.ran(tag, executed, self.store.replica);
        if scene.mistake(Mutation::SecondRun) {
            scene.oracle.ran(tag, place, self.store.replica, writes, session);
        }
    }

    /// Runs one statement and writes its results.
    pub fn run_one(
        &mut self,
        scene: &mut Scene,
        session: &mut Session,
        replier: &mut Replier,
        run: &Run<'_>,
        statement: &Statement,
        more: bool,
    ) -> Ended {
        if let Statement::Kill { id, .. } = statement
            && !self.store.threads.contains(id)
        {
            replier.err(1094, "HY000", &format!("Unknown thread id: {id}"));
            return Ended::Badly;
        }
        if let Statement::Kill { query_only: false, id } = statement {
            let victim = if scene.mistake(Mutation::WrongThread) { run.id } else { *id };
            self.judge_kill(scene, victim);
            if scene.errs(Mutation::DeafToKills) {
                finish_ok(replier, session);
                return Ended::Well;
            }
        }
        let mut work = Work {
            scene: &mut *scene,
            store: &mut self.store,
            session: &mut *session,
            conn: run.id,
            params: run.params,
            tag: run.tag,
        };
        match work.run(statement) {
            Ok(answer) => {
                if matches!(statement, Statement::Set(_)) && scene.mistake(Mutation::LeakedState) {
                    self.leak(session);
                }
                write_answer(scene, replier, session, run, answer, more);
                Ended::Well
            }
            Err(Stop::Wait) if !run.lock_timed_out => Ended::Waits,
            Err(Stop::Wait) => {
                let words = "Lock wait timeout exceeded; try restarting transaction";
                self.fail(replier, session, run, (1205, "HY000", words.to_string()));
                Ended::Badly
            }
            Err(Stop::Fault(fault)) => {
                self.fail(replier, session, run, fault);
                Ended::Badly
            }
        }
    }

    fn fail(&self, replier: &mut Replier, session: &mut Session, run: &Run<'_>, (code, state, words): Fault) {
        session.row_count = -1;
        let words = format!("{words} {}", tag_name(run.tag));
        session.warnings.push((code, words.clone()));
        replier.err(code, state, &words);
    }

    /// The mistake of all mistakes: another connection takes these variables on.
    fn leak(&mut self, session: &Session) {
        for conn in self.conns.values_mut() {
            conn.session.variables = session.variables.clone();
        }
    }

    fn small_command(
        &mut self,
        scene: &mut Scene,
        id: u32,
        session: &mut Session,
        replier: &mut Replier,
        command: Command,
        body: &[u8],
    ) {
        match command {
            Command::InitDb => {
                let name = String::from_utf8_lossy(body).into_owned();
                let run = Run { id, tag: None, params: &[], format: Format::Text, lock_timed_out: false };
                self.run_one(scene, session, replier, &run, &Statement::Use(name), false);
            }
            Command::Ping => finish_ok(replier, session),
            Command::Debug => {
                let status = session.status();
                replier.rows_end(&Finish { status, ..Finish::default() });
            }
            Command::SetOption => {
                session.multi_statements = body.first() == Some(&0);
                let status = session.status();
                replier.rows_end(&Finish { status, ..Finish::default() });
            }
            Command::Statistics => {
                let up_s = self.uptime_s(scene.now);
                replier.packet(format!("Uptime: {up_s}  Threads: 1  Questions: 1").as_bytes());
            }
            Command::ResetConnection => {
                self.undo(scene, id, session, false);
                session.reset();
                finish_ok(replier, session);
            }
            Command::ProcessKill => {
                let victim = body.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
                let run = Run { id, tag: None, params: &[], format: Format::Text, lock_timed_out: false };
                let kill = Statement::Kill { query_only: false, id: victim };
                self.run_one(scene, session, replier, &run, &kill, false);
            }
            Command::FieldList => self.field_list(replier, session, body),
            Command::StmtPrepare => self.prepare(session, replier, body),
            Command::StmtClose | Command::StmtReset | Command::StmtSendLongData | Command::StmtFetch => {
                self.on_statement(session, replier, command, body);
            }
            _ => replier.err(1047, "08S01", "Unknown command"),
        }
    }

    fn field_list(&self, replier: &mut Replier, session: &Session, body: &[u8]) {
        let table = String::from_utf8_lossy(body.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
        let known = crate::sim::server::data::TABLES.iter().find(|(name, _)| *name == table);
        match (known, &session.schema) {
            (Some((_, columns)), Some(schema)) => {
                for column in columns {
                    let mut payload = Vec::new();
                    let column = weir_net::column::Column {
                        schema: schema.as_bytes(),
                        ..weir_net::column::Column::text(column.as_bytes(), 9)
                    };
                    weir_net::column::put_column(&mut payload, &column);
                    // The default value: NULL.
                    payload.push(0xfb);
                    replier.packet(&payload);
                }
                let status = session.status();
                replier.rows_end(&Finish { status, ..Finish::default() });
            }
            (_, None) => replier.err(1046, "3D000", "No database selected"),
            (None, Some(schema)) => replier.err(1146, "42S02", &format!("Table '{schema}.{table}' doesn't exist")),
        }
    }
}

/// What statements of one command share.
pub struct Run<'a> {
    pub id: u32,
    pub tag: Option<Tag>,
    pub params: &'a [Cell],
    pub format: Format,
    pub lock_timed_out: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Well,
    Badly,
    Waits,
}

/// `SELECT CAST(MAX(COMMAND) AS BINARY),… FROM information_schema.PROCESSLIST WHERE ID=n LIMIT 1`, the one text of several levels that is known here.
fn process_asked(text: &str) -> Option<u32> {
    let rest = text.strip_prefix("SELECT CAST(MAX(COMMAND) AS BINARY),")?;
    let (_, rest) = rest.split_once("information_schema.PROCESSLIST WHERE ID=")?;
    rest.strip_suffix(" LIMIT 1")?.parse().ok()
}

fn write_answer(
    scene: &mut Scene,
    replier: &mut Replier,
    session: &mut Session,
    run: &Run<'_>,
    answer: Answer,
    more: bool,
) {
    let mut finish = finish(session, replier, more);
    if scene.mistake(Mutation::WrongStatus) {
        finish.status = Status(finish.status.0 ^ Status::IN_TRANS.0);
    }
    if !finish.track.is_empty() && scene.mistake(Mutation::WrongTracker) {
        put_track(&mut finish.track, &Track::Variable { name: b"time_zone", value: b"nowhere" });
    }
    match answer {
        Answer::Ok { affected, insert_id, info } => {
            let info = format!("{info} {}", tag_name(run.tag)).trim().to_string();
            replier.ok(&Finish { affected, insert_id, info, ..finish });
        }
        Answer::Rows { names, mut rows } => {
            replier.columns(&names);
            replier.definitions_end(finish.status);
            if !rows.is_empty() && scene.mistake(Mutation::LostRow) {
                rows.pop();
            }
            for row in &rows {
                match run.format {
                    Format::Text => replier.text_row(row),
                    Format::Binary => replier.binary_row(row),
                }
            }
            replier.rows_end(&finish);
        }
        Answer::Many(all) => {
            let count = all.len();
            for (at, one) in all.into_iter().enumerate() {
                write_answer(scene, replier, session, run, one, more || at + 1 < count);
            }
        }
    }
}

fn finish(session: &mut Session, replier: &Replier, more: bool) -> Finish {
    let track = session.take_tracks(replier.caps);
    let mut status = session.status();
    if more {
        status = status | Status::MORE_RESULTS;
    }
    let warnings = session.warnings.len() as u16;
    Finish { status, warnings, track, ..Finish::default() }
}

pub fn finish_ok(replier: &mut Replier, session: &mut Session) {
    let finish = finish(session, replier, false);
    replier.ok(&finish);
}

fn tag_name(tag: Option<Tag>) -> String {
    tag.map(|tag| tag.to_string()).unwrap_or_default()
}

/// A command with its name, fit to be shown.
pub fn named(payload: &[u8]) -> String {
    let command = payload.first().and_then(|byte| Command::from_byte(*byte));
    format!("{command:?} {}", shown(payload.get(1..).unwrap_or_default()))
}

/// A body fit to be shown in a trace.
pub fn shown(body: &[u8]) -> String {
    body.iter().take(90).map(|b| if b.is_ascii_graphic() || *b == b' ' { *b as char } else { '.' }).collect()
}
