//! The relay: feeds a scan with chunks and writes down what a gate would do with them.

use weir_net::error::Malformed;
use weir_net::limits::SPECIAL_PACKET_MAX;
use weir_net::packet::HEADER_BYTES;
use weir_net::scan::{ReplyScan, Step, What};

use super::Setting;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Passed(Vec<u8>),
    Packet(What, Vec<u8>),
    ColumnsEnd,
    Broken(&'static str),
}

/// What came of a reply.
#[derive(Debug)]
pub struct Seen {
    pub events: Vec<Event>,
    pub done: bool,
    /// Bytes up to the reply's end.
    pub consumed: usize,
    pub rows: u64,
}

/// Lengths of the chunks, again and again.
#[derive(Clone, Copy, Debug)]
pub struct Cuts<'a> {
    lengths: &'a [u8],
    next: usize,
}

impl<'a> Cuts<'a> {
    /// Everything in one chunk.
    pub fn none() -> Cuts<'a> {
        Cuts { lengths: &[], next: 0 }
    }

    pub fn of(lengths: &'a [u8]) -> Cuts<'a> {
        Cuts { lengths, next: 0 }
    }

    fn chunk_bytes(&mut self) -> usize {
        match self.lengths.get(self.next % self.lengths.len().max(1)) {
            Some(length) => {
                self.next += 1;
                1 + usize::from(*length)
            }
            None => usize::MAX,
        }
    }
}

/// Feeds it all, until the reply is over or broken. The file of a local infile counts as relayed at once.
pub fn relay(setting: Setting, bytes: &[u8], mut cuts: Cuts<'_>) -> Seen {
    let mut scan = ReplyScan::new(setting.kind, setting.caps);
    scan.mark_columns_end(setting.marks);
    scan.add_shift(setting.shift);
    let mut seen = Seen { events: Vec::new(), done: false, consumed: 0, rows: 0 };
    assert!(scan.is_at_start());
    while seen.consumed < bytes.len() && !scan.is_done() {
        let left = &bytes[seen.consumed..];
        let mut chunk = left[..left.len().min(cuts.chunk_bytes())].to_vec();
        match feed(&mut scan, &mut chunk, &mut seen.events) {
            Ok(used) => seen.consumed += used,
            Err(Malformed(why)) => {
                // Where in the chunk it broke is nobody's business: the connection is closed.
                seen.events.push(Event::Broken(why));
                seen.consumed = bytes.len();
                return seen;
            }
        }
    }
    seen.done = scan.is_done();
    seen.rows = scan.rows();
    seen
}

/// Feeds one chunk; returns how much of it belongs to the reply.
fn feed(scan: &mut ReplyScan, chunk: &mut [u8], events: &mut Vec<Event>) -> Result<usize, Malformed> {
    let len = chunk.len();
    let mut input = chunk;
    let mut idle_steps = 0;
    while (!input.is_empty() || scan.is_due()) && !scan.is_done() {
        let step = scan.advance(input);
        let used = match step {
            Step::Pass(len) => {
                pass(events, &input[..len]);
                len
            }
            Step::Hold(len) => {
                assert_eq!(len, input.len(), "what is held is everything");
                assert!(scan.held().len() <= SPECIAL_PACKET_MAX + HEADER_BYTES, "{} bytes held", scan.held().len());
                len
            }
            Step::Release => {
                // A plain packet is let go as soon as it is known: long before all of it is here.
                assert!(scan.held().len() <= FRONT_BYTES_MAX, "{} bytes of a plain packet held", scan.held().len());
                pass(events, scan.held());
                0
            }
            Step::Packet { what, len, held } => {
                let whole = if held { scan.held() } else { &input[..len] };
                events.push(Event::Packet(what, whole.to_vec()));
                scan.resume_after_infile();
                len
            }
            Step::ColumnsEnd => {
                events.push(Event::ColumnsEnd);
                0
            }
            Step::Broken(why) => {
                assert_eq!(scan.advance(input), step, "what is broken stays broken");
                return Err(why);
            }
        };
        idle_steps = if used == 0 { idle_steps + 1 } else { 0 };
        assert!(idle_steps < 4, "no progress: {step:?}");
        assert!(!scan.is_at_start());
        input = &mut input[used..];
    }
    Ok(len - input.len())
}

fn pass(events: &mut Vec<Event>, bytes: &[u8]) {
    match events.last_mut() {
        Some(Event::Passed(passed)) => passed.extend_from_slice(bytes),
        _ if bytes.is_empty() => {}
        _ => events.push(Event::Passed(bytes.to_vec())),
    }
}

/// Bytes that decide about a packet: header, kind, two numbers of nine bytes, status; and a chunk's worth more would be
/// a copy for nothing.
const FRONT_BYTES_MAX: usize = 32;
