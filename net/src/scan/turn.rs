//! The turn: how a scan moves on over a packet that has been judged.
//!
//! Invariant: each packet of the reply is entered exactly once, and its sequence number counted then.
//!
//! Rules: MySQL "COM_QUERY Response", "COM_STMT_PREPARE Response", "COM_STMT_EXECUTE Response".

use super::{At, ReplyKind, ReplyScan, SeqRule, What};
use crate::error::Malformed;
use crate::flags::Status;
use crate::outcome::status_of;
use crate::packet::{HEADER_BYTES, Header};
use crate::statement::PrepareOk;

impl ReplyScan {
    /// Takes note of a plain packet whose header is at the front; its bytes are passed by [`Self::pass_rest`].
    pub(super) fn enter_plain(&mut self, header: Header, columns: u64) {
        self.take_seq(header.seq);
        self.plain_left = HEADER_BYTES.wrapping_add(header.payload_len as usize);
        let is_first = !std::mem::replace(&mut self.continued, header.is_continued());
        if !is_first {
            return;
        }
        match self.at {
            At::Start => {
                self.rows = 0;
                self.carried = Status::empty();
                self.columns_left = columns;
                self.at = At::Columns;
            }
            At::Columns => {
                self.columns_left = self.columns_left.saturating_sub(1);
                self.end_block_if_over();
            }
            At::Rows => self.rows = self.rows.saturating_add(1),
            _ => {}
        }
    }

    pub(super) fn end_block_if_over(&mut self) {
        if self.columns_left > 0 {
            return;
        }
        if !self.eof_deprecated {
            self.at = At::ColumnsEof;
        } else if self.mark_columns_end {
            self.at = At::ColumnsEnd;
        } else {
            self.leave_columns();
        }
    }

    /// What follows the definitions and their end.
    pub(super) fn leave_columns(&mut self) {
        if self.kind == ReplyKind::Prepare {
            self.columns_left = std::mem::take(&mut self.columns_next);
            self.at = if self.columns_left > 0 { At::Columns } else { At::Done };
        } else {
            self.at = At::Rows;
        }
    }

    /// Moves on over a whole special packet, and says what it turned out to be.
    #[inline]
    pub(super) fn enter_special(&mut self, what: What, header: Header, payload: &[u8]) -> Result<What, Malformed> {
        let mut what = what;
        self.at = match what {
            What::Ok | What::RowsEnd => {
                let carried = if what == What::Ok { Status::empty() } else { self.carried };
                let status = status_of(payload)? | carried;
                // A procedure that has used a cursor of its own says so too, behind rows that are all here.
                let rows_in_cursor = what == What::RowsEnd && self.rows == 0 && self.is_cursor(status);
                if status.contains(Status::MORE_RESULTS) && self.has_results() && !rows_in_cursor {
                    At::Start
                } else {
                    At::Done
                }
            }
            What::ColumnsEof if self.is_cursor(status_of(payload)?) => {
                what = What::RowsEnd;
                At::Done
            }
            What::ColumnsEof => {
                // Without `DEPRECATE_EOF` the server says that OUT parameters come, and that the CALL's own result
                // follows them, here only; the EOF behind the row denies both.
                let status = status_of(payload)?;
                if self.kind == ReplyKind::Execute && status.contains(Status::PS_OUT_PARAMS) {
                    self.carried = status.intersect(Status::PS_OUT_PARAMS | Status::MORE_RESULTS);
                }
                self.leave_columns();
                self.at
            }
            What::PrepareOk => {
                let counts = PrepareOk::decode(payload)?;
                self.columns_left = u64::from(counts.params);
                self.columns_next = u64::from(counts.columns);
                if self.columns_left == 0 {
                    self.leave_columns();
                    self.at
                } else {
                    At::Columns
                }
            }
            What::Infile => At::File,
            What::Err | What::Text | What::ColumnCount => At::Done,
        };
        self.take_seq(header.seq);
        if what == What::Infile && self.seq_rule != SeqRule::Count {
            self.seq_rule = SeqRule::TakeNext;
        }
        Ok(what)
    }

    pub(super) fn is_cursor(&self, status: Status) -> bool {
        self.kind == ReplyKind::Execute && status.contains(Status::CURSOR_EXISTS)
    }

    fn has_results(&self) -> bool {
        matches!(self.kind, ReplyKind::Query | ReplyKind::Execute)
    }

    fn take_seq(&mut self, seq: u8) {
        self.begun = true;
        if matches!(self.seq_rule, SeqRule::TakeNext | SeqRule::TakeAll) {
            self.seq = seq;
        }
        if self.seq_rule == SeqRule::TakeNext {
            self.seq_rule = SeqRule::Check;
        }
        self.seq = self.seq.wrapping_add(1);
    }

    /// The sequence number, for the client, of the packet that was entered last.
    pub(super) fn seq_sent(&self) -> u8 {
        self.seq_next().wrapping_sub(1)
    }
}
