//! The server's prepared statements: ids of one connection, parameters, long data, cursors.
//!
//! Rules: MySQL "COM_STMT_PREPARE", "COM_STMT_EXECUTE", "COM_STMT_FETCH", "COM_STMT_SEND_LONG_DATA".

use std::collections::BTreeMap;

use weir_net::command::Command;
use weir_net::error::Malformed;
use weir_net::flags::{Capabilities, Status};
use weir_net::reader::Reader;
use weir_net::statement::ExecuteHead;
use weir_net::writer::Put;

use crate::sim::oracle::Tag;
use crate::sim::scene::Scene;
use crate::sim::server::command::{Ended, Format, Run, finish_ok};
use crate::sim::server::execute::{Answer, Stop, Work};
use crate::sim::server::reply::{Cell, Finish, Replier};
use crate::sim::server::session::{Prepared, Session};
use crate::sim::server::sql::{Statement, parse};
use crate::sim::server::{Job, Server};

const TYPE_LONGLONG: u16 = 8;
const TYPE_VAR_STRING: u16 = 253;
const CURSOR_READ_ONLY: u8 = 1;

impl Server {
    pub fn prepare(&mut self, session: &mut Session, replier: &mut Replier, body: &[u8]) {
        let text = String::from_utf8_lossy(body).into_owned();
        let statement = match parse(&text) {
            Ok(statements) if statements.len() == 1 => statements[0].clone(),
            other => {
                let tag = Tag::find(&text).map(|tag| tag.to_string()).unwrap_or_default();
                return replier.err(
                    1064,
                    "42000",
                    &format!("You have an error in your SQL syntax; {:?} {tag}", other.err()),
                );
            }
        };
        session.statement_last += 1;
        let id = session.statement_last;
        let params = text.matches('?').count() as u16;
        let columns = match &statement {
            Statement::Select { items, .. } => items.len(),
            Statement::ShowWarnings => 3,
            _ => 0,
        };
        session.news.state = true;
        let mut payload = vec![0];
        payload.put_u32(id);
        payload.put_u16(columns as u16);
        payload.put_u16(params);
        payload.put_u8(0);
        payload.put_u16(0);
        replier.packet(&payload);
        let status = session.status();
        for count in [usize::from(params), columns] {
            if count > 0 {
                replier.definitions(&vec!["?".to_string(); count]);
                replier.definitions_end(status);
            }
        }
        let schema = session.schema.clone();
        let prepared =
            Prepared { statement, text, params, schema, types: Vec::new(), long: BTreeMap::new(), cursor: None };
        session.statements.insert(id, prepared);
    }

    pub fn execute(
        &mut self,
        scene: &mut Scene,
        id: u32,
        session: &mut Session,
        replier: &mut Replier,
        job: &mut Job,
        lock_timed_out: bool,
    ) -> bool {
        let body = job.payload[1..].to_vec();
        let statement_id = Reader::new(&body).u32().unwrap_or(0);
        let Some(prepared) = session.statements.get_mut(&statement_id) else {
            let words = format!("Unknown prepared statement handler ({statement_id}) given to mysqld_stmt_execute");
            replier.err(1243, "HY000", &words);
            return true;
        };
        prepared.cursor = None;
        let (params, flags) = match bind(prepared, &body, replier.caps) {
            Ok(bound) => bound,
            Err(Malformed(what)) => {
                replier.err(1210, "HY000", &format!("Incorrect arguments to mysqld_stmt_execute: {what}"));
                return true;
            }
        };
        let statement = prepared.statement.clone();
        let tag = Tag::find(&prepared.text).or_else(|| params.iter().flatten().find_map(|value| Tag::find(value)));
        let run = Run { id, tag, params: &params, format: Format::Binary, lock_timed_out };
        let names_in = prepared.schema.clone();
        let statements = std::slice::from_ref(&statement);
        self.tell_oracle(scene, &run, session, job, statements);
        let schema = std::mem::replace(&mut session.schema, names_in);
        let opens_cursor = flags & CURSOR_READ_ONLY != 0 && matches!(statement, Statement::Select { .. });
        let ended = if opens_cursor {
            self.open_cursor(scene, session, replier, &run, statement_id, &statement)
        } else {
            self.run_one(scene, session, replier, &run, &statement, false)
        };
        session.schema = schema;
        if ended == Ended::Waits {
            return false;
        }
        if let Some(prepared) = session.statements.get_mut(&statement_id) {
            prepared.long.clear();
        }
        true
    }

