//! The hint comment `/*vt+ ROLE=PRIMARY|REPLICA READ_AFTER_WRITE_CONSISTENCY=… */` (S08).
//!
//! Words that are not known are passed over: the same comment may speak to other proxies.

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hint {
    pub target: Option<Target>,
    pub consistency: Option<Consistency>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    Primary,
    Replica,
}

/// How fresh a read must be (S60).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Consistency {
    Eventual,
    Session,
    Instance,
    Global,
}

impl Target {
    pub fn of_name(name: &[u8]) -> Option<Target> {
        match name {
            _ if name.eq_ignore_ascii_case(b"primary") => Some(Target::Primary),
            _ if name.eq_ignore_ascii_case(b"replica") => Some(Target::Replica),
            _ => None,
        }
    }
}

impl Consistency {
    pub fn of_name(name: &[u8]) -> Option<Consistency> {
        match name {
            _ if name.eq_ignore_ascii_case(b"eventual") => Some(Consistency::Eventual),
            _ if name.eq_ignore_ascii_case(b"session") => Some(Consistency::Session),
            _ if name.eq_ignore_ascii_case(b"instance") => Some(Consistency::Instance),
            _ if name.eq_ignore_ascii_case(b"global") => Some(Consistency::Global),
            _ => None,
        }
    }
}

impl Hint {
    /// Reads the inside of a comment, behind `/*vt+`. None: it says nothing that is understood.
    pub(crate) fn decode(inside: &[u8]) -> Option<Hint> {
        let mut hint = Hint::default();
        for word in inside.split(|b| b.is_ascii_whitespace() || *b == b',') {
            let mut parts = word.splitn(2, |b| *b == b'=');
            let (Some(key), Some(value)) = (parts.next(), parts.next()) else { continue };
            if key.eq_ignore_ascii_case(b"role") {
                hint.target = hint.target.or(Target::of_name(value));
            } else if key.eq_ignore_ascii_case(b"read_after_write_consistency") {
                hint.consistency = hint.consistency.or(Consistency::of_name(value));
            }
        }
        (hint != Hint::default()).then_some(hint)
    }

    /// What an earlier comment said stands.
    pub(crate) fn or(self, later: Hint) -> Hint {
        Hint { target: self.target.or(later.target), consistency: self.consistency.or(later.consistency) }
    }
}
