//! Comments: passed over, executed, or read as hints.
//!
//! Source: MySQL's reference manual, "Comments", and a server's answers about versions of six digits; MariaDB's "Comment Syntax".

use super::Lexer;
use super::chars::is_space;
use crate::hint::Hint;

impl Lexer<'_> {
    pub(super) fn line_comment(&mut self, mark: usize) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
        self.skip(len.max(mark));
        self.at = self.at.min(self.bytes.len());
    }

    /// `/* … */`, `/*! … */`, `/*+ … */`, `/*vt+ … */`, from its slash on.
    pub(super) fn block_comment(&mut self) -> Result<(), ()> {
        let is_marias = self.facts.is_mariadb() && self.peek(2) == Some(b'M') && self.peek(3) == Some(b'!');
        if is_marias || self.peek(2) == Some(b'!') {
            self.skip(if is_marias { 4 } else { 3 });
            let executes = if self.facts.is_mariadb() { self.executes_on_maria(is_marias) } else { self.executes() };
            if executes {
                // A comment may not hold another executed one, and the server takes the first end for both.
                self.executing = true;
                return Ok(());
            }
            return self.pass_comment(1);
        }
        self.skip(2);
        let start = self.at;
        self.pass_comment(0)?;
        let inside = self.bytes.get(start..self.at.saturating_sub(2)).unwrap_or_default();
        let mark = inside.get(..3).unwrap_or_default();
        if mark.eq_ignore_ascii_case(b"vt+") {
            let found = Hint::decode(inside.get(3..).unwrap_or_default());
            self.hint = match (self.hint, found) {
                (Some(earlier), Some(later)) => Some(earlier.or(later)),
                (earlier, later) => earlier.or(later),
            };
        }
        Ok(())
    }

    /// Behind `/*!`: takes the version, and says whether the server runs what follows. Five digits, or six with a space
    /// behind them, are a version; older servers read five of the six, so those texts are in doubt.
    fn executes(&mut self) -> bool {
        let digits = self.bytes.iter().skip(self.at).take(7).take_while(|b| b.is_ascii_digit()).count();
        let (taken, doubt) = match digits {
            0..=4 => return true,
            5 => (5, false),
            6 if self.peek(6).is_some_and(is_space) => (6, self.facts.server_version < SIX_DIGITS_SINCE),
            _ => (5, true),
        };
        self.doubt |= doubt;
        let text = self.bytes.get(self.at..self.at.saturating_add(taken)).unwrap_or_default();
        let version =
            text.iter().fold(0u32, |sum, b| sum.saturating_mul(10).saturating_add(u32::from(b.wrapping_sub(b'0'))));
        let executes = version <= self.facts.server_version;
        self.dated |= !executes || version > 80_000;
        if executes {
            self.skip(taken);
        }
        executes
    }

    /// The same on MariaDB: five digits or six, and none of the versions that MySQL had after the two parted, unless the comment is
    /// for MariaDB alone (`/*M!`).
    /// Source: MariaDB's manual, "Comment Syntax", and `sql_lex.cc`.
    fn executes_on_maria(&mut self, is_marias: bool) -> bool {
        let digits = self.bytes.iter().skip(self.at).take(6).take_while(|b| b.is_ascii_digit()).count();
        if digits < 5 {
            return true;
        }
        let text = self.bytes.get(self.at..self.at.saturating_add(digits)).unwrap_or_default();
        let version =
            text.iter().fold(0u32, |sum, b| sum.saturating_mul(10).saturating_add(u32::from(b.wrapping_sub(b'0'))));
        let is_mysqls = (50_700..=99_999).contains(&version) && !is_marias;
        let executes = version <= self.facts.server_version && !is_mysqls;
        self.dated |= !executes || version > 80_000;
        if executes {
            self.skip(digits);
        }
        executes
    }

    /// To the end of a comment that is not executed, which may hold `levels` of comments.
    fn pass_comment(&mut self, levels: u32) -> Result<(), ()> {
        let mut inside = 0u32;
        while let Some(byte) = self.peek(0) {
            match (byte, self.peek(1)) {
                (b'*', Some(b'/')) => {
                    self.skip(2);
                    match inside.checked_sub(1) {
                        Some(left) => inside = left,
                        None => return Ok(()),
                    }
                }
                (b'/', Some(b'*')) if inside < levels => {
                    self.skip(2);
                    inside = inside.saturating_add(1);
                }
                _ => self.skip(1),
            }
        }
        Err(())
    }
}

/// The version whose six-digit comments are known.
const SIX_DIGITS_SINCE: u32 = 90_000;
