//! `Session`: one client that writes registers and reads them, and has each read judged.
//!
//! ```text
//! Idle ─► Reading ──────────────────────────► Idle
//!   └───► Writing (statement by statement) ─► Idle        an error in a transaction: RollingBack ─► Idle
//! ```
//! Invariant: bounds are taken before a statement is sent and raised after its answer has come. A session that had to
//! connect again is a new one: it has written and seen nothing.

use std::io;
use std::net::TcpStream;
use std::time::Instant;

use super::judge::{Bounds, judge};
use super::ledger::{Claim, Ledger};
use super::register::{PREPARED_READ, Register};
use super::tally::Tally;
use crate::client::{Account, Client};
use crate::error::Fault;
use crate::limits::READ_BYTES;
use crate::load::Dice;
use crate::talk::{Answer, Row, Talker};

/// Who a session is.
#[derive(Clone, Debug)]
pub struct Member {
    /// Whose registers are its own.
    pub number: usize,
    /// The number of its gate; `None` writes on the primary itself.
    pub gate: Option<usize>,
    pub account: Account,
    /// What it says before anything else, such as its level.
    pub preamble: Vec<String>,
    /// Of a hundred of its turns.
    pub writes_percent: u32,
}

#[derive(Debug)]
pub struct Session {
    member: Member,
    talker: Talker,
    /// Its prepared read, and whether the type of its parameter was sent.
    statement: u32,
    has_executed: bool,
    state: State,
    /// By register: the floor of its own writes, and the highest version that it saw.
    own: Vec<u64>,
    seen: Vec<u64>,
    /// What it wrote last, or saw to be new, and how many reads of just that are still to come.
    follow: (usize, u8),
    dice: Dice,
}

#[derive(Debug)]
enum State {
    Idle,
    Reading(Read),
    Writing { claim: Claim, left: std::vec::IntoIter<String> },
    RollingBack,
}

#[derive(Debug)]
struct Read {
    index: usize,
    bounds: Bounds,
    since: Instant,
    way: &'static str,
}

impl Session {
    pub fn open(member: Member, registers: usize) -> Result<Self, Fault> {
        let mut client = Client::connect(&member.account)?;
        for statement in &member.preamble {
            client.query(statement)?;
        }
        let statement = client.prepare(PREPARED_READ)?.statement_id;
        let dice = Dice::new((member.number as u64 + 1) * 7919 + u64::from(client.connection_id()));
        let talker = Talker::new(client).map_err(|error| Fault::io("preparing a session", error))?;
        Ok(Self {
            member,
            talker,
            statement,
            has_executed: false,
            state: State::Idle,
            own: vec![0; registers],
            seen: vec![0; registers],
            follow: (0, 0),
            dice,
        })
    }

    /// The same member with a new connection.
    pub fn reopen(&self) -> Result<Self, Fault> {
        Self::open(self.member.clone(), self.own.len())
    }

    pub fn stream(&self) -> &TcpStream {
        self.talker.stream()
    }

    pub fn is_direct(&self) -> bool {
        self.member.gate.is_none()
    }

    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Begins its next turn: a write, or a read.
    pub fn begin(&mut self, ledger: &Ledger) -> io::Result<()> {
        match self.dice.up_to(100) <= self.member.writes_percent {
            true => self.begin_write(ledger),
            false => self.begin_read(ledger),
        }
    }

    /// Reads what came and does what follows. The turn has ended when it is idle.
    pub fn handle(&mut self, room: &mut [u8; READ_BYTES], ledger: &Ledger, tally: &mut Tally) -> io::Result<()> {
        let Some(answer) = self.talker.listen(room)? else {
            return Ok(());
        };
        match (std::mem::replace(&mut self.state, State::Idle), answer) {
            (State::Reading(read), Answer::Rows(rows)) => self.judge_read(&read, &rows, ledger, tally),
            (State::Writing { claim, left }, Answer::Done) => return self.go_on(claim, left, ledger, tally),
            (State::RollingBack, _) => {}
            (State::Writing { claim, .. }, Answer::Refused { code, message }) => {
                self.count_error(tally, "write", claim.index, ledger, &format!("{message} ({code})"));
                if let Register::Pair(_) = ledger.layout().register(claim.index) {
                    self.state = State::RollingBack;
                    return self.talker.ask("ROLLBACK");
                }
            }
            (State::Reading(read), Answer::Refused { code, message }) => {
                self.count_error(tally, "read", read.index, ledger, &format!("{message} ({code})"));
            }
            (state, answer) => return Err(io::Error::other(format!("{state:?} was answered {answer:?}"))),
        }
        Ok(())
    }

