//! The codecs of one core: the state that zlib and zstd work with, shared by all of its wires.
//!
//! Invariant: each call is a whole of its own and leaves nothing behind for the next. What opens to more than was said is
//! never written further than that. A state is made at its first use: a core without compressing wires has none.
//! It knows no frames and no wires.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use zstd_safe::{CCtx, DCtx};

use super::{Agreed, Fault, zstd_level};

/// zlib's states are some 260 KiB and 40 KiB, zstd's up to some MiB and 160 KiB.
#[derive(Default)]
pub struct Codecs {
    deflate: Option<Box<Compress>>,
    inflate: Option<Box<Decompress>>,
    zstd_out: Option<CCtx<'static>>,
    zstd_in: Option<DCtx<'static>>,
}

impl Codecs {
    /// Appends what `packed` opens to. More than `plain_len` bytes are a fault; fewer are one of zstd's alone, as the server has it.
    pub(super) fn open(
        &mut self,
        agreed: Agreed,
        packed: &[u8],
        plain_len: usize,
        plain: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let at = plain.len();
        plain.resize(at.saturating_add(plain_len), 0);
        let room = plain.get_mut(at..).unwrap_or_default();
        let opened = match agreed {
            Agreed::Zlib => self.inflate(packed, room),
            Agreed::Zstd { .. } => self.unzstd(packed, room),
        };
        plain.truncate(at.saturating_add(opened.unwrap_or(0)));
        opened.map(|_| ()).ok_or(Fault::Broken)
    }

    /// Appends `plain` in fewer bytes than it has, or says that it can't be done.
    pub(super) fn shrink(&mut self, agreed: Agreed, plain: &[u8], out: &mut Vec<u8>) -> bool {
        let at = out.len();
        out.resize(at.saturating_add(plain.len()), 0);
        let room = out.get_mut(at..).unwrap_or_default();
        let len = match agreed {
            Agreed::Zlib => self.deflate(plain, room),
            Agreed::Zstd { level } => self.zstd(plain, zstd_level(level), room),
        };
        let len = len.filter(|len| *len < plain.len());
        out.truncate(at.saturating_add(len.unwrap_or(0)));
        len.is_some()
    }

    fn inflate(&mut self, packed: &[u8], room: &mut [u8]) -> Option<usize> {
        let state = self.inflate.get_or_insert_with(|| Box::new(Decompress::new(true)));
        state.reset(true);
        match state.decompress(packed, room, FlushDecompress::Finish) {
            Ok(Status::StreamEnd) => usize::try_from(state.total_out()).ok(),
            Ok(Status::Ok | Status::BufError) | Err(_) => None,
        }
    }

    fn deflate(&mut self, plain: &[u8], room: &mut [u8]) -> Option<usize> {
        let state = self.deflate.get_or_insert_with(|| Box::new(Compress::new(Compression::new(ZLIB_LEVEL), true)));
        state.reset();
        match state.compress(plain, room, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => usize::try_from(state.total_out()).ok(),
            Ok(Status::Ok | Status::BufError) | Err(_) => None,
        }
    }

    fn unzstd(&mut self, packed: &[u8], room: &mut [u8]) -> Option<usize> {
        if self.zstd_in.is_none() {
            self.zstd_in = DCtx::try_create();
        }
        self.zstd_in.as_mut()?.decompress(room, packed).ok().filter(|len| *len == room.len())
    }

    fn zstd(&mut self, plain: &[u8], level: i32, room: &mut [u8]) -> Option<usize> {
        if self.zstd_out.is_none() {
            self.zstd_out = CCtx::try_create();
        }
        self.zstd_out.as_mut()?.compress(room, plain, level).ok()
    }
}

/// What the server and its clients use.
const ZLIB_LEVEL: u32 = 6;
