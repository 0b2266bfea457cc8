//! `SHOW WEIR …` where a session asks: what control gathers is waited for, the backends are in the core's snapshot.
//!
//! Invariant: who waits is in `setters` under its token, and is answered once; one that left meanwhile is not missed.

use crate::engine::{Action, Engine};
use crate::mail::ControlMail;
use crate::session::admin::Deed;
use crate::session::local::{Shape, Table};
use crate::session::refuse::Refusal;
use crate::session::{Phase, Request, Session};
use crate::show::{Show, Shown, What, backends, filters};
use crate::slots::Key;

impl Engine {
    pub(crate) fn show_weir(&mut self, session: Key<Session>, request: Box<Request>, words: &str) {
        match Show::parse(words) {
            Err(why) => self.refuse(session, request, &Refusal::BadShow(why)),
            Ok(show) if show.what == What::Backends => {
                let answer = show.finish(backends::table(&self.snapshot.backends));
                self.answer_shown(session, request, answer);
            }
            Ok(show) if show.what == What::Filters => {
                let answer = show.finish(filters::table(self.snapshot.filters.as_ref()));
                self.answer_shown(session, request, answer);
            }
            Ok(show) => match self.confine(session, show) {
                Ok(show) => self.ask_for_table(session, request, show),
                Err(why) => self.refuse(session, request, &why),
            },
        }
    }

    /// `FLUSH WEIR DIGESTS`: all cores forget, then the client is answered.
    pub(crate) fn flush_digests(&mut self, session: Key<Session>, request: Box<Request>) {
        match self.check_admin(session, Deed::Flush, "FLUSH WEIR DIGESTS") {
            Ok(()) => self.ask_for_table(session, request, Show::of(What::FlushDigests)),
            Err(why) => self.refuse(session, request, &why),
        }
    }

    fn ask_for_table(&mut self, session: Key<Session>, request: Box<Request>, show: Show) {
        self.settings_next += 1;
        let token = self.settings_next;
        self.actions.push_back(Action::Tell(ControlMail::Show { token, show: Box::new(show) }));
        self.setters.insert(token, session);
        self.sessions[session].phase = Phase::Showing(request);
    }

    /// Control's answer.
    pub(crate) fn shown(&mut self, token: u64, answer: Result<Shown, String>) {
        let Some(session) = self.setters.remove(&token) else { return };
        let Some(s) = self.sessions.get_mut(session) else { return };
        match std::mem::replace(&mut s.phase, Phase::Ready) {
            Phase::Showing(request) => self.answer_shown(session, request, answer),
            other => s.phase = other,
        }
    }

    fn answer_shown(&mut self, session: Key<Session>, request: Box<Request>, answer: Result<Shown, String>) {
        let Shown { columns, rows, note } = match answer {
            Ok(shown) if shown.columns.is_empty() => return self.answer_statement(session, request),
            Ok(shown) => shown,
            Err(why) => return self.refuse(session, request, &Refusal::BadShow(why)),
        };
        let columns = columns.iter().map(|name| (name.as_bytes().to_vec(), Shape::Text)).collect();
        let cells = |row: Vec<String>| row.into_iter().map(|cell| Some(cell.into_bytes())).collect();
        let rows = rows.into_iter().map(cells).collect();
        self.answer_table(session, request, Table { columns, rows, warnings: u16::from(note.is_some()) });
        if let Some(s) = self.sessions.get_mut(session) {
            s.previous.note = note.map(Into::into);
        }
    }
}
