//! Paths within one part: codec, planner, pool.

use super::engine::{result, select};
use crate::path::Path;
use crate::world::CAPS;
use std::hint::black_box;
use weir_net::command::{Command, query_text};
use weir_net::packet::{HEADER_BYTES, Header};
use weir_net::scan::{ReplyKind, ReplyScan, Step};
use weir_planner::{Facts, PlanCache};
use weir_pool::{Grant, Limits, Pool, SlotId, Want};

struct Frame(Vec<u8>);

pub fn frame() -> Box<dyn Path> {
    Box::new(Frame(select(7)))
}

impl Path for Frame {
    fn walk(&mut self) {
        let bytes = black_box(&self.0[..]);
        let header = Header::decode([bytes[0], bytes[1], bytes[2], bytes[3]]);
        assert_eq!(header.payload_len as usize, bytes.len() - HEADER_BYTES);
        assert_eq!(Command::from_byte(bytes[HEADER_BYTES]), Some(Command::Query));
        black_box(query_text(&bytes[HEADER_BYTES + 1..], CAPS).is_ok());
    }
}

struct Scan {
    bytes: Vec<u8>,
    scan: ReplyScan,
}

pub fn scan_100_rows() -> Box<dyn Path> {
    Box::new(Scan { bytes: result(100), scan: ReplyScan::new(ReplyKind::Query, CAPS) })
}

impl Path for Scan {
    fn prepare(&mut self) {
        self.scan.restart(ReplyKind::Query, CAPS);
    }

    fn walk(&mut self) {
        let mut at = 0;
        while !self.scan.is_done() {
            match self.scan.advance(&mut self.bytes[at..]) {
                Step::Pass(n) | Step::Hold(n) => at += n,
                Step::Packet { len, held, .. } => at += if held { 0 } else { len },
                Step::ColumnsEnd | Step::Release => {}
                Step::Broken(what) => panic!("{}", what.0),
            }
        }
        assert_eq!(at, self.bytes.len());
    }

    fn finish(&mut self) {
        assert_eq!(self.scan.rows(), 100);
    }
}

struct Plan {
    cache: PlanCache,
    facts: Facts,
    text: Vec<u8>,
    next: Option<u32>,
}

fn plan(next: Option<u32>) -> Box<dyn Path> {
    // As a core has it.
    let cache = PlanCache::new(weir_core::limits::PLANS_MAX, weir_core::limits::PLANS_BYTES_MAX);
    let mut plan = Plan { cache, facts: Facts::default(), text: select(7)[HEADER_BYTES + 1..].to_vec(), next };
    if next.is_some() {
        (0..2 * weir_core::limits::PLANS_MAX).for_each(|_| {
            plan.prepare();
            plan.walk();
        });
    }
    Box::new(plan)
}

pub fn plan_hit() -> Box<dyn Path> {
    plan(None)
}

pub fn plan_miss() -> Box<dyn Path> {
    plan(Some(10_000_000))
}

impl Path for Plan {
    fn prepare(&mut self) {
        if let Some(next) = &mut self.next {
            *next += 1;
            self.text = select(*next)[HEADER_BYTES + 1..].to_vec();
        }
    }

    fn walk(&mut self) {
        let plan = self.cache.plan(black_box(&self.text), &self.facts);
        assert_eq!(plan.route, weir_planner::Route::Read);
    }
}

struct Lease {
    pool: Pool,
    want: Want,
    now: u64,
}

/// Ten connections there, of which the session had one before.
pub fn acquire_release() -> Box<dyn Path> {
    let mut pool = Pool::new(1, Limits::default());
    pool.set_quota(0, 10);
    let want = Want { account: 1, class: 1, schema: 1, fingerprint: 1, prefer: None, weight: 100 };
    let now = 1_000;
    let mut opened: Vec<SlotId> = Vec::new();
    while opened.len() < 10 {
        assert!(matches!(pool.acquire(now, 0, &want), Grant::Wait(_)), "all are leased");
        let (dialed, ..) = pool.poll_dial().expect("one more may be opened");
        pool.opened(now, dialed);
        opened.extend(pool.poll_ready(now).map(|(_, slot, _)| slot));
    }
    opened.iter().for_each(|slot| pool.release(now, *slot, 1, 1, 1, 1));
    Box::new(Lease { pool, want: Want { prefer: opened.first().copied(), ..want }, now })
}

impl Path for Lease {
    fn walk(&mut self) {
        self.now += 1_000;
        let Grant::Lease { slot, .. } = self.pool.acquire(self.now, 0, &self.want) else { panic!("one is free") };
        self.pool.release(self.now, slot, 1, 1, 1, 1);
        assert!(self.pool.poll_ready(self.now).is_none() && self.pool.poll_evict(self.now).is_none());
        assert!(self.pool.poll_dial().is_none());
    }
}
