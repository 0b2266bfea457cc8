//! What can't be provoked over loopback: completions that come too late.

use super::*;
use crate::block::Blocks;
use crate::drive::Seat;
use crate::drive::tests::play::{Play, Role, Tally};
use crate::mail::CoreId;

fn driver() -> Driver<Play> {
    let exchange = Arc::new(Exchange::new(1).unwrap());
    let now = exchange.now();
    let seat = Seat { core: CoreId(0), cores: 1, blocks: 8, block_bytes: 4096, now };
    let play = Play::new(seat, Role::Echo, Arc::<Tally>::default());
    Driver::new(0, exchange, play, Vec::new(), BatchMode::Off).unwrap()
}

fn away(blocks: &mut Blocks) -> usize {
    blocks.count() - blocks.free_count()
}

#[test]
fn a_stale_completion_reaches_nobody_and_its_buffer_goes_home() {
    let mut driver = driver();
    driver.settle();
    let lent = away(driver.world.blocks());
    assert!(lent > 0);
    let dead = WireId { index: 3, generation: 7 };
    for (berth, result) in [(0, 5), (1, 0), (2, -libc::ECONNRESET)] {
        // The slot was never used, or is used by a later wire.
        let token = Token::of_wire(Kind::Receive, dead);
        driver.handle_receive(Completion::with_buffer(token, result, berth));
        driver.wires.put(WireId { index: u32::from(berth) + 3, generation: 8 }, Phase::Undialed, None, false);
    }
    assert_eq!(away(driver.world.blocks()), lent - 3);
    driver.handle_send(Completion::with_buffer(Token::of_wire(Kind::Send, dead), 5, 0));
    driver.handle_dial(Completion::with_buffer(Token::of_wire(Kind::Dial, dead), 0, 0));
    assert!(driver.world.poll_action().is_none());
    driver.end(true);
}

#[test]
fn pausing_and_resuming_in_one_turn_costs_nothing() {
    let mut driver = driver();
    let id = WireId { index: 0, generation: 0 };
    let socket = crate::drive::socket::stream(libc::AF_UNIX).unwrap();
    driver.wires.put(id, Phase::Open, Some(crate::drive::handle::Handle::File(socket)), false);
    driver.lists.unsettled.push(id);
    driver.settle();
    assert_eq!(driver.ring.in_flight(), 1, "armed");
    driver.set_paused(id, true);
    driver.set_paused(id, false);
    driver.settle();
    assert_eq!(driver.ring.in_flight(), 1);
    assert_eq!(driver.wires.get(id).unwrap().receiving, crate::drive::wires::Receiving::Armed);
    driver.end(true);
}
