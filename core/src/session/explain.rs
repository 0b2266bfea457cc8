//! `EXPLAIN ROUTE`: what the gate would do with a statement, as a result set.

use crate::engine::Engine;
use crate::session::local::{Shape, Table};
use crate::session::replica::Place;
use crate::session::{Body, Request, Session};
use crate::slots::Key;
use weir_net::command::Command;
use weir_planner::{Plan, Route};

impl Engine {
    /// Where a statement would go, and why.
    pub(crate) fn explain(&mut self, session: Key<Session>, sql: &[u8]) -> Table {
        let facts = self.sessions[session].facts;
        let plan = self.plans.plan(sql, &facts);
        let held = self.sessions[session].lease.map(|link| self.links[link].backend);
        let mut request = Request::new(Command::Query, 0, Body::Whole, self.now);
        (request.route, request.plan) = (plan.route, Some(plan.clone()));
        let backend = held.or_else(|| match self.place_for(session, &request) {
            Place::Backend(backend) => Some(backend),
            // It waits for a replica, or for the primary's word, and goes to the primary when the time is up.
            Place::NoPrimary | Place::Stream | Place::Index(_) => self.snapshot.primary(),
        });
        let name = match (plan.route, backend) {
            (Route::Local, _) => "the gate".to_string(),
            (_, Some(backend)) => self.snapshot.backend(backend).name.clone(),
            (_, None) => "waits for a primary".to_string(),
        };
        let why = match (held, plan.route) {
            (Some(_), _) => "the session holds this connection (a transaction or a pin)".to_string(),
            _ => plan.reason.as_str().to_string(),
        };
        table(&COLUMNS, vec![row(&plan, name, why)])
    }

    pub(crate) fn user_of(&self, s: &Session) -> String {
        match self.accounts.find(s.account) {
            Some(account) => String::from_utf8_lossy(&account.user).into_owned(),
            None => String::new(),
        }
    }
}

pub const COLUMNS: [&str; 6] = ["route", "backend", "reason", "kind", "effects", "asks"];

/// The answer's one row: what the plan says, where it goes and why.
pub fn row(plan: &Plan, backend: String, why: String) -> Vec<String> {
    vec![
        format!("{:?}", plan.route),
        backend,
        why,
        format!("{:?}", plan.kind),
        plan.effects.names().collect::<Vec<_>>().join(", "),
        plan.asks.names().collect::<Vec<_>>().join(", "),
    ]
}

fn table(names: &[&str], rows: Vec<Vec<String>>) -> Table {
    let columns = names.iter().map(|name| (name.as_bytes().to_vec(), Shape::Text)).collect();
    let rows = rows.into_iter().map(|row| row.into_iter().map(|cell| Some(cell.into_bytes())).collect());
    Table { columns, rows: rows.collect(), warnings: 0 }
}