    fn begin_write(&mut self, ledger: &Ledger) -> io::Result<()> {
        let (layout, number) = (ledger.layout(), self.member.number);
        let register = match self.dice.up_to(100) {
            ..=40 => Register::Own(number),
            41..=60 => Register::Log(number),
            61..=85 => Register::Shared(self.dice.up_to(layout.shared as u32) as usize - 1),
            _ => Register::Pair(self.dice.up_to(layout.pairs as u32) as usize - 1),
        };
        let claim = ledger.begin(layout.index(register));
        let mut left = register.write(claim.floor).into_iter();
        if let Some(first) = left.next() {
            self.talker.ask(&first)?;
        }
        self.state = State::Writing { claim, left };
        Ok(())
    }

    /// The next statement of a write, or its end.
    fn go_on(
        &mut self,
        claim: Claim,
        mut left: std::vec::IntoIter<String>,
        ledger: &Ledger,
        tally: &mut Tally,
    ) -> io::Result<()> {
        tally.statements += u64::from(!self.is_direct());
        if let Some(next) = left.next() {
            self.state = State::Writing { claim, left };
            return self.talker.ask(&next);
        }
        ledger.acknowledge(claim, self.member.gate);
        let own = &mut self.own[claim.index];
        *own = claim.floor.max(*own);
        self.follow = (claim.index, FOLLOWING_READS);
        match self.is_direct() {
            true => tally.writes_direct += 1,
            false => tally.writes += 1,
        }
        Ok(())
    }

    fn begin_read(&mut self, ledger: &Ledger) -> io::Result<()> {
        let index = self.choose(ledger);
        let register = ledger.layout().register(index);
        let is_single = matches!(register, Register::Own(_) | Register::Shared(_));
        let prepared = is_single && self.dice.up_to(4) == 1;
        let floors = ledger.floors(index, self.member.gate);
        let bounds = Bounds {
            own: self.own[index],
            seen: self.seen[index],
            gate: floors.gate,
            any: floors.any,
            seen_any: floors.seen,
            begun: 0,
        };
        let since = Instant::now();
        if prepared {
            let is_first = !std::mem::replace(&mut self.has_executed, true);
            self.talker.execute(self.statement, u64::from(register.id()), is_first)?;
        } else {
            self.talker.ask(&register.read())?;
        }
        let way = if prepared { "prepared" } else { "text" };
        self.state = State::Reading(Read { index, bounds, since, way });
        Ok(())
    }

    /// What it wrote itself or saw to be new, what anybody wrote last, or anything.
    fn choose(&mut self, ledger: &Ledger) -> usize {
        let (layout, number) = (ledger.layout(), self.member.number);
        if self.follow.1 > 0 {
            self.follow.1 -= 1;
            return self.follow.0;
        }
        match self.dice.up_to(100) {
            ..=30 => ledger.latest(),
            31..=40 => layout.index(Register::Own(number)),
            41..=50 => layout.index(Register::Log(number)),
            _ => self.dice.up_to(layout.count() as u32) as usize - 1,
        }
    }

    fn judge_read(&mut self, read: &Read, rows: &[Row], ledger: &Ledger, tally: &mut Tally) {
        let bounds = Bounds { begun: ledger.begun(read.index), ..read.bounds };
        let register = ledger.layout().register(read.index);
        let Some(judgement) = judge(register, rows, &bounds) else {
            return self.count_error(tally, "read", read.index, ledger, &format!("it has the rows {rows:?}"));
        };
        tally.count_read(judgement.node, read.since.elapsed().as_nanos() as u64);
        for wrong in &judgement.wrong {
            tally.count_wrong(*wrong, || {
                let Member { number, gate, .. } = &self.member;
                let (version, node, way, took) =
                    (judgement.version, judgement.node, read.way, read.since.elapsed().as_secs_f64() * 1e3);
                let gate = gate.map_or("no gate".to_owned(), |gate| format!("gate {gate}"));
                format!(
                    "session {number} at {gate} read version {version} of {register} on node {node} ({way}, {took:.1} ms); {bounds:?}"
                )
            });
        }
        let seen = &mut self.seen[read.index];
        if judgement.version > *seen && self.follow.1 == 0 {
            // What is new here may be new to another replica still.
            self.follow = (read.index, 1);
        }
        *seen = judgement.version.max(*seen);
        ledger.saw(read.index, judgement.version);
    }

    fn count_error(&self, tally: &mut Tally, what: &str, index: usize, ledger: &Ledger, why: &str) {
        tally.statements += u64::from(!self.is_direct());
        let register = ledger.layout().register(index);
        tally.count_error(|| format!("session {}, {what} of {register}: {why}", self.member.number));
    }
}

/// Reads of what was just written: the first one finds replicas behind, the second one is served by another.
const FOLLOWING_READS: u8 = 2;
