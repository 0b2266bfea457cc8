//! `CONNECTION_ID()` and `ROW_COUNT()` inside a statement: the session's own number takes the place of the call (S30, S21).
//!
//! The backend's id of a shared connection is nothing that a client may see or keep, and how many rows the previous statement has
//! changed is known where it ran, and here. Beside the filters that rewrite (`ruled.rs`) this is the one place where a statement's text is not what the client sent: the bytes
//! of the call, and nothing else, become the number that the call means, with the type that it has; where the call names a column,
//! it goes on doing so.
//! Left as they are: statements about the server's own lists and locks, where backends' ids are meant, and definitions; what is
//! prepared, which is answered when it is executed; `ROW_COUNT()` in the expression of a column, whose name it is a part of.

use crate::engine::Engine;
use crate::queue::Queue;
use crate::session::{Body, Request, Session};
use crate::slots::Key;
use std::rc::Rc;
use weir_net::command::{Command, query_text};
use weir_net::flavour::Flavour;
use weir_net::packet::{self, HEADER_BYTES, PAYLOAD_MAX};
use weir_planner::{Asks, Plan, SessionValue, ValueSpan};

/// What is said in the place of calls.
struct Numbers {
    id: u32,
    row_count: i64,
    flavour: Flavour,
}

impl Engine {
    /// The request with the session's numbers in its text, at the front of the client's bytes.
    pub(crate) fn substitute(&mut self, session: Key<Session>, mut request: Box<Request>, plan: &Plan) -> Box<Request> {
        // What is prepared runs later.
        let is_now = |span: &&ValueSpan| request.command == Command::Query || span.value == SessionValue::ConnectionId;
        let spans: Vec<&ValueSpan> = plan.values.iter().filter(is_now).collect();
        if request.body != Body::Whole || spans.is_empty() {
            return request;
        }
        let s = &self.sessions[session];
        let mut body = Vec::with_capacity(request.len);
        s.inbound.copy_to(&self.blocks, HEADER_BYTES + 1, request.len - HEADER_BYTES - 1, &mut body);
        let text_at = match request.command {
            Command::Query => query_text(&body, s.caps).map_or(0, |parts| parts.text.start),
            _ => 0,
        };
        let mut payload = vec![request.command as u8];
        payload.extend_from_slice(&body[..text_at]);
        let numbers = Numbers { id: s.id, row_count: s.previous.row_count, flavour: self.server_flavour() };
        put_text(&mut payload, &body[text_at..], &spans, &numbers);
        if payload.len() >= PAYLOAD_MAX {
            return request;
        }
        request.len = self.put_in_front(session, request.len, &payload);
        if spans.iter().any(|span| span.value == SessionValue::RowCount) {
            let asks = plan.asks.without(Asks::ROW_COUNT);
            request.plan = Some(Rc::new(Plan { asks, ..plan.clone() }));
        }
        request
    }

    /// Puts a command in the place of the client's first `len` bytes. Returns its own bytes.
    pub(crate) fn put_in_front(&mut self, session: Key<Session>, len: usize, payload: &[u8]) -> usize {
        let mut bytes = Vec::with_capacity(payload.len() + HEADER_BYTES);
        packet::put(&mut bytes, 0, payload);
        let s = &mut self.sessions[session];
        s.inbound.consume(&mut self.blocks, len);
        let mut front = Queue::default();
        front.push_bytes(&mut self.blocks, &bytes);
        let behind = s.inbound.len();
        s.inbound.move_to(&mut self.blocks, behind, &mut front);
        s.inbound = front;
        bytes.len()
    }
}

fn put_text(out: &mut Vec<u8>, text: &[u8], spans: &[&ValueSpan], numbers: &Numbers) {
    let Numbers { id, row_count, .. } = *numbers;
    let mut at = 0;
    for span in spans {
        let (start, end) = (span.start as usize, span.end as usize);
        out.extend_from_slice(&text[at..start]);
        // Not the bare number: `ORDER BY 5` would mean the fifth column, and its type is another.
        // A variable may be NULL by its type, which a subquery may be too.
        let text_here = match (span.value, text[start]) {
            // Its `CAST` makes an integer as long as the number is.
            (SessionValue::RowCount, _) if numbers.flavour == Flavour::MariaDb && span.names_column => {
                format!("COALESCE({row_count}, FOUND_ROWS())")
            }
            (SessionValue::RowCount, _) => format!("CAST({row_count} AS SIGNED)"),
            (SessionValue::ConnectionId, b'@') => format!("(SELECT CAST({id} AS UNSIGNED))"),
            (SessionValue::ConnectionId, _) => format!("CAST({id} AS UNSIGNED)"),
        };
        out.extend_from_slice(text_here.as_bytes());
        if span.names_column {
            out.extend_from_slice(b" AS `");
            for byte in &text[start..end] {
                out.extend_from_slice(if *byte == b'`' { b"``" } else { std::slice::from_ref(byte) });
            }
            out.push(b'`');
        }
        at = end;
    }
    out.extend_from_slice(&text[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_planner::Facts;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut out = Vec::new();
        let numbers = Numbers { id: 7, row_count: -1, flavour: Flavour::Mysql };
        let plan = weir_planner::plan(text.as_bytes(), &Facts::default());
        put_text(&mut out, text.as_bytes(), &plan.values.iter().collect::<Vec<_>>(), &numbers);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn the_call_alone_is_replaced_and_columns_keep_their_names() {
        check("SELECT 1, CONNECTION_ID( ) FROM t", "SELECT 1, CAST(7 AS UNSIGNED) AS `CONNECTION_ID( )` FROM t");
        check("SELECT connection_id() AS a, 'CONNECTION_ID()'", "SELECT CAST(7 AS UNSIGNED) AS a, 'CONNECTION_ID()'");
        check("INSERT INTO t VALUES (CONNECTION_ID(), 2)", "INSERT INTO t VALUES (CAST(7 AS UNSIGNED), 2)");
        check("SELECT a FROM t ORDER BY CONNECTION_ID(), b", "SELECT a FROM t ORDER BY CAST(7 AS UNSIGNED), b");
        check("SET @n = ROW_COUNT(), @m=row_count ( )", "SET @n = CAST(-1 AS SIGNED), @m=CAST(-1 AS SIGNED)");
        check("SELECT 1, row_count()", "SELECT 1, CAST(-1 AS SIGNED) AS `row_count()`");
        check("SELECT row_count(), 1 + row_count()", "SELECT row_count(), 1 + row_count()");
        check("DO ROW_COUNT(); SET @n = ROW_COUNT()", "DO CAST(-1 AS SIGNED); SET @n = ROW_COUNT()");
        check("SELECT `x` FROM t", "SELECT `x` FROM t");
    }
}
