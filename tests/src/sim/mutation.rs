//! Deliberate mistakes of the world: each must be caught, or an oracle is blind.

use weir_core::snapshot::Consistency;

/// One mistake, made now and then during a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// A reply goes to another client.
    WrongClient,
    /// An acknowledged write is not there.
    LostWrite,
    /// A write is applied twice.
    DoubleWrite,
    /// A statement runs twice.
    SecondRun,
    /// A `SET` holds on another connection too.
    LeakedState,
    /// What a dead connection had begun is committed.
    KeptTransaction,
    /// A commit applies some of its changes.
    TornTransaction,
    /// A statement of a transaction runs on another connection.
    SplitTransaction,
    /// A read does not see what its session wrote.
    StaleRead,
    /// A packet has the wrong sequence number.
    WrongSequence,
    /// Two replies change places.
    SwappedReplies,
    /// A statement is never answered.
    NoAnswer,
    /// The transaction flag lies.
    WrongStatus,
    /// A row is missing.
    LostRow,
    /// The driver keeps a block.
    LostBlock,
    /// The driver sends bytes of one client's outbox to another.
    WrongOutbox,
    /// More connections than the budget are opened.
    OverBudget,
    /// The driver never says that a wire is closed.
    LostClose,
    /// A tracker names a value that the session does not have.
    WrongTracker,
    /// A write runs on a replica.
    WriteOnReplica,
    /// Bytes of a running send change.
    MovedBytes,
    /// Nobody asks for a send of bytes that wait.
    ForgottenSend,
    /// A transaction that is not there is said to be committed.
    WrongFinding,
    /// Who wishes SESSION gets EVENTUAL.
    SessionAsEventual,
    /// Who wishes INSTANCE gets SESSION.
    InstanceAsSession,
    /// Who wishes GLOBAL gets INSTANCE.
    GlobalAsInstance,
    /// Each core has a board of its own: what clients of another core wrote is not known.
    SplitBoard,
    /// The primary's word on what it has executed is what the control thread knows already.
    KnownIndex,
    /// The primary's word on what it has executed is older than the question.
    EarlyIndex,
    /// A replica is said to have executed one transaction more than it has.
    ReplicaAhead,
    /// A fenced primary says that it takes writes.
    HiddenFence,
    /// A kill ends a connection that somebody has.
    WrongThread,
    /// A server says OK to kills, and ends nothing.
    DeafToKills,
}

impl Mutation {
    /// The level that a wish becomes on its way.
    pub fn altered(self, level: Consistency) -> Consistency {
        match (self, level) {
            (Mutation::SessionAsEventual, Consistency::Session) => Consistency::Eventual,
            (Mutation::InstanceAsSession, Consistency::Instance) => Consistency::Session,
            (Mutation::GlobalAsInstance, Consistency::Global) => Consistency::Instance,
            (_, level) => level,
        }
    }
}
