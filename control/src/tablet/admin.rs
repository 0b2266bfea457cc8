//! Admin work: statements and kills by the agent's admin account, for callers who may, each an audit event.
//!
//! Invariant: nothing is run for a caller that `Caller::may_change` does not let in. What was asked, by whom, and how it
//! ended is one event under the target `weir_audit`; the statement's text is in it, its literals are not.

use crate::client::{AsyncClient, ClientError, Options, Outcome, Reply};
pub use crate::grpc::access::Caller;
use crate::querylog::redact;
use std::time::Duration;

#[derive(Clone)]
pub struct Admin {
    pub options: Options,
}

impl Admin {
    pub async fn execute(&self, caller: &Caller, statement: &str, within: Duration) -> Result<Reply, ClientError> {
        let within = if within.is_zero() { WITHIN } else { within.min(WITHIN_MAX) };
        let outcome = self.run(statement, within).await;
        audit(caller, "execute", &redact::sql(statement), &outcome);
        outcome
    }

    pub async fn kill(&self, caller: &Caller, connection_id: u64, and_connection: bool) -> Result<Reply, ClientError> {
        let what = if and_connection { "CONNECTION" } else { "QUERY" };
        let statement = format!("KILL {what} {connection_id}");
        let outcome = self.run(&statement, WITHIN).await;
        audit(caller, "kill", &statement, &outcome);
        outcome
    }

    /// A connection for each: they are rare, and a session's state must not leak into the next one's.
    async fn run(&self, statement: &str, within: Duration) -> Result<Reply, ClientError> {
        let mut client = AsyncClient::connect(&self.options).await?;
        client.query_within(within, statement).await
    }
}

/// Also for what is refused.
pub fn audit(caller: &Caller, action: &str, statement: &str, outcome: &Result<Reply, ClientError>) {
    let ended = match outcome {
        Ok(reply) => reply.error().map_or("done".to_string(), ToString::to_string),
        Err(error) => error.to_string(),
    };
    tracing::info!(target: "weir_audit", event = "audit", action, caller = caller.to_string(), statement, outcome = ended);
}

pub fn audit_refused(caller: &Caller, action: &str) {
    tracing::warn!(target: "weir_audit", event = "audit", action, caller = caller.to_string(), outcome = "refused");
}

/// The first result's rows as texts, at most so many, and whether there were more.
pub fn rows(reply: &Reply, rows_max: usize) -> (Vec<String>, Vec<Vec<Option<String>>>, bool) {
    let Some(rows) = reply.outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Rows(rows) => Some(rows),
        Outcome::Ok(_) | Outcome::Err(_) => None,
    }) else {
        return (Vec::new(), Vec::new(), false);
    };
    let columns = rows.columns.iter().map(|column| column.name.clone()).collect();
    let mut texts = rows.texts();
    let is_cut = texts.len() > rows_max;
    texts.truncate(rows_max);
    (columns, texts, is_cut)
}

/// For a statement, unless the caller names another limit; and the longest that a caller may name.
const WITHIN: Duration = Duration::from_secs(10);
const WITHIN_MAX: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    /// A place that a log can write to and a test can read.
    #[derive(Clone, Default)]
    struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_call_is_one_structured_event_without_literals() {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone()).finish();
        let caller = Caller { address: "127.0.0.1:9".parse().ok(), certificate: Some("ops".to_string()) };
        let failed = Reply {
            outcomes: vec![Outcome::Err(crate::client::ServerError {
                code: 1045,
                state: "28000".to_string(),
                message: "no".to_string(),
            })],
            ..Reply::default()
        };
        tracing::subscriber::with_default(log, || {
            audit(&caller, "execute", &redact::sql("ALTER USER u IDENTIFIED BY 'secret'"), &Ok(failed));
            audit_refused(&caller, "kill");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let events: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let field = |at: usize, name: &str| events[at][name].as_str().unwrap_or_default().to_string();
        assert_eq!((field(0, "target"), field(0, "action")), ("weir_audit".to_string(), "execute".to_string()));
        assert_eq!(field(0, "caller"), "ops at 127.0.0.1:9");
        assert_eq!(field(0, "statement"), "ALTER USER u IDENTIFIED BY ?");
        assert_eq!(field(0, "outcome"), "ERROR 1045 (28000): no");
        assert_eq!((field(1, "action"), field(1, "outcome")), ("kill".to_string(), "refused".to_string()));
        assert_eq!(events.len(), 2);
    }
}
