//! What a client of the admin port has prepared: its texts. Nothing here has parameters, and the columns come with each execute.
//!
//! Limits: [`STATEMENTS_MAX`] for one client.

use super::answer::Answer;
use std::collections::BTreeMap;
use weir_core::session::refuse::Refusal;
use weir_net::statement::{PrepareOk, statement_id};
use weir_planner::Facts;
use weir_planner::filter::parameters;

#[derive(Debug, Default)]
pub struct Prepared {
    texts: BTreeMap<u32, Vec<u8>>,
    last: u32,
}

impl Prepared {
    /// Its reply's payload.
    pub fn prepare(&mut self, sql: &[u8]) -> Result<Vec<u8>, Answer> {
        if parameters(sql, &Facts::default()) > 0 {
            return Err(Answer::refused(&Refusal::Parameters));
        }
        if self.texts.len() >= STATEMENTS_MAX {
            return Err(Answer::refused(&Refusal::TooManyStatements));
        }
        self.last = self.last.wrapping_add(1).max(1);
        self.texts.insert(self.last, sql.to_vec());
        let mut payload = Vec::new();
        PrepareOk { statement_id: self.last, columns: 0, params: 0, warnings: 0 }.encode(&mut payload);
        Ok(payload)
    }

    /// The text of the statement that a command's body begins with.
    pub fn text(&self, body: &[u8]) -> Result<&[u8], Answer> {
        let id = statement_id(body).unwrap_or(0);
        self.texts.get(&id).map(Vec::as_slice).ok_or_else(|| Answer::refused(&Refusal::UnknownStatement { id }))
    }

    pub fn close(&mut self, body: &[u8]) {
        if let Ok(id) = statement_id(body) {
            self.texts.remove(&id);
        }
    }

    pub fn forget(&mut self) {
        self.texts.clear();
    }
}

/// Of one client: drivers keep a few dozen.
const STATEMENTS_MAX: usize = 256;
