//! A registrar, as far as leases depend on it: calls that are lost, late, or refused by who does not lead.
//!
//! Invariant: a lease counts from before it was asked for, by the clock of the tablet.

use super::world::{Node, World, name};
use std::time::Duration;
use weir_control::controller::client::Lease;
use weir_control::controller::record::Record;

impl World {
    /// The registrar: one call for the lease.
    pub fn ask_lease(&mut self, at: usize) {
        let tablet = &mut self.tablets[at];
        tablet.call += 1;
        let (call, to, id, life) = (tablet.call, tablet.asks, tablet.lease_id, tablet.life);
        let asked = tablet.clock.shows(self.now);
        self.send(Node::Tablet(at), Node::Controller(to), move |w| {
            let answer = w.give_tablet_lease(to, at, id);
            w.log(|| format!("{} asks controller {to}: {:?}", name(at), answer.as_ref().map(|(id, ..)| id)));
            w.send(Node::Controller(to), Node::Tablet(at), move |w| {
                if w.tablets[at].life != life || w.tablets[at].call != call {
                    return;
                }
                w.tablets[at].call += 1;
                match answer {
                    Ok((id, lasts, record)) => w.lease_given(at, id, asked + lasts, lasts, record),
                    Err(leader) => w.lease_refused(at, leader),
                }
            });
        });
        let limit = (u64::from(self.plan.lease_ms) / 3).min(5_000);
        self.soon(at, limit, move |w| {
            if w.tablets[at].call == call {
                w.lease_refused(at, None);
            }
        });
    }

    fn lease_given(&mut self, at: usize, id: u64, until: tokio::time::Instant, lasts: Duration, record: Record) {
        if !self.tell_tablet(at, record) {
            return self.lease_refused(at, None);
        }
        let tablet = &mut self.tablets[at];
        (tablet.lease_id, tablet.pause) = (id, 50);
        tablet.lease = Lease { until: Some(until), why: String::new() };
        self.wake(at, false);
        let third = lasts.as_millis() as u64 / 3;
        let pause = self.random.between(third * 9 / 10, third * 11 / 10);
        self.soon(at, pause, move |w| w.ask_lease(at));
    }

    fn lease_refused(&mut self, at: usize, leader: Option<usize>) {
        let tablet = &mut self.tablets[at];
        let pause = match leader {
            Some(_) => 1,
            None => tablet.pause,
        };
        tablet.asks = leader.unwrap_or(tablet.asks ^ 1);
        let most = match tablet.lease.until {
            Some(_) => (u64::from(self.plan.lease_ms) / 10).clamp(50, 2_000),
            None => 500,
        };
        tablet.pause = (tablet.pause * 2).min(most);
        self.soon(at, pause, move |w| w.ask_lease(at));
    }
}
