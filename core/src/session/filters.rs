//! The statements about filters where a session sends them: shown from the core's own set, changed by control.
//!
//! Invariant: who changes them is among `admin_users`, and is answered behind the snapshot that has the change, or told why there is none.

use crate::audit::AuditKind;
use crate::engine::{Action as Act, Engine};
use crate::filters::{Entry, Filters};
use crate::mail::ControlMail;
use crate::session::admin::Deed;
use crate::session::local::{Shape, Table};
use crate::session::refuse::Refusal;
use crate::session::{Phase, Request, Session};
use crate::slots::Key;
use std::sync::Arc;
use weir_planner::filter::{Action, Packet, Statement, Status, columns};

impl Engine {
    pub(crate) fn filter_statement(
        &mut self,
        session: Key<Session>,
        request: Box<Request>,
        read: Result<Statement, String>,
    ) {
        let shown = match read {
            Err(why) => Err(Refusal::BadFilter(why)),
            Ok(statement) if statement.is_change() => return self.change_filters(session, request, statement),
            Ok(statement) => show(self.snapshot.filters.as_ref(), &statement).map_err(Refusal::FilterNotChanged),
        };
        match shown {
            Ok((columns, rows)) => self.answer_table(session, request, table(&columns, rows)),
            Err(why) => self.refuse(session, request, &why),
        }
    }

    fn change_filters(&mut self, session: Key<Session>, request: Box<Request>, statement: Statement) {
        let user = Box::<[u8]>::from(&*self.accounts.get(self.sessions[session].account).user);
        let what = told(&statement);
        if let Err(why) = self.check_admin(session, Deed::Filters, &what) {
            return self.refuse(session, request, &why);
        }
        self.audit(session, AuditKind::Admin, None, &what);
        self.settings_next += 1;
        let token = self.settings_next;
        let statement = Box::new(statement);
        self.actions.push_back(Act::Tell(ControlMail::Filter { token, user, statement }));
        self.setters.insert(token, session);
        self.sessions[session].phase = Phase::Showing(request);
    }

    /// Control's answer.
    pub(crate) fn filters_changed(&mut self, token: u64, outcome: Result<(), String>) {
        let Some(session) = self.setters.remove(&token) else { return };
        let Some(s) = self.sessions.get_mut(session) else { return };
        match (std::mem::replace(&mut s.phase, Phase::Ready), outcome) {
            (Phase::Showing(request), Ok(())) => self.answer_statement(session, request),
            (Phase::Showing(request), Err(why)) => self.refuse(session, request, &Refusal::FilterNotChanged(why)),
            (other, _) => s.phase = other,
        }
    }

    /// `/*explain filter*/ …`: the filters that match, in their order, and what each would do.
    pub(crate) fn explain_filter(&mut self, session: Key<Session>, request: Box<Request>, sql: &[u8]) {
        let s = &self.sessions[session];
        let (facts, schema) = (s.facts, self.states.schema_name(s.schema));
        let plan = weir_planner::plan(sql, &facts);
        let packet = Packet::new(sql, &facts, &plan, schema);
        let mut rows = Vec::new();
        let mut is_over = false;
        for entry in self.snapshot.filters.iter().flat_map(|filters| filters.entries.iter()) {
            let is_on = entry.rule.status != Status::Inactive;
            if !is_on || !packet.fits(&entry.rule) || !self.fits_client(session, entry) {
                continue;
            }
            let value = |key: &str| entry.rule.filter.value(key).to_string();
            let does = match is_over {
                true => "nothing: one before it has refused the statement".to_string(),
                false => does(entry, &packet),
            };
            is_over |= entry.rule.status == Status::Active && matches!(entry.rule.action, Action::Fail);
            let name = entry.rule.filter.name.to_string();
            rows.push(vec![name, value("desc"), value("priority"), value("action"), value("action_args"), does]);
        }
        let columns = ["Name", "description", "priority", "action", "action_args", "does"];
        self.answer_table(session, request, table(&columns, rows));
    }
}

fn does(entry: &Arc<Entry>, packet: &Packet<'_>) -> String {
    if entry.rule.status == Status::DryRun {
        return "counts it (DRY_RUN)".to_string();
    }
    match &entry.rule.action {
        Action::Continue => "counts it".to_string(),
        Action::Fail => "refuses it".to_string(),
        Action::Concurrency(limit) => {
            format!("lets {} run at once and {} wait", limit.running_max, limit.waiting_max)
        }
        Action::Rewrite(_) => match packet.rewritten(&entry.rule) {
            Some(text) => format!("rewrites it: {}", String::from_utf8_lossy(&text).trim()),
            None => "counts it: its pattern is not in it".to_string(),
        },
        Action::Mirror(mirror) => {
            format!("sends a copy of {} % of them to {}, of plain reads", mirror.percent, mirror.target)
        }
    }
}

type Rows = (Vec<&'static str>, Vec<Vec<String>>);

/// Err: there is no such filter.
pub fn show(filters: Option<&Filters>, statement: &Statement) -> Result<Rows, String> {
    let find = |name: &str| {
        let found = filters.and_then(|filters| filters.find(name));
        found.ok_or_else(|| format!("there is no filter '{name}': SHOW FILTERS lists them"))
    };
    Ok(match statement {
        Statement::Show(name) => (columns(), vec![find(name)?.rule.filter.row()]),
        Statement::ShowCreate(name) => {
            let filter = &find(name)?.rule.filter;
            (vec!["Filter", "Create Filter"], vec![vec![filter.name.to_string(), filter.to_string()]])
        }
        _ => {
            let entries = filters.into_iter().flat_map(|filters| filters.entries.iter());
            (columns(), entries.map(|entry| entry.rule.filter.row()).collect())
        }
    })
}

/// What was asked for, for logs.
pub fn told(statement: &Statement) -> String {
    match statement {
        Statement::Create { filter, .. } => format!("CREATE FILTER {}", filter.name),
        Statement::Alter { name, .. } => format!("ALTER FILTER {name}"),
        Statement::Drop { name, .. } => format!("DROP FILTER {name}"),
        Statement::ShowAll | Statement::Show(_) | Statement::ShowCreate(_) => "SHOW FILTERS".to_string(),
    }
}

fn table(columns: &[&str], rows: Vec<Vec<String>>) -> Table {
    let columns = columns.iter().map(|name| (name.as_bytes().to_vec(), Shape::Text)).collect();
    let cells = |row: Vec<String>| row.into_iter().map(|cell| Some(cell.into_bytes())).collect();
    Table { columns, rows: rows.into_iter().map(cells).collect(), warnings: 0 }
}
