//! What a core knows of one backend: connections by state, its share of the budget, its waiting line.
//!
//! Invariant: the four counts add up to the slots of this backend; `waiting` is the sum over the lanes.
//!
//! ```text
//!   quota     this core's share of the gate's connections to the backend
//!   target    the quota, less what other cores have asked for and are to get
//!   room      target − live: new connections that may come, now or when those being closed are closed
//!   shortage  waiters for whom neither a connection is being opened nor room is left
//! ```

use crate::line::Lane;
use crate::list::List;
use crate::slot::SlotState;
use crate::turns::Turns;

#[derive(Debug)]
pub(crate) struct Backend {
    pub usable: bool,
    pub quota: u32,
    /// Share that other cores have asked for and not got.
    pub debt: u32,
    /// An equal part of the budget, as said with the last debt.
    pub fair: u32,
    /// The others have been asked for share, and none has come yet.
    pub asked: bool,
    pub opening: u32,
    pub idle: u32,
    pub leased: u32,
    pub closing: u32,
    pub waiting: u32,
    pub lanes: Vec<Lane>,
    /// Of the accounts that wait, in whatever lane.
    pub turns: Turns,
    /// Idle slots whose idle time is not over, most recently used first.
    pub fresh: List,
    /// Idle slots whose idle time is over, kept because their account has no more than the warm ones.
    pub settled: List,
}

/// For whom the target is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Somebody waits, or comes now.
    Present,
    Absent,
}

impl Backend {
    pub fn new() -> Backend {
        Backend {
            usable: true,
            quota: 0,
            debt: 0,
            fair: 0,
            asked: false,
            opening: 0,
            idle: 0,
            leased: 0,
            closing: 0,
            waiting: 0,
            lanes: Vec::new(),
            turns: Turns::default(),
            fresh: List::EMPTY,
            settled: List::EMPTY,
        }
    }

    pub fn count_mut(&mut self, state: SlotState) -> &mut u32 {
        match state {
            SlotState::Opening => &mut self.opening,
            SlotState::Idle => &mut self.idle,
            SlotState::Leased => &mut self.leased,
            SlotState::Closing => &mut self.closing,
        }
    }

    /// Connections that the backend may see: what counts against the quota.
    pub fn open(&self) -> u32 {
        self.live() + self.closing
    }

    pub fn live(&self) -> u32 {
        self.opening + self.idle + self.leased
    }

    pub fn demand(&self) -> Demand {
        if self.waiting > 0 { Demand::Present } else { Demand::Absent }
    }

    /// The quota, less the part of the debt that can be paid: with waiters of its own this core keeps its fair share,
    /// with leases one connection, otherwise nothing.
    pub fn target(&self, demand: Demand) -> u32 {
        let kept = match demand {
            Demand::Present => self.fair.max(1),
            Demand::Absent => u32::from(self.leased + self.opening > 0),
        };
        self.quota - self.debt.min(self.quota.saturating_sub(kept))
    }

    pub fn room(&self, demand: Demand) -> u32 {
        self.target(demand).saturating_sub(self.live())
    }

    pub fn uncovered(&self) -> u32 {
        if self.waiting == 0 { 0 } else { self.lanes.iter().map(Lane::uncovered).sum() }
    }

    pub fn shortage(&self) -> u32 {
        if self.waiting == 0 { 0 } else { self.uncovered().saturating_sub(self.room(Demand::Present)) }
    }

    /// Neither leases nor dials: the backend is down, or this core has more connections than it should.
    pub fn is_stopped(&self, demand: Demand) -> bool {
        !self.usable || self.live() > self.target(demand)
    }

    /// A lease or a return changes nothing that a poll would act on: nobody waits, nothing is owed, nothing is too much.
    pub fn is_calm(&self) -> bool {
        self.usable && self.waiting == 0 && self.debt == 0 && self.live() <= self.quota
    }

    /// The idle slot that was used longest ago.
    pub fn least_recent(&self) -> Option<u32> {
        self.settled.last().or(self.fresh.last())
    }

    pub fn lane(&self, class: u32) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.class == class)
    }

    /// The lane of a class, made when there is none.
    pub fn lane_mut(&mut self, class: u32) -> &mut Lane {
        let at = self.lanes.iter().position(|lane| lane.class == class).unwrap_or_else(|| {
            self.lanes.push(Lane::new(class));
            self.lanes.len() - 1
        });
        &mut self.lanes[at]
    }

    pub fn drop_unused_lane(&mut self, class: u32) {
        self.lanes.retain(|lane| lane.class != class || !lane.is_unused());
    }
}
