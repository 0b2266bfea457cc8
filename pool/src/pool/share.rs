//! This core's share of the gate's connections per backend, and how it moves between cores.
//!
//! Invariant: share is given away only while nothing stands on it, so the cores' shares and what is in the mail between
//! them always add up to the budget. A core with waiters of its own never falls below its fair share by giving.

use super::Pool;

impl Pool {
    /// Sets the share. Connections beyond it are closed as they become idle.
    pub fn set_quota(&mut self, backend: u16, count: u32) {
        let at = &mut self.backends[usize::from(backend)];
        at.quota = count;
        at.asked = false;
        self.touch(backend);
    }

    pub fn quota(&self, backend: u16) -> u32 {
        self.backends[usize::from(backend)].quota
    }

    /// Another core asks for `asked` connections of this core's share, where `fair` is an equal part of the budget.
    /// Returns what can be given at once; the rest is a debt, for which idle connections are closed and which
    /// `poll_ceded` pays, until `rearm_quota`: who still wants then asks again.
    pub fn cede(&mut self, _now_ns: u64, backend: u16, asked: u32, fair: u32) -> u32 {
        let at = &mut self.backends[usize::from(backend)];
        at.debt = at.debt.saturating_add(asked);
        at.fair = fair;
        self.touch(backend);
        self.pay(backend)
    }

    /// Share that has become free for the cores that asked.
    pub fn poll_ceded(&mut self) -> Option<(u16, u32)> {
        while let Some(backend) = self.to_cede.first() {
            let count = self.pay(backend);
            if count > 0 {
                return Some((backend, count));
            }
            self.to_cede.clear(backend);
        }
        None
    }

    /// More share has arrived.
    pub fn grant(&mut self, backend: u16, count: u32) {
        let at = &mut self.backends[usize::from(backend)];
        at.quota = at.quota.saturating_add(count);
        at.asked = false;
        self.touch(backend);
    }

    /// Sessions wait here, all of the share is in use and nothing of it can be freed: the other cores are to be asked.
    /// Named once until `grant`, `set_quota` or `rearm_quota`.
    pub fn poll_quota_wanted(&mut self) -> Option<u16> {
        while let Some(backend) = self.to_want.first() {
            self.to_want.clear(backend);
            let at = &self.backends[usize::from(backend)];
            let wants = at.usable && !at.asked && at.shortage() > at.idle;
            if wants {
                self.backends[usize::from(backend)].asked = true;
                return Some(backend);
            }
        }
        None
    }

    /// Forgets what was asked for on either side: whoever still wants asks anew.
    pub fn rearm_quota(&mut self, backend: u16) {
        let at = &mut self.backends[usize::from(backend)];
        at.asked = false;
        at.debt = 0;
        self.touch(backend);
    }

    /// Takes from the quota what is owed, unused and not to be kept.
    fn pay(&mut self, backend: u16) -> u32 {
        let at = &mut self.backends[usize::from(backend)];
        let kept = at.target(at.demand()).max(at.open());
        let count = at.quota.saturating_sub(kept).min(at.debt);
        at.quota -= count;
        at.debt -= count;
        if count > 0 {
            self.touch(backend);
        }
        count
    }
}
