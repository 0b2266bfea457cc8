//! The scan: where a reply ends, while it streams past in chunks of any size.
//!
//! Invariant: every byte of the reply is reported exactly once, in order, as passed, held or part of a special
//! packet; a packet's header is judged once all bytes that decide about it are here, and changed at most once.
//! Rows are stepped over by their headers and never decoded.
//!
//! ```text
//!             count          defs                         MORE_RESULTS
//!  Start ------------> Columns -> ColumnsEof/End -> Rows ----------> Start
//!    | OK, ERR, text                  ^  | (prepare)  | end, ERR, cursor
//!    | infile -> File -> OK, ERR      +--+            v
//!    +--------------------------------------------> Done
//! ```
//! Cost of a point select's reply that comes in one chunk (three columns, counted by callgrind): no allocation, no
//! copy, two calls and 740 instructions, or four calls and 800 with [`ReplyScan::mark_columns_end`]. Each further
//! row is 26 instructions.
//!
//! Rules: MySQL "COM_QUERY Response", "COM_STMT_PREPARE Response", "Binary Protocol Resultset", "OK_Packet".

mod held;
mod judge;
mod turn;

use crate::error::Malformed;
use crate::flags::{Capabilities, Status};
use crate::packet::{HEADER_BYTES, PAYLOAD_MAX};
use judge::Verdict;

/// The shape of the reply, which follows from the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    Query,
    Prepare,
    Execute,
    Fetch,
    FieldList,
    /// One OK, ERR or EOF.
    Simple,
    /// One packet of text.
    Statistics,
    /// A command without a reply.
    Nothing,
    /// A binlog dump: packets until an EOF or ERR. Their sequence numbers are not checked.
    Endless,
}

/// What the bytes at the front of the input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many bytes are to be forwarded as they are.
    Pass(usize),
    /// So many bytes, always the whole input, went into [`ReplyScan::held`]; nothing can be forwarded yet.
    Hold(usize),
    /// What was held is plain: forward [`ReplyScan::held`] now. No byte of the input is consumed.
    Release,
    /// A whole special packet with its header: `input[..len]`, or, if `held`, all of [`ReplyScan::held`], which
    /// the first `len` bytes of the input have completed.
    Packet { what: What, len: usize, held: bool },
    /// All column definitions have gone by and no EOF follows them. No byte of the input is consumed.
    ColumnsEnd,
    /// The backend broke the protocol: close its connection. Every later call says the same.
    Broken(Malformed),
}

/// The special packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// An OK that is a result of its own (or the EOF that some simple commands are answered with).
    Ok,
    /// The end of rows, or of the metadata of a result whose rows stay in a cursor: an OK with 0xfe, or an EOF.
    RowsEnd,
    ColumnsEof,
    Err,
    Infile,
    PrepareOk,
    /// Never reported by a [`Step::Packet`]: the number of columns is passed like a row.
    ColumnCount,
    /// The answer of `COM_STATISTICS`.
    Text,
}

/// One reply on its way from the backend to the client.
pub struct ReplyScan {
    at: At,
    /// Why, if `at` is broken.
    broken: Malformed,
    kind: ReplyKind,
    /// The backend's connection sends no EOF after column definitions.
    eof_deprecated: bool,
    mark_columns_end: bool,
    seq_rule: SeqRule,
    /// The sequence number that the backend's next packet must carry.
    seq: u8,
    shift: u8,
    /// The last packet was full: the next one belongs to it and has no type byte.
    continued: bool,
    /// A packet of the reply has been judged.
    begun: bool,
    /// The caller has seen `held` in full; the next call empties it.
    held_spent: bool,
    /// Definitions of the current block that have not begun.
    columns_left: u64,
    /// Definitions of the block after it: the columns of a statement that has parameters.
    columns_next: u64,
    /// Bytes of the current plain packet, header included, that have not been passed.
    plain_left: usize,
    rows: u64,
    carried: Status,
    held: Vec<u8>,
}

/// What the next packet is expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    Columns,
    ColumnsEof,
    ColumnsEnd,
    Rows,
    /// The client's file is under way to the backend.
    File,
    /// The file has been relayed.
    FileEnd,
    Done,
    Broken,
}

const COMPRESSED: Capabilities = Capabilities::COMPRESS.union(Capabilities::ZSTD_COMPRESSION);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SeqRule {
    Check,
    /// Take what the next packet says, then check.
    TakeNext,
    TakeAll,
    /// Count, whatever they say: a server that compresses numbers its packets anew at each flush, by its frames.
    Count,
}

