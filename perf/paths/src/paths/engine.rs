//! Paths through the engine: a client's bytes in, a backend's bytes out, and back.

use crate::path::Path;
use crate::world::{CAPS, UUID, World, framed, ok};
use weir_core::block::Chunk;
use weir_core::snapshot::Settings;
use weir_core::trace::TraceSettings;
use weir_net::column::{Column, Form, put_result};
use weir_net::flags::Status;
use weir_net::gtid::{GtidSet, Sid};
use weir_net::outcome::EofPacket;
use weir_net::track::{Track, put_track};

/// sysbench's point select.
pub fn select(id: u32) -> Vec<u8> {
    framed(0, format!("\x03SELECT c FROM sbtest1 WHERE id={id:08}").as_bytes())
}

/// Its reply with so many rows.
pub fn result(rows: usize) -> Vec<u8> {
    let mut column = Column::text(b"c", 120);
    (column.schema, column.table, column.org_table, column.org_name) = (b"shop", b"sbtest1", b"sbtest1", b"c");
    let row = vec![Some(vec![b'7'; 100])];
    let end = EofPacket { warnings: 0, status: Status::AUTOCOMMIT };
    let mut bytes = Vec::new();
    put_result(&mut bytes, 1, CAPS, end, &[column], &vec![row; rows], Form::Text);
    bytes
}

/// What is counted of a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Up to the lease: what brings the leased connection in line and sends the command is left out by whoever counts.
    Lease,
    Command,
    Reply,
    Both,
}

struct Road {
    world: World,
    part: Part,
    command: Box<dyn FnMut() -> Vec<u8>>,
    reply: Box<dyn FnMut() -> Vec<u8>>,
    /// Handed over in the next walk.
    chunks: Vec<Chunk>,
    /// Of this round; and what was sent before it.
    answer: Vec<u8>,
    sent: u64,
}

impl Road {
    fn between(
        mut world: World,
        part: Part,
        mut command: impl FnMut() -> Vec<u8> + 'static,
        mut reply: impl FnMut() -> Vec<u8> + 'static,
    ) -> Box<dyn Path> {
        let (said, answer) = (command(), reply());
        let (to_backend, to_client) = world.exchange(&said, &answer);
        assert_eq!(to_backend, said, "the command goes on as it came");
        assert!(!to_client.is_empty(), "and is answered");
        let (command, reply) = (Box::new(command), Box::new(reply));
        Box::new(Road { world, part, command, reply, chunks: Vec::with_capacity(2), answer: Vec::new(), sent: 0 })
    }
}

impl Path for Road {
    fn prepare(&mut self) {
        let command = (self.command)();
        self.answer = (self.reply)();
        self.sent = self.world.sent;
        if self.part == Part::Reply {
            self.world.from_client(&command);
        } else {
            let chunk = self.world.chunk(&command);
            self.chunks.push(chunk);
        }
        if matches!(self.part, Part::Reply | Part::Both) {
            let chunk = self.world.chunk(&self.answer);
            self.chunks.insert(0, chunk);
        }
    }

    fn walk(&mut self) {
        if self.part == Part::Lease {
            let chunk = self.chunks.pop().expect("it was prepared");
            return self.world.hand_in(chunk);
        }
        if self.part != Part::Reply {
            let chunk = self.chunks.pop().expect("it was prepared");
            self.world.client_chunk(chunk);
        }
        if self.part != Part::Command {
            let chunk = self.chunks.pop().expect("it was prepared");
            self.world.backend_chunk(chunk);
        }
    }

    fn finish(&mut self) {
        if self.part == Part::Lease {
            self.world.go_on();
        }
        if matches!(self.part, Part::Lease | Part::Command) {
            self.world.from_backend(&self.answer);
        }
        assert!(self.world.sent > self.sent + self.answer.len() as u64 / 2, "both have gone on");
    }
}

fn text(part: Part, rows: usize) -> Box<dyn Path> {
    Road::between(World::new(), part, || select(7), move || result(rows))
}

pub fn select_to_lease() -> Box<dyn Path> {
    text(Part::Lease, 1)
}

