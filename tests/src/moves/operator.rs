//! An operator: switchovers, losses that are accepted, members that are drained.

use super::clock::Ms;
use super::world::{World, name};
use std::time::Duration;
use weir_control::controller::failover::coordinator::Move;
use weir_control::controller::failover::order::Order;
use weir_control::controller::record::{MemberState, Phase};

impl World {
    fn leader(&self) -> Option<usize> {
        (0..self.chairs.len()).find(|at| self.chairs[*at].leads(self.now) && self.chairs[*at].frozen == 0)
    }

    /// An operator asks the leader for a switchover.
    pub fn order(&mut self, heir: usize, drain: Ms) {
        let Some(at) = self.leader() else { return };
        let Some(sight) = self.sight(at) else { return };
        let now = self.chairs[at].clock.shows(self.now);
        let order = Order { heir: name(heir).to_string(), drain: Duration::from_millis(drain), epoch: None };
        let Some((coordinator, _)) = self.chairs[at].term.as_mut().and_then(|term| term.begun.as_mut()) else {
            return;
        };
        let outcome = coordinator.order(now, &sight, order);
        self.log(|| format!("order to {}: {outcome:?}", name(heir)));
        if outcome.is_ok() {
            self.oracle.counts.orders += 1;
            self.chairs[at].order_began = Some(self.now);
        }
        self.step_soon(at);
    }

    pub fn accept_loss(&mut self) {
        let Some(at) = self.leader() else { return };
        let is_vacant = matches!(
            self.chairs[at].guard.record().map(|record| &record.phase),
            Some(Phase::Interregnum { heir: None, .. })
        );
        if let Some((coordinator, _)) = self.chairs[at].term.as_mut().and_then(|term| term.begun.as_mut())
            && is_vacant
        {
            coordinator.accept_loss();
            self.oracle.loss_is_accepted = true;
        }
    }

    /// An operator takes a member out of service, or back.
    pub fn drain_member(&mut self, member: usize) {
        let Some(at) = self.leader() else { return };
        let Some(record) = self.chairs[at].guard.record().cloned() else { return };
        let next = match record.members[name(member)].state {
            MemberState::Active => MemberState::Drained,
            MemberState::Drained => MemberState::Active,
            MemberState::Diverged => return,
        };
        let members = vec![(name(member).to_string(), next, String::new())];
        let reason = "an operator".to_string();
        self.change(at, Move { phase: record.phase.clone(), promoted: None, members, reason });
    }
}
