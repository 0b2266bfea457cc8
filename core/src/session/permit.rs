//! Table permissions where commands pass: what a text uses is known before it is sent, and its user may or may not.
//!
//! ```text
//!   COM_QUERY, PREPARE ─► plan.tables (read once per plan) ─┐
//!   EXECUTE ─► the same, of the text it was prepared from ──┼─► rules ─► run, or 1142 | 1044 | 1227
//!   FIELD_LIST, CREATE_DB, DROP_DB, BINLOG_DUMP ────────────┘
//! ```
//! Invariant: with permissions on nothing goes to a backend whose tables are not known to be its user's, but for users who
//! may do everything to every table: theirs may be unknown (routines, `EXECUTE`, texts that stream). An open cursor or
//! handler goes on when the rules change, as after a `REVOKE`.
//! Cost: off, one branch. On, a compare for a plan whose last verdict was for the same account, schema and rules; else a
//! lookup per table; a text is read once for each plan that the cache holds.

use crate::audit::AuditKind;
use crate::engine::Engine;
use crate::permissions::{Permissions, Table};
use crate::session::refuse::Refusal;
use crate::session::{Peer, Request, Session};
use crate::slots::Key;
use crate::state::SchemaId;
use weir_net::command::Command;
use weir_planner::tables::Memo;
use weir_planner::{Access, Charset, Plan, TableUse, Unknown, Uses};

impl Engine {
    /// Why a statement whose tables its plan remembers is not for this session's user. Names without a schema are in
    /// this one.
    pub(crate) fn forbidden(&mut self, session: Key<Session>, plan: &Plan, schema: SchemaId) -> Option<Refusal> {
        let permissions = self.snapshot.permissions.as_ref()?;
        let mark = Some((self.sessions[session].account.0, schema.0, permissions.version));
        if plan.memo.passed.get() == mark {
            return None;
        }
        let permissions = permissions.clone();
        let uses = plan.memo.uses(|| Err(Unknown("the gate does not understand it")));
        let why = self.judge_uses(session, &permissions, uses, schema);
        if why.is_none() {
            plan.memo.passed.set(mark);
        }
        why
    }

    /// The same for an execute: the rules or the schema may be others than when it was prepared.
    pub(crate) fn execute_forbidden(&mut self, session: Key<Session>, id: u32) -> Option<Refusal> {
        self.snapshot.permissions.as_ref()?;
        let statement = self.sessions[session].statements.get(&id)?;
        let (plan, schema) = (statement.plan.clone(), statement.text.schema);
        plan.tables(&statement.text.sql, &statement.facts);
        self.forbidden(session, &plan, schema)
    }

    /// The same for a command that has no statement.
    pub(crate) fn command_forbidden(&mut self, session: Key<Session>, request: &Request) -> Option<Refusal> {
        let permissions = self.snapshot.permissions.clone()?;
        let mut copy = Vec::new();
        let bytes = self.command_bytes(session, request.len, &mut copy);
        let is_utf8 = self.sessions[session].facts.charset == Charset::Utf8;
        let uses = match request.command {
            Command::FieldList => {
                let name = bytes.split(|b| *b == 0).next().unwrap_or_default();
                named(name, is_utf8).map(|name| {
                    let table = TableUse { schema: None, name, access: Access::SELECT };
                    Uses { tables: vec![table], schemas: Vec::new() }
                })
            }
            Command::CreateDb | Command::DropDb => {
                named(bytes, is_utf8).map(|name| Uses { tables: Vec::new(), schemas: vec![Some(name)] })
            }
            _ => Err(Unknown("it is about all tables of a server")),
        };
        let schema = self.sessions[session].schema;
        self.judge_uses(session, &permissions, &uses, schema)
    }

    fn judge_uses(
        &mut self,
        session: Key<Session>,
        permissions: &Permissions,
        uses: &Result<Uses, Unknown>,
        schema: SchemaId,
    ) -> Option<Refusal> {
        let s = &self.sessions[session];
        let user = self.user_of(s);
        let host = host_of(s.peer);
        let current = String::from_utf8_lossy(self.states.schema_name(schema));
        let rules = &permissions.rules;
        let why = match uses {
            Err(_) if rules.may_change_all(&user) => None,
            Err(Unknown(why)) => Some(Refusal::TablesUnknown { user, host, why }),
            Ok(uses) => {
                let denied = uses.tables.iter().find_map(|table| {
                    // Without a schema the server finds no table, and says so.
                    let schema = table.schema.as_deref().unwrap_or(&current);
                    rules.check(&user, &host, &Table { schema, name: &table.name }, table.access).err()
                });
                let schemas = uses.schemas.iter().map(|schema| schema.as_deref().unwrap_or(&current));
                let schema = schemas.into_iter().find(|schema| !rules.may_change_schema(&user, schema));
                let schema = schema.map(str::to_string);
                denied
                    .map(|denied| Refusal::TableDenied(denied.message))
                    .or(schema.map(|schema| Refusal::SchemaDenied { user, schema }))
            }
        };
        self.counters.commands_denied += u64::from(why.is_some());
        if let Some((code, _, message)) = why.as_ref().map(Refusal::words) {
            self.audit(session, AuditKind::Denied, Some(code), &message);
        }
        why
    }
}

/// Of a text that streams: its end is not here.
pub(crate) fn unknown_memo() -> Memo {
    Memo::of(Err(Unknown("it is longer than 256 KiB")))
}

fn named(name: &[u8], is_utf8: bool) -> Result<Box<str>, Unknown> {
    let name = std::str::from_utf8(name).ok().filter(|name| is_utf8 || name.is_ascii());
    name.map(Box::from).ok_or(Unknown("a name in it has letters beyond ASCII in a character set other than utf8mb4"))
}

/// Where the client is, as a server says it of a client of its own.
fn host_of(peer: Peer) -> String {
    match peer {
        Peer::Tcp(address) if !address.ip().to_canonical().is_loopback() => address.ip().to_canonical().to_string(),
        Peer::Tcp(_) | Peer::Unix => "localhost".to_string(),
    }
}
