//! One wire as the driver knows it.

use weir_core::wire::WireId;

use crate::sim::cable::Sock;
use crate::sim::random::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Dialing,
    Open,
    /// Its dial failed; the engine is to close it.
    Failed,
    /// Between `Close` and `handle_closed`.
    Closing,
}

/// The send in flight: its bytes as they were when it began.
#[derive(Debug)]
pub struct Sending {
    pub bytes: Vec<u8>,
}

#[derive(Debug)]
pub struct Wire {
    pub id: WireId,
    pub stage: Stage,
    pub sock: Option<Sock>,
    /// The backend that it leads to.
    pub server: Option<usize>,
    pub is_messenger: bool,
    pub paused: bool,
    /// Chunks that may still come although it is paused.
    pub late_chunks: u64,
    /// `handle_end` was called.
    pub ended: bool,
    pub failed: bool,
    pub send: Option<Sending>,
}

impl Wire {
    pub fn new(id: WireId, stage: Stage, sock: Option<Sock>, server: Option<usize>) -> Wire {
        Wire {
            id,
            stage,
            sock,
            server,
            is_messenger: false,
            paused: false,
            late_chunks: 0,
            ended: false,
            failed: false,
            send: None,
        }
    }

    pub fn ended_by_failure(&self) -> bool {
        self.failed
    }

    /// Whether a receive may complete now. While paused only what the kernel had taken already does.
    pub fn may_receive(&mut self, random: &mut Random) -> bool {
        if self.stage != Stage::Open || self.ended {
            return false;
        }
        if !self.paused {
            return true;
        }
        let late = self.late_chunks > 0 && random.chance(50);
        self.late_chunks = self.late_chunks.saturating_sub(1);
        late
    }
}
