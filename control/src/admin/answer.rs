//! A statement at the admin port, and its answer. The planner reads it, as in a core: `SHOW WEIR`, `EXPLAIN ROUTE`, `KILL` and the gate's
//! variables are the same words there and here.
//!
//! Invariant: nothing goes to a backend, so what is not known here is an error that says what is.

use super::{Door, chatter};
use crate::gate::desk::Set;
use weir_core::mail::{Kill, KillOutcome};
use weir_core::session::refuse::Refusal;
use weir_core::session::wishes::Wishes;
use weir_core::session::{explain, global};
use weir_core::show::{Show, Shown, What};
use weir_planner::filter::Statement;
use weir_planner::{Facts, GateSet, GateShow, Kind, Local, Plan, Route, Scope};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// OK.
    Done,
    Refused {
        code: u16,
        state: [u8; 5],
        text: String,
    },
    Rows {
        columns: Vec<String>,
        rows: Vec<Vec<Option<Vec<u8>>>>,
        warnings: u16,
    },
}

impl Answer {
    pub fn error(code: u16, text: &str) -> Answer {
        Answer::Refused { code, state: *b"HY000", text: text.to_string() }
    }

    pub fn refused(refusal: &Refusal) -> Answer {
        let (code, state, text) = refusal.words();
        Answer::Refused { code, state: *state, text }
    }

    pub fn table(columns: &[&str], rows: Vec<Vec<String>>) -> Answer {
        Answer::warned(columns, rows, 0)
    }

    fn warned(columns: &[&str], rows: Vec<Vec<String>>, warnings: u16) -> Answer {
        let cells = |row: Vec<String>| row.into_iter().map(|cell| Some(cell.into_bytes())).collect();
        Answer::Rows {
            columns: columns.iter().map(ToString::to_string).collect(),
            rows: rows.into_iter().map(cells).collect(),
            warnings,
        }
    }
}

/// One client of the port.
pub struct Conversation<'a> {
    door: &'a Door,
    id: u32,
    /// What was missing in the last table, for `SHOW WARNINGS`.
    note: Option<String>,
}

