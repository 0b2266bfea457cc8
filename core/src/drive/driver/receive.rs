//! Receiving: one multishot per wire, always armed unless paused, starved or over, so that "the peer is gone" comes for free.

use super::Driver;
use crate::drive::berths::GROUP;
use crate::drive::ring::Completion;
use crate::drive::token::{Kind, Token};
use crate::drive::wires::{Phase, Receiving};
use crate::drive::world::{End, WireId, World};
use io_uring::opcode;

impl<W: World> Driver<W> {
    pub(super) fn handle_receive(&mut self, done: Completion) {
        let block = done.buffer().map(|berth| self.berths.take(berth));
        let len = usize::try_from(done.result).unwrap_or(0);
        let Some(wire) = self.wires.of_token(done.token) else {
            block.into_iter().for_each(|block| self.world.blocks().give_back(block));
            return;
        };
        let (id, is_open) = (wire.id, wire.phase == Phase::Open);
        assert!(matches!(wire.receiving, Receiving::Armed | Receiving::Cancelling), "one receive at a time");
        if !done.has_more() {
            wire.receiving = match -done.result {
                libc::ENOBUFS => Receiving::Starved,
                // Cancelled, by us; or ended by the kernel, which does so when completions pile up.
                libc::ECANCELED | libc::EAGAIN | libc::EINTR => Receiving::Idle,
                _ if len > 0 => Receiving::Idle,
                _ => Receiving::Over,
            };
            match wire.receiving {
                _ if !is_open => (),
                Receiving::Starved => {
                    self.berths.run_dry();
                    self.lists.starved.push_back(id);
                }
                Receiving::Idle => self.lists.unsettled.push(id),
                _ => (),
            }
        }
        let (is_over, has_failed) = (wire.receiving == Receiving::Over, wire.has_failed);
        self.batch.touch(&mut wire.window);
        match block {
            Some(block) if len > 0 && is_open => {
                let chunk = self.world.blocks().landed(block, len);
                self.world.handle_chunk(self.now, id, chunk);
            }
            Some(block) => self.world.blocks().give_back(block),
            None => (),
        }
        if is_open && is_over && !has_failed {
            let end = if done.result == 0 { End::Closed } else { End::Failed };
            if end == End::Failed {
                self.mark_failed(id);
            }
            self.world.handle_end(self.now, id, end);
        }
        self.finish_close(id);
    }

    pub(super) fn set_paused(&mut self, id: WireId, is_paused: bool) {
        let Some(wire) = self.wires.get(id) else {
            return;
        };
        if wire.is_paused != is_paused {
            wire.is_paused = is_paused;
            self.lists.unsettled.push(id);
        }
    }

    /// Brings the kernel's receive in line with what is wanted. One that is being cancelled is waited for first: two
    /// armed at once would mix up the bytes' order.
    pub(super) fn settle_receive(&mut self, id: WireId) {
        let Some(wire) = self.wires.get(id) else {
            return;
        };
        if wire.phase != Phase::Open {
            return;
        }
        let token = Token::of_wire(Kind::Receive, id);
        match (wire.receiving, wire.is_paused) {
            (Receiving::Idle, false) => {
                wire.receiving = Receiving::Armed;
                let socket = wire.socket();
                let receive = socket.aim(opcode::RecvMulti::new(socket.fd(), GROUP).build());
                // SAFETY: it points to no memory of its own; the buffers are the berths', see `Driver::new`.
                unsafe { self.ring.push(receive, token) };
            }
            (Receiving::Armed, true) => {
                wire.receiving = Receiving::Cancelling;
                // SAFETY: no pointers.
                unsafe { self.ring.push_silent(opcode::AsyncCancel::new(token.0).build()) };
            }
            _ => (),
        }
    }

    /// Arms as many of the starved as there are buffers. More would only starve again.
    pub(super) fn feed_starved(&mut self) {
        for _ in 0..self.berths.afloat() {
            let Some(id) = self.lists.starved.pop_front() else {
                return;
            };
            let Some(wire) = self.wires.get(id) else {
                continue;
            };
            if wire.receiving == Receiving::Starved {
                wire.receiving = Receiving::Idle;
                self.settle_receive(id);
            }
        }
    }
}