impl ReplyScan {
    /// `caps` are those of the backend's connection. The first packet is expected to carry sequence number 1; see
    /// [`Self::expect_seq`] for a command that took several packets. Allocates nothing.
    pub fn new(kind: ReplyKind, caps: Capabilities) -> Self {
        Self::begin(kind, caps, Vec::new())
    }

    /// As [`Self::new`], but keeps the allocation of `held`.
    pub fn restart(&mut self, kind: ReplyKind, caps: Capabilities) {
        self.forget_held();
        let held = std::mem::take(&mut self.held);
        *self = Self::begin(kind, caps, held);
    }

    fn begin(kind: ReplyKind, caps: Capabilities, held: Vec<u8>) -> Self {
        let at = match kind {
            ReplyKind::Fetch | ReplyKind::FieldList | ReplyKind::Endless => At::Rows,
            ReplyKind::Nothing => At::Done,
            _ => At::Start,
        };
        let is_endless = kind == ReplyKind::Endless;
        Self {
            at,
            broken: Malformed(""),
            kind,
            eof_deprecated: caps.contains(Capabilities::DEPRECATE_EOF),
            mark_columns_end: true,
            seq_rule: match is_endless {
                true => SeqRule::TakeAll,
                false if caps.intersects(COMPRESSED) => SeqRule::Count,
                false => SeqRule::Check,
            },
            seq: 1,
            shift: 0,
            continued: false,
            begun: false,
            held_spent: false,
            columns_left: 0,
            columns_next: 0,
            plain_left: 0,
            rows: 0,
            carried: Status::empty(),
            held,
        }
    }

    /// False spares the caller [`Step::ColumnsEnd`], which matters only to a client without `DEPRECATE_EOF`.
    pub fn mark_columns_end(&mut self, wanted: bool) {
        self.mark_columns_end = wanted;
    }

    /// Sets the sequence number of the backend's next packet: before the first byte of the reply to a command of
    /// several packets, or after a file was relayed.
    pub fn expect_seq(&mut self, seq: u8) {
        self.seq = seq;
        if self.seq_rule == SeqRule::TakeNext {
            self.seq_rule = SeqRule::Check;
        }
    }

    /// Looks at the front of `input` and says what it is. The caller consumes exactly that and calls again with the
    /// rest, until [`Self::is_done`], or until the input is empty and [`Self::is_due`] is false. Where a packet's sequence number must differ
    /// for the client it is changed in place.
    pub fn advance(&mut self, input: &mut [u8]) -> Step {
        if !self.held.is_empty() {
            if !self.held_spent {
                return self.advance_held(input);
            }
            self.forget_held();
        }
        let mut passed = 0_usize;
        loop {
            passed = self.pass_rest(passed, input.len());
            if self.plain_left > 0 {
                return Step::Pass(passed);
            }
            passed = self.pass_whole(input, passed);
            let front = input.get_mut(passed..).unwrap_or_default();
            if front.is_empty() && !self.is_due() {
                return Step::Pass(passed);
            }
            // Most likely an end, which gets a step of its own: it need not be judged twice.
            if passed > 0 && !self.continued && matches!(front, [_, _, _, _, 0xfe..=0xff, ..]) {
                return Step::Pass(passed);
            }
            let verdict = self.judge(front);
            if let Verdict::Plain { header, columns } = verdict {
                self.enter_plain(header, columns);
                patch_seq(front, self.seq_sent());
                continue;
            }
            if passed > 0 {
                return Step::Pass(passed);
            }
            return self.step_at_front(verdict, front);
        }
    }

    /// The bytes of a packet that came split.
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// What is added to sequence numbers on their way to the client.
    pub fn shift(&self) -> u8 {
        self.shift
    }

    /// Adds to the shift, from the next packet on. Wraps: 255 takes one away. Only between packets.
    pub fn add_shift(&mut self, n: u8) {
        self.shift = self.shift.wrapping_add(n);
    }

    /// The sequence number that the next packet towards the client must carry.
    pub fn seq_next(&self) -> u8 {
        self.seq.wrapping_add(self.shift)
    }

    /// The sequence number of the next packet on the backend's connection, whoever sends it.
    pub fn seq_expected(&self) -> u8 {
        self.seq
    }

    /// True after the last byte of the reply, and when no step is due.
    pub fn is_done(&self) -> bool {
        self.at == At::Done && self.plain_left == 0 && !self.continued
    }

