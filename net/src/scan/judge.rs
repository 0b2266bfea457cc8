//! The judgement about one packet of a reply from its first bytes.
//!
//! Invariant: it changes nothing, it says `More` only when the packet has more bytes than it was shown, and it
//! never needs more than [`FRONT_BYTES`] of them.

use super::{At, ReplyKind, ReplyScan, SeqRule, What};
use crate::error::Malformed;
use crate::limits::{COLUMNS_MAX, SPECIAL_PACKET_MAX};
use crate::outcome::status_of;
use crate::packet::{HEADER_BYTES, Header, PAYLOAD_MAX};
use crate::reader::Reader;

pub(super) enum Verdict {
    /// More bytes are needed to tell.
    More,
    /// A packet to pass; `columns` is what it announces if it is a column count.
    Plain {
        header: Header,
        columns: u64,
    },
    Special {
        what: What,
        header: Header,
    },
    ColumnsEnd,
    Broken(Malformed),
}

/// Header, type byte, two length-encoded integers and the status: what it takes to find a status in an OK. A whole
/// column count is shorter.
pub(super) const FRONT_BYTES: usize = 32;
const STATUS_END: usize = 4 + 1 + 9 + 9 + 2;
const _: () = assert!(STATUS_END <= FRONT_BYTES);

/// Payload bytes of an EOF packet and of the longest column count; the server itself tells an EOF by less than 9.
const EOF_END: usize = 9;
const COLUMN_COUNT_MAX: usize = 9;

impl ReplyScan {
    /// `front` begins at a packet's header.
    #[inline]
    pub(super) fn judge(&self, front: &[u8]) -> Verdict {
        if self.is_due() {
            return Verdict::ColumnsEnd;
        }
        match self.at {
            At::Done if !self.continued => {
                return Verdict::Broken(Malformed("bytes after the end of the reply"));
            }
            At::Broken => return Verdict::Broken(self.broken),
            _ => {}
        }
        let Some(header) = Header::at_front(front) else {
            return Verdict::More;
        };
        if self.continued {
            return if self.is_in_sequence(header, 0) { Verdict::Plain { header, columns: 0 } } else { OUT_OF_ORDER };
        }
        if header.payload_len == 0 {
            return Verdict::Broken(Malformed("empty packet in a reply"));
        }
        let payload = front.get(HEADER_BYTES..).unwrap_or_default();
        let Some(&kind) = payload.first() else {
            return Verdict::More;
        };
        if !self.is_in_sequence(header, kind) {
            return OUT_OF_ORDER;
        }
        match self.at {
            At::Start => self.judge_start(header, kind, payload),
            At::Columns if kind < 0xfe => Verdict::Plain { header, columns: 0 },
            At::ColumnsEof if kind == 0xfe && (header.payload_len as usize) < EOF_END => {
                special(What::ColumnsEof, header)
            }
            At::ColumnsEnd => self.judge_execute_columns_end(header, kind, payload),
            At::Rows => self.judge_row(header, kind),
            At::FileEnd if kind == 0 => special(What::Ok, header),
            _ if kind == 0xff => special(What::Err, header),
            At::File => Verdict::Broken(Malformed("a reply before the end of the file")),
            At::FileEnd => Verdict::Broken(Malformed("neither OK nor ERR after a file")),
            _ => Verdict::Broken(Malformed("neither column definition nor EOF")),
        }
    }

    /// The first packet of a result. Rule: MySQL "COM_QUERY Response".
    #[inline]
    fn judge_start(&self, header: Header, kind: u8, payload: &[u8]) -> Verdict {
        let what = match (kind, self.kind) {
            (0xff, _) => What::Err,
            (_, ReplyKind::Statistics) => What::Text,
            (0, ReplyKind::Prepare) => What::PrepareOk,
            // Some commands are answered with an EOF; a column count that begins so would be above any limit.
            (0, _) | (0xfe, ReplyKind::Simple | ReplyKind::Query | ReplyKind::Execute) => What::Ok,
            (0xfb, ReplyKind::Query | ReplyKind::Execute) => What::Infile,
            (_, ReplyKind::Query | ReplyKind::Execute) => return judge_count(header, payload),
            _ => return Verdict::Broken(Malformed("unexpected first byte of a reply")),
        };
        special(what, header)
    }

    /// A row, or the end of rows. A row that begins with 0xfe has a first value of 16 MiB or more, so it is full.
    /// Rule: MySQL "Text Resultset", "EOF_Packet", "OK_Packet".
    fn judge_row(&self, header: Header, kind: u8) -> Verdict {
        let len = header.payload_len as usize;
        match kind {
            0xff => special(What::Err, header),
            0xfe if len == PAYLOAD_MAX => Verdict::Plain { header, columns: 0 },
            0xfe if self.eof_deprecated || len < EOF_END => special(What::RowsEnd, header),
            0xfe => Verdict::Broken(Malformed("an EOF packet that is too long")),
            _ => Verdict::Plain { header, columns: 0 },
        }
    }

    /// After the definitions of an execute, without EOF: the end is marked, unless the next packet says that the
    /// rows stay in a cursor. Then it is the only end that the definitions have, for either kind of client.
    fn judge_execute_columns_end(&self, header: Header, kind: u8, payload: &[u8]) -> Verdict {
        let len = header.payload_len as usize;
        if kind != 0xfe || len == PAYLOAD_MAX {
            return Verdict::ColumnsEnd;
        }
        // The layout follows from the whole length, so a part of the packet must not be taken for a short one.
        let shown = payload.get(..len).unwrap_or(payload);
        if shown.len() < len.min(STATUS_END.wrapping_sub(HEADER_BYTES)) {
            return Verdict::More;
        }
        match status_of(shown) {
            Ok(status) if self.is_cursor(status) => special(What::RowsEnd, header),
            _ => Verdict::ColumnsEnd,
        }
    }

    #[inline]
    fn is_in_sequence(&self, header: Header, kind: u8) -> bool {
        if header.seq == self.seq || self.seq_rule != SeqRule::Check {
            return true;
        }
        // A server that gives up an idle connection says so before it has read the command, as packet 0.
        !self.begun && header.seq == 0 && kind == 0xff
    }
}

/// A packet that has to be whole, and so is limited.
#[inline]
fn special(what: What, header: Header) -> Verdict {
    if header.payload_len as usize > SPECIAL_PACKET_MAX {
        return Verdict::Broken(Malformed("OK, EOF or ERR packet above the limit"));
    }
    Verdict::Special { what, header }
}

const OUT_OF_ORDER: Verdict = Verdict::Broken(Malformed("packets out of order"));

/// A column count is the whole packet. Rule: MySQL "Text Resultset".
fn judge_count(header: Header, payload: &[u8]) -> Verdict {
    let len = header.payload_len as usize;
    if len > COLUMN_COUNT_MAX {
        return Verdict::Broken(Malformed("unexpected first packet of a result"));
    }
    let Some(count) = payload.get(..len) else {
        return Verdict::More;
    };
    let mut reader = Reader::new(count);
    match reader.lenenc() {
        Ok(columns) if (1..=COLUMNS_MAX).contains(&columns) && reader.is_empty() => Verdict::Plain { header, columns },
        _ => Verdict::Broken(Malformed("not a column count")),
    }
}
