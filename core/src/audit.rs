//! What the audit log is told of: who came and went, who was refused, who changed what. Values; the files are control's.
//!
//! Invariant: no event holds a text of a statement, a literal or a password: kinds, names and numbers alone.

use crate::session::Peer;

/// As set by operators. Without events nothing is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditSettings {
    pub events: AuditKinds,
    /// No login while the log cannot be written.
    pub refuses: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditKind {
    Login,
    LoginFailed,
    Logout,
    /// The gate's own variables were set for all.
    Admin,
    Kill,
    /// Refused by table permissions, or by who may administrate.
    Denied,
    /// A statement that changes what there is, and commits by itself: `CREATE`, `ALTER`, `DROP`, `GRANT` and the like.
    Ddl,
}

impl AuditKind {
    pub const ALL: [AuditKind; 7] = [
        AuditKind::Login,
        AuditKind::LoginFailed,
        AuditKind::Logout,
        AuditKind::Admin,
        AuditKind::Kill,
        AuditKind::Denied,
        AuditKind::Ddl,
    ];

    pub fn word(self) -> &'static str {
        match self {
            AuditKind::Login => "login",
            AuditKind::LoginFailed => "login_failed",
            AuditKind::Logout => "logout",
            AuditKind::Admin => "admin",
            AuditKind::Kill => "kill",
            AuditKind::Denied => "denied",
            AuditKind::Ddl => "ddl",
        }
    }

    pub fn of_word(word: &str) -> Option<AuditKind> {
        AuditKind::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditKinds(u8);

impl AuditKinds {
    pub fn has(self, kind: AuditKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    pub fn add(&mut self, kind: AuditKind) {
        self.0 |= 1 << kind as u8;
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn each(self) -> impl Iterator<Item = AuditKind> {
        AuditKind::ALL.into_iter().filter(move |kind| self.has(*kind))
    }
}

/// One of them, as a core saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    pub kind: AuditKind,
    pub core: u16,
    pub connection_id: u32,
    pub user: String,
    /// By the PROXY header's word, where there was one.
    pub peer: Peer,
    pub tls: bool,
    pub schema: String,
    /// The number of the error that ended it; None: it was done.
    pub error: Option<u16>,
    /// What a kind says beside: the killed id, the variable, the sort of statement.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_and_kept_apart() {
        for kind in AuditKind::ALL {
            let mut set = AuditKinds::default();
            assert!(set.is_empty());
            set.add(AuditKind::of_word(kind.word()).unwrap());
            assert_eq!(set.each().collect::<Vec<_>>(), [kind]);
        }
        assert_eq!(AuditKind::of_word("Login"), None);
    }
}