    /// True when [`Self::advance`] has something to say that needs no input: the [`Step::ColumnsEnd`] that ends the
    /// reply to a prepare.
    pub fn is_due(&self) -> bool {
        // An execute's next packet may say that there is a cursor: then no mark is wanted.
        self.at == At::ColumnsEnd && self.plain_left == 0 && !self.continued && self.kind != ReplyKind::Execute
    }

    /// Number of rows of the current result set so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Flags that belong to the end of the current rows though the server has put them into the EOF before the rows:
    /// `PS_OUT_PARAMS` and its `MORE_RESULTS`. A client with `DEPRECATE_EOF` must get them with [`What::RowsEnd`].
    pub fn carried_status(&self) -> Status {
        self.carried
    }

    /// True until the first byte of the reply.
    pub fn is_at_start(&self) -> bool {
        !self.begun && self.held.is_empty()
    }

    /// The client's file was relayed: the final OK or ERR is expected. Its sequence number, which depends on the
    /// number of the file's packets, is taken as it comes unless [`Self::expect_seq`] follows.
    pub fn resume_after_infile(&mut self) {
        if self.at == At::File {
            self.at = At::FileEnd;
        }
    }

    /// Passes what has come of the current plain packet.
    fn pass_rest(&mut self, passed: usize, input_len: usize) -> usize {
        let len = self.plain_left.min(input_len.saturating_sub(passed));
        self.plain_left = self.plain_left.wrapping_sub(len);
        passed.wrapping_add(len)
    }

    /// Passes definitions and rows that are whole, ordinary and in sequence: the loop that a large result spends
    /// its time in. It stops before any other packet and leaves that to [`Self::judge`].
    fn pass_whole(&mut self, input: &mut [u8], passed: usize) -> usize {
        let packets_max = match self.at {
            At::Rows if !self.continued => u64::MAX,
            At::Columns if !self.continued => self.columns_left,
            _ => return passed,
        };
        let (mut passed, mut packets) = (passed, 0_u64);
        let (mut seq, shift) = (self.seq, self.shift);
        while packets < packets_max {
            let Some(&[a, b, c, packet_seq, kind]) = input.get(passed..).and_then(|front| front.first_chunk::<5>())
            else {
                break;
            };
            let len = u32::from_le_bytes([a, b, c, 0]) as usize;
            let end = passed.wrapping_add(HEADER_BYTES).wrapping_add(len);
            // Neither empty nor full.
            let is_usual = len.wrapping_sub(1) < PAYLOAD_MAX.wrapping_sub(1);
            if kind >= 0xfe || !is_usual || packet_seq != seq || end > input.len() {
                break;
            }
            if shift != 0
                && let Some(byte) = input.get_mut(passed.wrapping_add(3))
            {
                *byte = seq.wrapping_add(shift);
            }
            seq = seq.wrapping_add(1);
            passed = end;
            packets = packets.wrapping_add(1);
        }
        if packets > 0 {
            self.begun = true;
            self.seq = seq;
            if self.at == At::Rows {
                self.rows = self.rows.saturating_add(packets);
            } else {
                self.columns_left = self.columns_left.wrapping_sub(packets);
                self.end_block_if_over();
            }
        }
        passed
    }

    /// Everything but a plain packet, at the very front of the input, with nothing held.
    fn step_at_front(&mut self, verdict: Verdict, front: &mut [u8]) -> Step {
        match verdict {
            Verdict::Special { what, header } => {
                let len = HEADER_BYTES.wrapping_add(header.payload_len as usize);
                if front.len() < len {
                    return self.hold(front);
                }
                let payload = front.get(HEADER_BYTES..len).unwrap_or_default();
                match self.enter_special(what, header, payload) {
                    Ok(what) => {
                        patch_seq(front, self.seq_sent());
                        Step::Packet { what, len, held: false }
                    }
                    Err(broken) => self.broken(broken),
                }
            }
            Verdict::ColumnsEnd => {
                self.leave_columns();
                Step::ColumnsEnd
            }
            Verdict::More | Verdict::Plain { .. } => self.hold(front),
            Verdict::Broken(broken) => self.broken(broken),
        }
    }

    #[cold]
    fn broken(&mut self, broken: Malformed) -> Step {
        self.at = At::Broken;
        self.broken = broken;
        Step::Broken(broken)
    }
}

fn patch_seq(packet: &mut [u8], seq: u8) {
    if let Some(byte) = packet.get_mut(HEADER_BYTES.wrapping_sub(1))
        && *byte != seq
    {
        *byte = seq;
    }
}

#[cfg(test)]
mod tests;
