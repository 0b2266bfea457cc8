//! What happened between two statuses of a gate: rates and percentiles.
//!
//! Invariant: where that cannot be told (the gate was started anew, a core was silent in one of them) there is no number.

use crate::status::{GateStatus, Latency};
use std::collections::HashMap;

#[derive(Clone, Copy, Debug)]
pub struct Since<'a> {
    before: &'a GateStatus,
    now: &'a GateStatus,
    seconds: Option<f64>,
}

impl<'a> Since<'a> {
    pub fn new(before: &'a GateStatus, now: &'a GateStatus) -> Since<'a> {
        let is_same = before.cores_silent == now.cores_silent && before.uptime_ms < now.uptime_ms;
        let seconds = is_same.then(|| (now.uptime_ms - before.uptime_ms) as f64 / 1e3);
        Since { before, now, seconds }
    }

    /// Of counters, together.
    pub fn per_second(&self, names: &[&str]) -> Option<f64> {
        let sum = |status: &GateStatus| names.iter().filter_map(|name| status.counters.get(*name)).sum::<u64>();
        Some(sum(self.now).saturating_sub(sum(self.before)) as f64 / self.seconds?)
    }

    /// Statements sent to a backend.
    pub fn commands_per_second(&self, backend: &str) -> Option<f64> {
        let pools = |status: &GateStatus| {
            status.pools.iter().filter(|pool| pool.backend == backend).map(|pool| pool.commands).sum::<u64>()
        };
        Some(pools(self.now).saturating_sub(pools(self.before)) as f64 / self.seconds?)
    }

    /// None also when nothing was measured; 0 for what is below a microsecond.
    pub fn quantile_ns(&self, name: &str, quantile: f64) -> Option<u64> {
        self.seconds?;
        let find = |status: &'a GateStatus| status.latencies.iter().find(|latency| latency.name == name);
        let had: HashMap<u64, u64> = find(self.before).map(steps).into_iter().flatten().collect();
        let new = find(self.now).map(steps).into_iter().flatten().filter_map(|(bound, count)| {
            let count = count.saturating_sub(had.get(&bound).copied().unwrap_or(0));
            (count > 0).then_some((bound, count))
        });
        let new: Vec<(u64, u64)> = new.collect();
        let wanted = new.iter().map(|(_, count)| count).sum::<u64>() as f64 * quantile;
        let mut below = 0.0;
        new.iter().find_map(|(bound, count)| {
            let (bound, count) = (*bound as f64, *count as f64);
            let part = ((wanted - below) / count).min(1.0);
            below += count;
            let is_shortest = bound <= SHORTEST_NS;
            (below >= wanted)
                .then(|| if is_shortest { 0 } else { (bound / STEP + (bound - bound / STEP) * part) as u64 })
        })
    }
}

fn steps(latency: &Latency) -> impl Iterator<Item = (u64, u64)> {
    latency.bounds_ns.iter().copied().zip(latency.counts.iter().copied())
}

/// As wide as a step is at most.
const STEP: f64 = 1.15;

/// The first step's bound: what is below it is not told apart.
const SHORTEST_NS: f64 = 1_000.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::PoolStatus;

    fn status(uptime_ms: u64, commands: u64, counts: &[(u64, u64)]) -> GateStatus {
        let (bounds_ns, counts) = counts.iter().copied().unzip();
        GateStatus {
            uptime_ms,
            counters: [("commands".to_string(), commands)].into(),
            pools: vec![PoolStatus { backend: "b".to_string(), commands, ..PoolStatus::default() }; 2],
            latencies: vec![Latency { name: "backend".to_string(), bounds_ns, counts, ..Latency::default() }],
            ..GateStatus::default()
        }
    }

    #[test]
    fn rates_and_percentiles_are_of_the_time_between() {
        let before = status(1_000, 10, &[(1_000, 500)]);
        let now = status(3_000, 30, &[(1_000, 500), (1_150, 90), (115_000, 10)]);
        let since = Since::new(&before, &now);
        assert_eq!(since.per_second(&["commands", "nothing"]), Some(10.0));
        assert_eq!(since.commands_per_second("b"), Some(20.0));
        let median = since.quantile_ns("backend", 0.5).unwrap();
        assert!((1_000..=1_150).contains(&median), "{median}");
        let tail = since.quantile_ns("backend", 0.99).unwrap();
        assert!((100_000..=115_000).contains(&tail), "{tail}");
        assert_eq!(since.quantile_ns("wait", 0.5), None);
        assert_eq!(Since::new(&status(1, 0, &[]), &before).quantile_ns("backend", 0.9), Some(0));
        assert_eq!(Since::new(&now, &now.clone()).per_second(&["commands"]), None);
    }

    #[test]
    fn a_gate_that_began_anew_and_a_silent_core_have_no_rates() {
        let (before, now) = (status(5_000, 10, &[]), status(1_000, 3, &[]));
        assert_eq!(Since::new(&before, &now).per_second(&["commands"]), None);
        let silent = GateStatus { cores_silent: vec![1], ..status(6_000, 5, &[]) };
        assert_eq!(Since::new(&before, &silent).commands_per_second("b"), None);
    }
}
