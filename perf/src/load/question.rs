//! `Question`: what every client of a load asks, again and again.
//!
//! Invariant: a question asks for one result; a number in it is drawn anew each time from a sequence that is the same
//! in every run.
//! Rules: MySQL "COM_QUERY", "COM_STMT_EXECUTE".

use std::io::Write;

use weir_net::command::Command;
use weir_net::packet;
use weir_net::writer::Put;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A point select of sysbench's, as a text.
    TextPoint { tables: u32, rows: u32 },
    /// The same, prepared once per client (on one table) and executed.
    PreparedPoint { rows: u32 },
    /// This very text.
    Text(String),
}

impl Question {
    pub fn name(&self) -> &str {
        match self {
            Self::TextPoint { .. } => "point selects as text",
            Self::PreparedPoint { .. } => "prepared point selects",
            Self::Text(text) => text,
        }
    }

    /// The text to prepare before the load, if there is one.
    pub fn to_prepare(&self) -> Option<&'static str> {
        match self {
            Self::PreparedPoint { .. } => Some("SELECT c FROM sbtest1 WHERE id=?"),
            Self::TextPoint { .. } | Self::Text(_) => None,
        }
    }

    /// Appends the question as a packet. `is_first` asks for the types of a prepared one's parameters, which clients
    /// send once.
    pub fn put(&self, out: &mut Vec<u8>, dice: &mut Dice, statement: Option<u32>, is_first: bool) {
        let at = packet::begin(out, 0);
        match self {
            Self::TextPoint { tables, rows } => {
                out.put_u8(Command::Query.to_byte());
                let (table, id) = (dice.up_to(*tables), dice.up_to(*rows));
                // Writing to a vector cannot fail.
                let _ = write!(out, "SELECT c FROM sbtest{table} WHERE id={id}");
            }
            Self::Text(text) => {
                out.put_u8(Command::Query.to_byte());
                out.put_bytes(text.as_bytes());
            }
            Self::PreparedPoint { rows } => {
                out.put_u8(Command::StmtExecute.to_byte());
                out.put_u32(statement.unwrap_or(0));
                // No cursor, one iteration, nothing is NULL.
                out.put_u8(0);
                out.put_u32(1);
                out.put_u8(0);
                out.put_u8(u8::from(is_first));
                if is_first {
                    out.put_u16(TYPE_LONGLONG);
                }
                out.put_u64(u64::from(dice.up_to(*rows)));
            }
        }
        packet::finish(out, at);
    }
}

const TYPE_LONGLONG: u16 = 8;

/// A sequence of numbers that looks drawn by lot: xorshift, seeded.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        // Zero would stay zero for ever.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// From 1 to `max`, both included.
    pub fn up_to(&mut self, max: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        1 + ((self.0 >> 32) % u64::from(max.max(1))) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_net::flags::Capabilities;
    use weir_net::statement::ExecuteHead;

    #[test]
    fn executes_are_as_the_protocol_wants_them() {
        let question = Question::PreparedPoint { rows: 100 };
        let mut dice = Dice::new(1);
        for is_first in [true, false] {
            let mut out = Vec::new();
            question.put(&mut out, &mut dice, Some(9), is_first);
            let head = ExecuteHead::decode(&out[5..], 1, Capabilities::PROTOCOL_41).unwrap();
            assert_eq!((head.statement_id, head.iterations), (9, 1));
            assert_eq!(head.types, is_first.then_some(&[8, 0][..]));
            assert_eq!(head.values.len(), 8);
        }
    }

    #[test]
    fn texts_name_a_table_and_a_row() {
        let question = Question::TextPoint { tables: 4, rows: 9 };
        let mut dice = Dice::new(3);
        for _ in 0..100 {
            let mut out = Vec::new();
            question.put(&mut out, &mut dice, None, false);
            let text = std::str::from_utf8(&out[5..]).unwrap();
            let tail = text.strip_prefix("SELECT c FROM sbtest").unwrap();
            let (table, id) = tail.split_once(" WHERE id=").unwrap();
            assert!((1..=4).contains(&table.parse::<u32>().unwrap()));
            assert!((1..=9).contains(&id.parse::<u32>().unwrap()));
        }
    }

    #[test]
    fn dice_reach_every_side() {
        let mut dice = Dice::new(7);
        let mut seen = [0; 6];
        for _ in 0..600 {
            seen[dice.up_to(6) as usize - 1] += 1;
        }
        assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
        assert_eq!(Dice::new(5).up_to(0), 1);
    }
}
