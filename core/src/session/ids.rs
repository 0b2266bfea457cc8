//! `CONNECTION_ID()` inside a statement: the session's own id takes the place of the call (S30).
//!
//! The backend's id of a shared connection is nothing that a client may see or keep. This is the one place where a
//! statement's text is not what the client sent: the bytes of the call, and nothing else, become the number that the call
//! means, with the type that it has; where the call names a column, it goes on doing so.
//! Left as they are: statements about the server's own lists and locks, where backends' ids are meant, and definitions.

use crate::engine::Engine;
use crate::queue::Queue;
use crate::session::{Body, Request, Session};
use crate::slots::Key;
use weir_net::command::{Command, query_text};
use weir_net::packet::{self, HEADER_BYTES, PAYLOAD_MAX};
use weir_planner::Plan;

impl Engine {
    /// The request with the session's id in its text, at the front of the client's bytes.
    pub(crate) fn with_ids(&mut self, session: Key<Session>, mut request: Box<Request>, plan: &Plan) -> Box<Request> {
        if plan.ids.is_empty() || request.body != Body::Whole {
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
        put_text(&mut payload, &body[text_at..], plan, s.id);
        if payload.len() >= PAYLOAD_MAX {
            return request;
        }
        let mut bytes = Vec::with_capacity(payload.len() + HEADER_BYTES);
        packet::put(&mut bytes, 0, &payload);
        let len = bytes.len();
        let s = &mut self.sessions[session];
        s.inbound.consume(&mut self.blocks, request.len);
        let mut front = Queue::default();
        front.push_bytes(&mut self.blocks, &bytes);
        let behind = s.inbound.len();
        s.inbound.move_to(&mut self.blocks, behind, &mut front);
        s.inbound = front;
        request.len = len;
        request
    }
}

fn put_text(out: &mut Vec<u8>, text: &[u8], plan: &Plan, id: u32) {
    let mut at = 0;
    for span in &plan.ids {
        let (start, end) = (span.start as usize, span.end as usize);
        out.extend_from_slice(&text[at..start]);
        // Not the bare number: `ORDER BY 5` would mean the fifth column, and its type is another.
        // A variable may be NULL by its type, which a subquery may be too.
        let text_here = match text[start] {
            b'@' => format!("(SELECT CAST({id} AS UNSIGNED))"),
            _ => format!("CAST({id} AS UNSIGNED)"),
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
        put_text(&mut out, text.as_bytes(), &weir_planner::plan(text.as_bytes(), &Facts::default()), 7);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn the_call_alone_is_replaced_and_columns_keep_their_names() {
        check("SELECT 1, CONNECTION_ID( ) FROM t", "SELECT 1, CAST(7 AS UNSIGNED) AS `CONNECTION_ID( )` FROM t");
        check("SELECT connection_id() AS a, 'CONNECTION_ID()'", "SELECT CAST(7 AS UNSIGNED) AS a, 'CONNECTION_ID()'");
        check("INSERT INTO t VALUES (CONNECTION_ID(), 2)", "INSERT INTO t VALUES (CAST(7 AS UNSIGNED), 2)");
        check("SELECT a FROM t ORDER BY CONNECTION_ID(), b", "SELECT a FROM t ORDER BY CAST(7 AS UNSIGNED), b");
        check("SELECT `x` FROM t", "SELECT `x` FROM t");
    }
}