    /// Definitions only; the rows are kept for `COM_STMT_FETCH`.
    fn open_cursor(
        &mut self,
        scene: &mut Scene,
        session: &mut Session,
        replier: &mut Replier,
        run: &Run<'_>,
        statement_id: u32,
        statement: &Statement,
    ) -> Ended {
        let mut work = Work {
            scene,
            store: &mut self.store,
            session: &mut *session,
            conn: run.id,
            params: run.params,
            tag: run.tag,
        };
        match work.run(statement) {
            Ok(Answer::Rows { names, mut rows }) => {
                let status = session.status() | Status::CURSOR_EXISTS;
                let track = session.take_tracks(replier.caps);
                replier.columns(&names);
                replier.rows_end(&Finish { status, track, ..Finish::default() });
                rows.reverse();
                if let Some(prepared) = session.statements.get_mut(&statement_id) {
                    prepared.cursor = Some(rows);
                }
                Ended::Well
            }
            Ok(_) => {
                finish_ok(replier, session);
                Ended::Well
            }
            Err(Stop::Wait) if !run.lock_timed_out => Ended::Waits,
            Err(_) => {
                replier.err(1205, "HY000", "no cursor");
                Ended::Badly
            }
        }
    }

    pub fn on_statement(&mut self, session: &mut Session, replier: &mut Replier, command: Command, body: &[u8]) {
        let mut reader = Reader::new(body);
        let id = reader.u32().unwrap_or(0);
        let status = session.status();
        let Some(prepared) = session.statements.get_mut(&id) else {
            match command {
                Command::StmtClose | Command::StmtSendLongData => {}
                _ => replier.err(1243, "HY000", &format!("Unknown prepared statement handler ({id}) given to it")),
            }
            return;
        };
        match command {
            Command::StmtClose => {
                session.statements.remove(&id);
            }
            Command::StmtSendLongData => {
                let param = reader.u16().unwrap_or(0);
                prepared.long.entry(param).or_default().extend(reader.rest());
            }
            Command::StmtReset => {
                prepared.long.clear();
                prepared.cursor = None;
                finish_ok(replier, session);
            }
            _ => {
                let wanted = reader.u32().unwrap_or(0) as usize;
                fetch(prepared, replier, status, id, wanted);
            }
        }
    }
}

fn fetch(prepared: &mut Prepared, replier: &mut Replier, status: Status, id: u32, wanted: usize) {
    let Some(rows) = &mut prepared.cursor else {
        return replier.err(1421, "HY000", &format!("The statement ({id}) has no open cursor."));
    };
    for _ in 0..wanted {
        let Some(row) = rows.pop() else { break };
        replier.binary_row(&row);
    }
    let mut status = status | Status::CURSOR_EXISTS;
    if rows.is_empty() {
        status = status.minus(Status::CURSOR_EXISTS) | Status::LAST_ROW_SENT;
        prepared.cursor = None;
    }
    replier.rows_end(&Finish { status, ..Finish::default() });
}

/// The values of an execute, and its flags.
fn bind(prepared: &mut Prepared, body: &[u8], caps: Capabilities) -> Result<(Vec<Cell>, u8), Malformed> {
    let head = ExecuteHead::decode(body, prepared.params, caps)?;
    if let Some(types) = head.types {
        let mut reader = Reader::new(types);
        prepared.types.clear();
        for _ in 0..head.count {
            prepared.types.push(reader.u16()? & 0xff);
            if caps.contains(Capabilities::QUERY_ATTRIBUTES) {
                reader.lenenc_bytes()?;
            }
        }
    }
    if prepared.types.len() < usize::from(prepared.params) {
        return Err(Malformed("types were never sent"));
    }
    let mut values = Reader::new(head.values);
    let mut cells = Vec::new();
    for at in 0..prepared.params {
        let index = usize::from(at);
        if let Some(long) = prepared.long.get(&at) {
            cells.push(Some(String::from_utf8_lossy(long).into_owned()));
        } else if head.nulls[index / 8] & (1 << (index % 8)) != 0 {
            cells.push(None);
        } else {
            cells.push(Some(match prepared.types[index] {
                TYPE_LONGLONG => values.u64()?.to_string(),
                TYPE_VAR_STRING => String::from_utf8_lossy(values.lenenc_bytes()?).into_owned(),
                _ => return Err(Malformed("a type that no client here sends")),
            }));
        }
    }
    if !values.is_empty() {
        return Err(Malformed("bytes behind the last value"));
    }
    Ok((cells, head.flags))
}
