//! `Carry`: a session that goes on at another gate with its token (S65).
//!
//! ```text
//! at one gate:      UPDATE carried SET v=n      SELECT @@read_after_write_gtid ─┐
//! at the other one: SET read_after_write_gtid='…' ◄─────────────────────────────┘      SELECT v: n, or it is stale
//! ```
//! Invariant: one pair of connections, one writer, so the version that must be seen is known exactly.

use super::level::Level;
use super::scene::{Scene, Way};
use crate::client::{Account, Client};
use crate::error::Fault;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    pub times: u64,
    pub stale: u64,
    /// How many reads were stale before the token was set: the proof that it is needed.
    pub stale_without: u64,
}

/// Carries so many tokens, back and forth; none if there are no two gates where sessions say their level.
pub fn carry(scene: &Scene, times: u64, carried: &mut Carried) -> Result<(), Fault> {
    let way = scene.ways.iter().find(|way| way.level == Level::Session && !way.preamble.is_empty());
    let Some(Way { gates, preamble, .. }) = way else {
        return Ok(());
    };
    if let [one, other, ..] = gates.as_slice() {
        for _ in 0..times {
            let (from, to) = if carried.times.is_multiple_of(2) { (one, other) } else { (other, one) };
            // Fresh sessions: what they know, they know from the token.
            carry_once(open(&from.account, preamble)?, open(&to.account, preamble)?, carried)?;
        }
    }
    Ok(())
}

fn open(account: &Account, preamble: &[String]) -> Result<Client, Fault> {
    let mut client = Client::connect(account)?;
    preamble.iter().try_for_each(|statement| client.query(statement).map(drop))?;
    Ok(client)
}

fn carry_once(mut from: Client, mut to: Client, carried: &mut Carried) -> Result<(), Fault> {
    carried.times += 1;
    let written = carried.times;
    from.query(&format!("UPDATE carried SET v={written} WHERE id=1"))?;
    let token = cell(&mut from, "SELECT @@read_after_write_gtid")?;
    carried.stale_without += u64::from(version(&mut to)? < written);
    to.query(&format!("SET read_after_write_gtid='{token}'"))?;
    carried.stale += u64::from(version(&mut to)? < written);
    Ok(())
}

fn version(client: &mut Client) -> Result<u64, Fault> {
    let text = cell(client, "SELECT v FROM carried WHERE id=1")?;
    text.parse().map_err(|_| Fault::Program(format!("{text:?} is no version")))
}

fn cell(client: &mut Client, text: &str) -> Result<String, Fault> {
    let cell = client.query(text)?.into_iter().flatten().flatten().next();
    cell.ok_or_else(|| Fault::Program(format!("no answer to {text}")))
}
