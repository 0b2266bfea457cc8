//! Prepared statements of a blocking client.

use super::Client;
use crate::client::error::ClientError;
use crate::client::reply::{ColumnDef, Done, Reply, ReplyReader};
use crate::client::request::{self, Cursor, Execute, Types};
use crate::client::value::Value;
use weir_net::command::Command;
use weir_net::scan::ReplyKind;

/// Known to the server by its id until it is closed.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    pub id: u32,
    pub params: Vec<ColumnDef>,
    pub columns: Vec<ColumnDef>,
    pub warnings: u16,
}

impl Client {
    /// An error of the server is an `Err`.
    pub fn prepare(&mut self, sql: impl AsRef<[u8]>) -> Result<Statement, ClientError> {
        let reply = self.command(Command::StmtPrepare, sql.as_ref(), ReplyKind::Prepare)?.success()?;
        let prepared = reply.prepared.ok_or(ClientError::Shape("no statement in the reply of a prepare"))?;
        Ok(Statement {
            id: prepared.ok.statement_id,
            warnings: prepared.ok.warnings,
            params: prepared.params,
            columns: prepared.columns,
        })
    }

    pub fn execute(&mut self, statement: &Statement, params: &[Value]) -> Result<Reply, ClientError> {
        self.execute_with(&Execute {
            statement_id: statement.id,
            params,
            long_data: &[],
            types: Types::Send,
            cursor: Cursor::None,
        })
    }

    /// With a cursor, without types, with long data: everything that the command can say.
    pub fn execute_with(&mut self, execute: &Execute<'_>) -> Result<Reply, ClientError> {
        self.send_payload(&request::execute(self.capabilities(), execute))?;
        self.read_reply(ReplyKind::Execute, None)
    }

    /// Up to so many rows of the statement's cursor, which has these columns.
    pub fn fetch(&mut self, statement: &Statement, columns: &[ColumnDef], rows: u32) -> Result<Reply, ClientError> {
        let body = [statement.id.to_le_bytes(), rows.to_le_bytes()].concat();
        self.send_command(Command::StmtFetch, &body)?;
        let reader = ReplyReader::new(ReplyKind::Fetch, self.capabilities(), columns);
        self.read_reply_into(reader, None, &mut |_| {})
    }

    /// Has no reply.
    pub fn send_long_data(&mut self, statement: &Statement, param: u16, data: &[u8]) -> Result<(), ClientError> {
        let body = [&statement.id.to_le_bytes()[..], &param.to_le_bytes(), data].concat();
        self.send_command(Command::StmtSendLongData, &body)
    }

    /// Forgets long data and closes the cursor.
    pub fn reset_statement(&mut self, statement: &Statement) -> Result<Done, ClientError> {
        self.simple(Command::StmtReset, &statement.id.to_le_bytes())
    }

    /// Has no reply.
    pub fn close_statement(&mut self, statement: &Statement) -> Result<(), ClientError> {
        self.send_command(Command::StmtClose, &statement.id.to_le_bytes())
    }
}