impl<'a> Conversation<'a> {
    pub fn new(door: &'a Door, id: u32) -> Conversation<'a> {
        Conversation { door, id, note: None }
    }

    pub async fn answer(&mut self, sql: &[u8]) -> Answer {
        let plan = weir_planner::plan(sql, &Facts::default());
        if let Some(Local::ShowConditions { errors_only }) = &plan.local {
            return self.conditions(*errors_only);
        }
        self.note = None;
        match &plan.local {
            Some(Local::ShowWeir(words)) => match Show::parse(words) {
                Ok(show) => self.table(show).await,
                Err(why) => Answer::refused(&Refusal::BadShow(why)),
            },
            Some(Local::FlushDigests) => self.table(Show::of(What::FlushDigests)).await,
            Some(Local::Filter(read)) => self.filter(read).await,
            Some(Local::ExplainRoute(sql)) => self.explain(sql).await,
            Some(Local::Kill { id, query_only }) => self.kill(*id, *query_only).await,
            Some(Local::SetGate(values)) => self.set(values).await,
            Some(Local::ShowGate(wanted)) => self.show_variables(wanted).await,
            Some(Local::ConnectionId { column }) => {
                Answer::table(&[&String::from_utf8_lossy(column)], vec![vec![self.id.to_string()]])
            }
            _ => self.small_talk(sql, &plan),
        }
    }

    async fn table(&mut self, show: Show) -> Answer {
        match self.door.desk.table(show).await {
            Ok(Shown { columns, .. }) if columns.is_empty() => Answer::Done,
            Ok(Shown { columns, rows, note }) => {
                self.note = note;
                Answer::warned(&columns, rows, u16::from(self.note.is_some()))
            }
            Err(why) => Answer::error(1105, &why),
        }
    }

    async fn filter(&self, read: &Result<Statement, String>) -> Answer {
        match read {
            Err(why) => Answer::refused(&Refusal::BadFilter(why.clone())),
            Ok(statement) if statement.is_change() => {
                match self.door.desk.change_filters(&self.door.user, statement.clone()).await {
                    Ok(()) => Answer::Done,
                    Err(why) => Answer::refused(&Refusal::FilterNotChanged(why)),
                }
            }
            Ok(statement) => {
                let filters = self.door.desk.filters().await;
                match filters.and_then(|filters| weir_core::session::filters::show(filters.as_ref(), statement)) {
                    Ok((columns, rows)) => Answer::table(&columns, rows),
                    Err(why) => Answer::error(1105, &why),
                }
            }
        }
    }

    fn conditions(&self, errors_only: bool) -> Answer {
        let note = self.note.as_ref().filter(|_| !errors_only);
        let row = |note: &String| vec!["Warning".to_string(), "1105".to_string(), note.clone()];
        Answer::table(&["Level", "Code", "Message"], note.map(row).into_iter().collect())
    }

    /// As a session that has just begun would have it; the server is chosen when it runs.
    async fn explain(&self, sql: &[u8]) -> Answer {
        let plan = weir_planner::plan(sql, &Facts::default());
        let Some(picture) = self.door.desk.picture().await else { return Answer::error(1105, ENDING) };
        let primary = picture.primary_name().unwrap_or("waits for a primary").to_string();
        let backend = match plan.route {
            Route::Local => "the gate".to_string(),
            Route::Read if picture.read_write_splitting => "a replica, as its session's policy says".to_string(),
            Route::Primary | Route::Read | Route::Any => primary,
        };
        let row = explain::row(&plan, backend, plan.reason.as_str().to_string());
        Answer::table(&explain::COLUMNS, vec![row])
    }

    /// A client of this gate, whosever it is.
    async fn kill(&self, id: u64, query_only: bool) -> Answer {
        let unknown = || {
            let text = format!(
                "Unknown thread id: {id}; this port ends clients of its own gate (SHOW WEIR SESSIONS lists them)"
            );
            Answer::error(1094, &text)
        };
        let Ok(connection_id) = u32::try_from(id) else { return unknown() };
        let kill = Kill { connection_id, query_only, asker: None };
        match self.door.desk.kill(kill).await {
            Some(KillOutcome::Done) => Answer::Done,
            Some(KillOutcome::Unknown(why)) => Answer::refused(&Refusal::KillUnanswered { id, why: why.into() }),
            Some(KillOutcome::NoSuchThread | KillOutcome::NotOfAGate | KillOutcome::NotOwner) => unknown(),
            None => Answer::error(1105, ENDING),
        }
    }

    /// All or nothing, for the whole gate: here `SET` without a scope means nothing else.
    async fn set(&self, values: &[GateSet]) -> Answer {
        let values = match values.iter().map(global::check).collect() {
            Ok(values) => values,
            Err(why) => return Answer::refused(&why),
        };
        match self.door.desk.set(Set { user: self.door.user.clone(), values }).await {
            true => Answer::Done,
            false => Answer::error(1105, ENDING),
        }
    }

    async fn show_variables(&self, wanted: &[GateShow]) -> Answer {
        let columns: Vec<String> = wanted.iter().map(|one| String::from_utf8_lossy(&one.column).into_owned()).collect();
        let Some(settings) = self.door.desk.settings().await else { return Answer::error(1105, ENDING) };
        // A session's own, such as its GTIDs, nobody has here.
        let value = |one: &GateShow| {
            let is_shown = global::is_global(&one.name);
            is_shown.then(|| Wishes::default().show(&one.name, &settings).into_bytes())
        };
        Answer::Rows { columns, rows: vec![wanted.iter().map(value).collect()], warnings: 0 }
    }

    /// What clients say by themselves when they connect.
    fn small_talk(&self, sql: &[u8], plan: &Plan) -> Answer {
        let is_foreign = |scope: Scope| matches!(scope, Scope::Global | Scope::Persist | Scope::PersistOnly);
        match plan.kind {
            Kind::Set => match plan.assigns.iter().find(|assign| is_foreign(assign.scope)) {
                Some(assign) => {
                    let text = format!(
                        "Unknown system variable '{}': SET GLOBAL knows the gate's own here; see SHOW WEIR VARIABLES",
                        assign.name
                    );
                    Answer::error(1193, &text)
                }
                None => Answer::Done,
            },
            Kind::Use | Kind::Begin | Kind::Commit | Kind::Rollback => Answer::Done,
            Kind::Select | Kind::Show => chatter::answer(sql, self.door, self.id).unwrap_or_else(unknown),
            Kind::Empty => Answer::Refused { code: 1065, state: *b"42000", text: "Query was empty".to_string() },
            _ => unknown(),
        }
    }
}

fn unknown() -> Answer {
    let words: Vec<&str> = What::ALL.iter().map(|(_, word, _)| *word).collect();
    let text = format!(
        "the admin port knows SHOW WEIR {} [LIKE 'pattern'] [ORDER BY column] [LIMIT n], EXPLAIN ROUTE statement, KILL [QUERY] id, \
         SET GLOBAL of the gate's variables, CREATE, ALTER, DROP and SHOW FILTER and FLUSH WEIR DIGESTS; statements for MySQL go to the gate's own port",
        words.join("|")
    );
    Answer::Refused { code: 1064, state: *b"42000", text }
}

const ENDING: &str = "the gate is ending";
