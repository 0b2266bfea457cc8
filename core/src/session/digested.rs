//! Digests where commands pass: a number for each plan's text, a count when a statement ends.
//!
//! Counted are `COM_QUERY` and `COM_STMT_EXECUTE` that a backend answered, or that the gate refused. `EXECUTE name` counts as the text that
//! was prepared by that name, as `COM_STMT_EXECUTE` does, where the gate knows it. Off, it costs one branch when a text is planned and one
//! when a statement ends.

use crate::digest::{Ended, TEXT_BYTES_MAX};
use crate::engine::Engine;
use crate::link::Link;
use crate::session::{Request, Session};
use crate::slots::Key;
use crate::snapshot::Role;
use crate::tally::forms::form_of;
use weir_net::command::Command;
use weir_planner::{Facts, Plan};

impl Engine {
    /// Gives a plan the number of its text, once, and what [`Engine::note_form`] gives it, since the digest is made.
    #[inline]
    pub(crate) fn number_digest(digests: &mut crate::digest::Digests, plan: &Plan, text: &[u8], facts: &Facts) {
        if plan.memo.digest.get() == 0 && plan.local.is_none() {
            let digest = weir_planner::digest(text, facts, TEXT_BYTES_MAX);
            plan.memo.form.set(form_of(&digest));
            plan.memo.digest.set(digests.number(digest));
        }
    }

    /// Gives a plan the hash of its digest by which all cores know it, once.
    pub(crate) fn note_form(plan: &Plan, text: &[u8], facts: &Facts) {
        if plan.memo.form.get() == 0 && plan.local.is_none() {
            plan.memo.form.set(form_of(&weir_planner::digest(text, facts, TEXT_BYTES_MAX)));
        }
    }

    /// Its reply has come to its end.
    #[inline]
    pub(crate) fn digest_relayed(&mut self, session: Key<Session>, link: Key<Link>, request: &Request) {
        if !self.snapshot.settings.digests {
            return;
        }
        let before_us = request.sent_at.since_ns(request.since) / 1_000;
        let wait_us = request.waited_ns / 1_000;
        let outcome = &request.outcome;
        let ended = Ended {
            is_error: outcome.error.is_some(),
            on_replica: self.snapshot.backend(self.links[link].backend).role == Role::Replica,
            rows_sent: outcome.all_rows,
            rows_affected: outcome.affected_rows,
            bytes: self.links[link].forwarded,
            gate_us: Some(before_us.saturating_sub(wait_us)),
            wait_us: Some(wait_us),
            backend_us: Some(self.now.since_ns(request.sent_at) / 1_000),
        };
        self.count_digest(self.sessions[session].schema, request, &ended);
    }

    /// The gate has refused it, or its session ends without an end of its reply.
    pub(crate) fn digest_failed(&mut self, schema: crate::state::SchemaId, request: &Request) {
        if self.snapshot.settings.digests {
            let gate_us = Some(self.now.since_ns(request.since) / 1_000);
            self.count_digest(schema, request, &Ended { is_error: true, gate_us, ..Ended::default() });
        }
    }

    fn count_digest(&mut self, schema: crate::state::SchemaId, request: &Request, ended: &Ended) {
        let number = request.plan.as_ref().map_or(0, |plan| plan.memo.digest.get());
        if number != 0 && matches!(request.command, Command::Query | Command::StmtExecute) {
            self.digests.count(self.now, number, schema, ended);
        }
    }
}
