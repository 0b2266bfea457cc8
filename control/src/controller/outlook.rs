//! The outlook: what one gate sees of the primary by itself, by its clients' traffic and by nobody's word.
//!
//! Invariant: times are ages at the moment when it was told, so that no two clocks are compared. A gate whose clients write
//! nothing sees nothing, and says so by having none.

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The member that it takes for the primary.
    pub primary: String,
    pub reach: Reach,
    /// For how long it has been so; of `ReadOnly`, how long ago it was last said.
    pub since_ms: u32,
    /// How long ago a write was acknowledged there; None: never, since this one is primary.
    pub answered_ms: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Writes are acknowledged.
    #[default]
    Answers,
    /// It is there, and refuses connections.
    Refuses,
    /// It is there, and refuses writes: somebody has made it read-only.
    ReadOnly,
    /// Connections cannot be opened.
    Silent,
}

impl Reach {
    pub fn name(self) -> &'static str {
        match self {
            Reach::Answers => "answers",
            Reach::Refuses => "refuses",
            Reach::ReadOnly => "read_only",
            Reach::Silent => "silent",
        }
    }
}

impl Outlook {
    /// As it is so much later, if nothing else was heard.
    pub fn aged(&self, ms: u32) -> Outlook {
        let answered_ms = self.answered_ms.map(|age| age.saturating_add(ms));
        Outlook { since_ms: self.since_ms.saturating_add(ms), answered_ms, ..self.clone() }
    }
}
