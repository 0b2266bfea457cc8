//! `EXPLAIN ROUTE` and `SHOW WEIR`: what the gate would do, and what it holds, as result sets.

use crate::engine::Engine;
use crate::session::local::{Shape, Table};
use crate::session::replica::Place;
use crate::session::{Body, Request, Session};
use crate::slots::Key;
use weir_net::command::Command;
use weir_planner::Route;

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
        let row = vec![
            format!("{:?}", plan.route),
            name,
            why,
            format!("{:?}", plan.kind),
            plan.effects.names().collect::<Vec<_>>().join(", "),
            plan.asks.names().collect::<Vec<_>>().join(", "),
        ];
        table(&["route", "backend", "reason", "kind", "effects", "asks"], vec![row])
    }

    /// `SHOW WEIR …`: this core's view.
    pub(crate) fn show(&self, what: &str) -> Option<Table> {
        match what.trim() {
            "PINS" => Some(self.show_pins()),
            "POOLS" => Some(self.show_pools()),
            "BACKENDS" => Some(self.show_backends()),
            "STATUS" => Some(self.show_status()),
            "SESSIONS" => Some(self.show_sessions()),
            _ => None,
        }
    }

    fn show_pins(&self) -> Table {
        let rows = self.pin_reports().into_iter().map(|p| {
            vec![
                p.connection_id.to_string(),
                p.user,
                p.backend,
                p.reason.to_string(),
                p.statement,
                p.age_ms.to_string(),
            ]
        });
        table(&["connection_id", "user", "backend", "reason", "statement", "age_ms"], rows.collect())
    }

    fn show_pools(&self) -> Table {
        let rows = self.pool_reports().into_iter().map(|p| {
            let numbers = [p.quota, p.open, p.idle, p.leased, p.waiting];
            let mut row = vec![p.backend];
            row.extend(numbers.iter().map(u32::to_string));
            row.push(p.commands.to_string());
            row
        });
        table(&["backend", "quota", "open", "idle", "leased", "waiting", "commands"], rows.collect())
    }

    fn show_backends(&self) -> Table {
        let rows = self.snapshot.backends.iter().map(|b| {
            vec![
                b.name.clone(),
                format!("{:?}", b.role),
                format!("{:?}", b.health),
                b.lag_ms.map_or("unknown".into(), |lag| lag.to_string()),
                b.weight.to_string(),
                b.version.clone(),
                b.executed.to_string(),
            ]
        });
        table(&["backend", "role", "health", "lag_ms", "weight", "version", "executed"], rows.collect())
    }

    fn show_status(&self) -> Table {
        let counters = self.counters_now().each();
        let rows = counters.into_iter().map(|(name, value, _)| vec![name.to_string(), value.to_string()]);
        table(&["name", "value"], rows.collect())
    }

    fn show_sessions(&self) -> Table {
        let rows = self.sessions.iter().map(|(_, s)| {
            let user = self.user_of(s);
            let backend =
                s.lease.and_then(|l| self.links.get(l)).map(|l| self.snapshot.backend(l.backend).name.clone());
            vec![
                s.id.to_string(),
                user,
                format!("{:?}", s.peer),
                String::from_utf8_lossy(self.states.schema_name(s.schema)).into_owned(),
                s.phase.name().to_string(),
                backend.unwrap_or_default(),
            ]
        });
        table(&["connection_id", "user", "peer", "schema", "phase", "backend"], rows.collect())
    }

    pub(crate) fn user_of(&self, s: &Session) -> String {
        match self.accounts.find(s.account) {
            Some(account) => String::from_utf8_lossy(&account.user).into_owned(),
            None => String::new(),
        }
    }
}

fn table(names: &[&str], rows: Vec<Vec<String>>) -> Table {
    let columns = names.iter().map(|name| (name.as_bytes().to_vec(), Shape::Text)).collect();
    let rows = rows.into_iter().map(|row| row.into_iter().map(|cell| Some(cell.into_bytes())).collect());
    Table { columns, rows: rows.collect(), warnings: 0 }
}