pub fn select_to_backend() -> Box<dyn Path> {
    text(Part::Command, 1)
}

pub fn miss_to_lease() -> Box<dyn Path> {
    miss(Part::Lease)
}

pub fn miss_to_backend() -> Box<dyn Path> {
    miss(Part::Command)
}

/// Each text once. The cache fills in the beginning, so that keeping a plan costs another's place.
fn miss(part: Part) -> Box<dyn Path> {
    let mut world = World::new();
    let reply = result(1);
    for id in 0..2 * weir_core::limits::PLANS_MAX as u32 {
        world.from_client(&select(id));
        world.from_backend(&reply);
    }
    let mut id = 10_000_000;
    let next = move || {
        id += 1;
        select(id)
    };
    Road::between(world, part, next, || result(1))
}

pub fn reply_1_row() -> Box<dyn Path> {
    text(Part::Reply, 1)
}

pub fn reply_100_rows() -> Box<dyn Path> {
    text(Part::Reply, 100)
}

pub fn point_select() -> Box<dyn Path> {
    text(Part::Both, 1)
}

/// One of so many has a span.
fn traced(sample: u32) -> Box<dyn Path> {
    let traces = TraceSettings { is_on: true, sample, per_s_max: 1_000_000_000 };
    let world = World::with(Settings { traces, ..Settings::default() });
    Road::between(world, Part::Both, || select(7), || result(1))
}

pub fn point_select_traced_1_of_100() -> Box<dyn Path> {
    traced(100)
}

pub fn point_select_traced() -> Box<dyn Path> {
    traced(1)
}

pub fn reply_ok_gtid() -> Box<dyn Path> {
    let command = || framed(0, b"\x03UPDATE sbtest1 SET k=k+1 WHERE id=7");
    let mut number = 0;
    let reply = move || {
        number += 1;
        let mut gtids = GtidSet::new();
        gtids.add(Sid::of(UUID), number, number);
        let mut track = Vec::new();
        put_track(&mut track, &Track::Gtids(gtids.to_string().as_bytes()));
        ok(1, &track)
    };
    Road::between(World::new(), Part::Reply, command, reply)
}

fn prepared(part: Part) -> Box<dyn Path> {
    let mut world = World::new();
    let mut prepared = framed(1, &[0, 9, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0]);
    for seq in [2, 3] {
        prepared.extend(framed(seq, b"\x03def\0\0\0\x01?\0\x0c\x3f\0\0\0\0\0\x08\x80\0\0\0\0"));
    }
    let (_, answer) = world.exchange(&framed(0, b"\x16SELECT c FROM sbtest1 WHERE id=?"), &prepared);
    let [_, _, _, _, 0, id @ ..] = &answer[..] else { panic!("it is prepared: {answer:?}") };
    let id: [u8; 4] = id[..4].try_into().expect("a number of four bytes");
    // With its type, as drivers send it the first time.
    let first = [&b"\x17"[..], &id, b"\0\x01\0\0\0", b"\0\x01\x08\0", &7_u64.to_le_bytes()].concat();
    world.exchange(&framed(0, &first), &result(1));
    let again = [&b"\x17"[..], &id, b"\0\x01\0\0\0", b"\0\0", &7_u64.to_le_bytes()].concat();
    let command = framed(0, &again);
    let (to_backend, to_client) = world.exchange(&command, &result(1));
    // The number of the statement is another one there.
    assert_eq!((to_backend.len(), to_backend[4]), (command.len(), 0x17), "the command goes on");
    assert!(!to_client.is_empty(), "and is answered");
    let (command, reply) = (Box::new(move || command.clone()), Box::new(|| result(1)));
    Box::new(Road { world, part, command, reply, chunks: Vec::with_capacity(2), answer: Vec::new(), sent: 0 })
}

pub fn execute_to_lease() -> Box<dyn Path> {
    prepared(Part::Lease)
}

pub fn execute_to_backend() -> Box<dyn Path> {
    prepared(Part::Command)
}

pub fn point_execute() -> Box<dyn Path> {
    prepared(Part::Both)
}
