//! The slow road of a scan: a packet whose front came in an earlier chunk.
//!
//! Invariant: `held` is the front of one packet, in full from its header on. It never holds more than what decides
//! about a plain packet, and at most a whole special one.

use super::judge::{FRONT_BYTES, Verdict};
use super::{ReplyScan, Step, patch_seq};
use crate::packet::HEADER_BYTES;

impl ReplyScan {
    /// As `advance`, when something is held: the judge is shown the front across the seam, so that a plain packet is
    /// released as soon as it is known to be one, and its rest passes without a copy.
    #[cold]
    pub(super) fn advance_held(&mut self, input: &mut [u8]) -> Step {
        let mut front = [0; FRONT_BYTES];
        let bytes = self.held.iter().chain(input.iter());
        let filled = front.iter_mut().zip(bytes).map(|(to, from)| *to = *from).count();
        match self.judge(front.get(..filled).unwrap_or_default()) {
            Verdict::Plain { header, columns } => {
                let held_len = self.held.len();
                self.enter_plain(header, columns);
                self.plain_left = self.plain_left.saturating_sub(held_len);
                let seq = self.seq_sent();
                if held_len < HEADER_BYTES {
                    let at = HEADER_BYTES.wrapping_sub(1).wrapping_sub(held_len);
                    if let Some(byte) = input.get_mut(at) {
                        *byte = seq;
                    }
                }
                patch_seq(&mut self.held, seq);
                self.held_spent = true;
                Step::Release
            }
            Verdict::Special { what, header } => {
                let packet_len = HEADER_BYTES.wrapping_add(header.payload_len as usize);
                let missing = packet_len.saturating_sub(self.held.len());
                let Some(rest) = input.get(..missing) else {
                    return self.hold(input);
                };
                self.held.extend_from_slice(rest);
                let mut held = std::mem::take(&mut self.held);
                let payload = held.get(HEADER_BYTES..).unwrap_or_default();
                let entered = self.enter_special(what, header, payload);
                patch_seq(&mut held, self.seq_sent());
                self.held = held;
                self.held_spent = true;
                match entered {
                    Ok(what) => Step::Packet { what, len: missing, held: true },
                    Err(broken) => self.broken(broken),
                }
            }
            Verdict::ColumnsEnd => {
                self.leave_columns();
                Step::ColumnsEnd
            }
            Verdict::More => self.hold(input),
            Verdict::Broken(broken) => self.broken(broken),
        }
    }

    pub(super) fn hold(&mut self, input: &[u8]) -> Step {
        self.held.extend_from_slice(input);
        Step::Hold(input.len())
    }

    pub(super) fn forget_held(&mut self) {
        self.held_spent = false;
        if self.held.capacity() > HELD_KEPT_BYTES {
            self.held = Vec::new();
        }
        self.held.clear();
    }
}

/// Bytes of capacity that `held` keeps from one split packet to the next; the usual one is far smaller.
const HELD_KEPT_BYTES: usize = 4096;
