//! A case: one random session as the lines of a corpus script.
//!
//! Invariant: `text` is a script that `script::read` takes and that runs as the case does.

use crate::real::script::{self, Session};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What `caps:` says; empty: the usual.
    pub capabilities: String,
    /// Statements on the primary before it begins.
    pub roots: Vec<String>,
    /// `a: SELECT 1`.
    pub steps: Vec<String>,
}

impl Case {
    /// The case as the corpus has it.
    pub fn text(&self) -> String {
        let mut lines = vec!["=== found S32".to_owned()];
        if !self.capabilities.is_empty() {
            lines.push(format!("caps: {}", self.capabilities));
        }
        lines.push("needs: 2".to_owned());
        lines.extend(self.roots.iter().map(|root| format!("root: {root}")));
        lines.extend(self.steps.iter().cloned());
        lines.join("\n") + "\n"
    }

    /// As it is run; a mistake in it is one of the grammar's.
    pub fn session(&self) -> Result<Session, String> {
        let mut sessions = script::read("random", &self.text())?;
        sessions.pop().ok_or_else(|| "a case without steps".to_owned())
    }
}
