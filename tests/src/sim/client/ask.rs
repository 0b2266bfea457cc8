//! One command of a client: its bytes, what the answer must be, and what it means for the session.

use weir_core::snapshot::Consistency;
use weir_net::command::Command;
use weir_net::flags::Capabilities;
use weir_net::writer::Put;

use crate::sim::client::mind::Effect;
use crate::sim::client::reply::{Outcome, Shape};
use crate::sim::oracle::Tag;
use crate::sim::oracle::horizon::Promise;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    Is(Option<String>),
    Among(Vec<Option<String>>),
    /// A number not below this one.
    AtLeast(i64),
    Anything,
}

/// What one result must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    Ok {
        affected: Option<u64>,
        tagged: bool,
    },
    Rows(Vec<Vec<Want>>),
    /// Rows or none.
    MaybeRow(Vec<Want>),
    /// The server's error of this number.
    Fault(u16),
    Prepared {
        columns: u16,
        params: u16,
    },
    Words,
    /// Rows of a cursor: nothing yet.
    CursorOpened,
    /// The columns of a table.
    Definitions,
}

#[derive(Clone, Debug)]
pub struct Ask {
    /// The command with its byte, without header.
    pub payload: Vec<u8>,
    /// Commands without a reply that go right before it.
    pub before: Vec<Vec<u8>>,
    pub shape: Shape,
    pub tag: Option<Tag>,
    pub checks: Vec<Check>,
    pub effect: Effect,
    /// A plain read: outside a transaction it may run twice.
    pub is_read: bool,
    /// It looks at a table, so that it begins a transaction without autocommit.
    pub touches: bool,
    /// It may wait for a row that somebody else has locked.
    pub may_wait: bool,
    /// The row that it puts into the ledger.
    pub ledger: Option<i64>,
    /// Nothing hangs on whether it ran.
    pub is_harmless: bool,
    /// What the gate may say instead, truthfully: it no longer knows about the previous statement.
    pub may_be_gone: bool,
    /// Number of a transaction that it begins or may begin.
    pub number: u64,
    /// Columns of the rows that a fetch brings.
    pub columns: usize,
    /// Its end is a commit.
    pub commits: bool,
    /// The number in its row's second cell is what `Mind::remembered` becomes.
    pub remembers: bool,
    /// The level that its own hint asks for.
    pub wish: Option<Consistency>,
    /// What it must show, known when it is sent.
    pub promise: Promise,
    /// Its row's second cell says how much of the log it shows.
    pub is_horizon: bool,
}

impl Ask {
    pub fn new(command: Command, shape: Shape) -> Ask {
        Ask {
            payload: vec![command.to_byte()],
            before: Vec::new(),
            shape,
            tag: None,
            checks: vec![Check::Ok { affected: None, tagged: false }],
            effect: Effect::None,
            is_read: false,
            touches: false,
            may_wait: false,
            ledger: None,
            is_harmless: false,
            may_be_gone: false,
            number: 0,
            columns: 0,
            commits: false,
            remembers: false,
            wish: None,
            promise: Promise::default(),
            is_horizon: false,
        }
    }

    /// `COM_QUERY`, with an attribute now and then where the connection has them.
    pub fn query(tag: Tag, caps: Capabilities, text: &str) -> Ask {
        let mut ask = Ask::new(Command::Query, Shape::Text);
        if caps.contains(Capabilities::QUERY_ATTRIBUTES) {
            if tag.n.is_multiple_of(3) {
                ask.payload.put_bytes(&[1, 1, 0, 1, 253, 0]);
                ask.payload.put_lenenc_bytes(b"traceparent");
                ask.payload.put_lenenc_bytes(b"00-abc");
            } else {
                ask.payload.put_bytes(&[0, 1]);
            }
        }
        ask.payload.put_bytes(text.as_bytes());
        ask.tag = Some(tag);
        ask.checks = vec![Check::Ok { affected: None, tagged: true }];
        ask
    }

    /// A text of which no server hears.
    pub fn untagged(caps: Capabilities, text: &str) -> Ask {
        let mut ask = Ask::new(Command::Query, Shape::Text);
        if caps.contains(Capabilities::QUERY_ATTRIBUTES) {
            ask.payload.put_bytes(&[0, 1]);
        }
        ask.payload.put_bytes(text.as_bytes());
        ask
    }

    /// A read whose only row is this.
    pub fn rows(mut self, rows: Vec<Vec<Want>>) -> Ask {
        self.checks = vec![Check::Rows(rows)];
        self.is_harmless = true;
        self
    }

    pub fn read(mut self) -> Ask {
        self.is_read = true;
        self.is_harmless = true;
        self
    }

    pub fn touches(mut self) -> Ask {
        self.touches = true;
        self
    }

    pub fn effect(mut self, effect: Effect) -> Ask {
        self.effect = effect;
        self.is_harmless = false;
        self
    }

    pub fn check(mut self, check: Check) -> Ask {
        self.checks = vec![check];
        self
    }

    pub fn may_wait(mut self) -> Ask {
        self.may_wait = true;
        self
    }
}

/// A cell that must be exactly this.
pub fn is(text: impl ToString) -> Want {
    Want::Is(Some(text.to_string()))
}

impl Want {
    fn holds(&self, cell: &Option<String>) -> bool {
        match self {
            Want::Is(wanted) => cell == wanted,
            Want::Among(all) => all.contains(cell),
            Want::AtLeast(low) => cell.as_ref().and_then(|text| text.parse::<i64>().ok()).is_some_and(|n| n >= *low),
            Want::Anything => true,
        }
    }
}

/// Holds results against what they must be. None: all is right.
pub fn wrong(ask: &Ask, outcomes: &[Outcome]) -> Option<String> {
    if outcomes.len() != ask.checks.len() {
        return Some(format!("{} results instead of {}", outcomes.len(), ask.checks.len()));
    }
    ask.checks.iter().zip(outcomes).find_map(|(check, outcome)| wrong_one(ask, check, outcome))
}

fn wrong_one(ask: &Ask, check: &Check, outcome: &Outcome) -> Option<String> {
    let fits = |wants: &[Want], row: &[Option<String>]| {
        wants.len() == row.len() && wants.iter().zip(row).all(|(want, cell)| want.holds(cell))
    };
    let right = match (check, outcome) {
        (Check::Ok { affected, tagged }, Outcome::Ok(end)) => {
            // One whose answer was lost is answered by the gate, in no server's words.
            let is_gates = matches!(ask.effect, Effect::Commit) && end.info.is_empty();
            affected.is_none_or(|affected| affected == end.affected)
                && (!tagged || is_gates || Tag::find(&end.info) == ask.tag)
        }
        (Check::Rows(wanted), Outcome::Rows { rows, .. }) => {
            wanted.len() == rows.len() && wanted.iter().zip(rows).all(|(wants, row)| fits(wants, row))
        }
        (Check::MaybeRow(wants), Outcome::Rows { rows, .. }) => {
            rows.len() <= 1 && rows.iter().all(|row| fits(wants, row))
        }
        (Check::Fault(code), Outcome::Err { code: seen, .. }) => code == seen,
        (Check::Prepared { columns, params }, Outcome::Prepared { columns: c, params: p, .. }) => {
            (columns, params) == (c, p)
        }
        (Check::CursorOpened, Outcome::Rows { rows, .. }) => rows.is_empty(),
        (Check::Definitions, Outcome::Rows { .. }) | (Check::Words, Outcome::Words(_)) => true,
        _ => false,
    };
    (!right).then(|| format!("should be {check:?} and is {outcome:?}"))
}
