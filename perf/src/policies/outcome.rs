//! `Outcome`: how one policy spread the reads, and what of it must not be.
//!
//! A replica's fair share is its weight's part of the weights of those that serve. In each part the replicas that
//! nobody slows down or restarts must be near their fair shares of what they serve together; over the whole part, and,
//! less strictly, in nearly every quarter of a second: a herd is fair in the long run, too.
//!
//! Invariant: it depends on its counts alone.

use super::policy::Policy;
use super::readers::{BIN, Part, sum};
use crate::limits::NODES_MAX;

/// Weights of the nodes by number: the primary serves no reads, then replicas 1, 2 and 3.
pub const WEIGHTS: [u64; 4] = [0, 3, 2, 1];
/// The node behind the slow way, and the one that is restarted.
pub const SLOWED: usize = 2;
pub const RESTARTED: usize = 3;

#[derive(Clone, Debug)]
pub struct Outcome {
    pub policy: Policy,
    pub even: Part,
    pub slowed: Part,
    pub restarted: Part,
}

impl Outcome {
    /// What must not be. Empty is a good end.
    pub fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, part) in self.parts() {
            if part.errors > 0 {
                wrong.push(format!("{name}: {} errors", part.errors));
            }
        }
        if self.policy == Policy::Disable {
            let on_replicas = |part: &Part| part.by_node().iter().skip(1).sum::<u64>();
            let on_replicas: u64 = self.parts().iter().map(|(_, part)| on_replicas(part)).sum();
            if on_replicas > 0 {
                wrong.push(format!("{on_replicas} reads went to replicas"));
            }
            return wrong;
        }
        wrong.extend(self.wrong_spread("even", &self.even, &[1, 2, 3]));
        wrong.extend(self.wrong_spread("slowed", &self.slowed, &[1, 3]));
        wrong.extend(self.wrong_spread("restarted", &self.restarted, &[1, 2]));
        let slowed = share(&self.slowed.by_node(), SLOWED, &[1, 2, 3]) / fair(SLOWED, &[1, 2, 3]);
        if self.policy.avoids_the_slow() && slowed > SLOWED_SHARE_MAX {
            wrong.push(format!("slowed: the slow replica still has {slowed:.2} of its fair share"));
        }
        wrong.extend(self.wrong_return());
        wrong
    }

    pub fn parts(&self) -> [(&'static str, &Part); 3] {
        [("even", &self.even), ("slowed", &self.slowed), ("restarted", &self.restarted)]
    }

    /// The restarted replica's share of the reads in each second since its return, as a part of its fair one.
    pub fn seconds_since_return(&self) -> Vec<f64> {
        let bins = &self.restarted.bins;
        let served = |bin: &[u64; NODES_MAX]| bin[RESTARTED] > 0;
        // It serves until it is stopped, then for at least a bin nothing, then again.
        let stopped = bins.iter().position(served).and_then(|first| {
            let rest = bins[first..].iter().position(|bin| !served(bin))?;
            Some(first + rest)
        });
        let Some(back) = stopped.and_then(|stopped| Some(stopped + bins[stopped..].iter().position(served)?)) else {
            return Vec::new();
        };
        let per_second = (1_000 / BIN.as_millis()) as usize;
        let seconds = bins[back..].chunks_exact(per_second);
        seconds.map(|bins| share(&sum(bins), RESTARTED, &[1, 2, 3]) / fair(RESTARTED, &[1, 2, 3])).collect()
    }

    /// The largest share, beside its fair one, that a healthy replica had in nineteen of twenty bins.
    pub fn peak(part: &Part, healthy: &[usize]) -> Option<f64> {
        let enough = |bin: &&[u64; NODES_MAX]| bin.iter().sum::<u64>() >= BIN_READS_MIN;
        let peaks = healthy.iter().filter_map(|node| {
            let mut shares: Vec<f64> = (part.bins.iter().filter(enough))
                .map(|bin| share(bin, *node, healthy) / fair(*node, healthy))
                .collect();
            shares.sort_by(f64::total_cmp);
            shares.get(shares.len() * 19 / 20).or(shares.last()).copied()
        });
        peaks.max_by(f64::total_cmp)
    }

    fn wrong_spread(&self, name: &str, part: &Part, healthy: &[usize]) -> Vec<String> {
        let mut wrong = Vec::new();
        for node in healthy {
            let ratio = share(&part.by_node(), *node, healthy) / fair(*node, healthy);
            if !(FAIR_RATIO_MIN..=FAIR_RATIO_MAX).contains(&ratio) {
                wrong.push(format!("{name}: replica {node} has {ratio:.2} of its fair share"));
            }
        }
        match Self::peak(part, healthy) {
            Some(peak) if peak > PEAK_RATIO_MAX => {
                wrong.push(format!("{name}: a replica has {peak:.2} of its fair share for a quarter of a second"));
            }
            Some(_) => {}
            None => wrong.push(format!("{name}: too few reads")),
        }
        wrong
    }

    fn wrong_return(&self) -> Vec<String> {
        let seconds = self.seconds_since_return();
        let Some(first) = seconds.first() else {
            return vec!["restarted: the replica did not come back to serve".to_owned()];
        };
        // Sessions stay for a second: one second alone tells of a handful of choices.
        let end = &seconds[seconds.len().saturating_sub(LAST_SECONDS)..];
        let last = end.iter().sum::<f64>() / end.len() as f64;
        let mut wrong = Vec::new();
        if *first > FIRST_SECOND_MAX {
            wrong.push(format!("restarted: {first:.2} of its fair share in the first second is no slow start"));
        }
        if last < FAIR_RATIO_MIN {
            wrong.push(format!("restarted: only {last:.2} of its fair share {} s after its return", seconds.len()));
        }
        wrong
    }
}

/// Its part of the reads that these served.
pub fn share(by_node: &[u64; NODES_MAX], node: usize, among: &[usize]) -> f64 {
    let all: u64 = among.iter().map(|node| by_node[*node]).sum();
    by_node[node] as f64 / all.max(1) as f64
}

pub fn fair(node: usize, among: &[usize]) -> f64 {
    WEIGHTS[node] as f64 / among.iter().map(|node| WEIGHTS[*node]).sum::<u64>() as f64
}

/// A healthy replica's share beside its fair one, over a part.
const FAIR_RATIO_MAX: f64 = 1.6;
const FAIR_RATIO_MIN: f64 = 1.0 / 3.0;
/// Over which the share of the replica that came back is judged.
const LAST_SECONDS: usize = 4;
/// In nineteen of twenty bins. A herd on the heaviest one would be 2.
const PEAK_RATIO_MAX: f64 = 1.8;
/// Of the slowed replica, where the policy must see that it is slow.
const SLOWED_SHARE_MAX: f64 = 0.8;
/// Of the replica that came back, in its first second.
const FIRST_SECOND_MAX: f64 = 0.7;
/// A bin with fewer says nothing.
const BIN_READS_MIN: u64 = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::new_histogram;
    use std::time::Duration;

    fn part(bins: &[[u64; 4]]) -> Part {
        let wide = |bin: &[u64; 4]| {
            let mut wide = [0; NODES_MAX];
            wide[..4].copy_from_slice(bin);
            wide
        };
        let bins = bins.iter().map(wide).collect();
        Part { bins, time: Duration::from_secs(1), latency: new_histogram(), errors: 0, samples: Vec::new() }
    }

    const FAIR: [u64; 4] = [0, 300, 200, 100];
    const GONE: [u64; 4] = [0, 360, 240, 0];

    fn good() -> Outcome {
        let mut bins = vec![FAIR; 4];
        bins.extend([GONE; 4]);
        bins.extend([[0, 330, 230, 40]; 4]);
        bins.extend([FAIR; 5]);
        let even = part(&[FAIR; 20]);
        Outcome { policy: Policy::LeastRt, even, slowed: part(&[[0, 400, 20, 140]; 20]), restarted: part(&bins) }
    }

    #[test]
    fn a_good_one() {
        assert_eq!(good().wrong(), Vec::<String>::new());
        let seconds = good().seconds_since_return();
        assert_eq!(seconds.len(), 2);
        assert!((seconds[0] - 0.4).abs() < 0.001 && (seconds[1] - 1.0).abs() < 0.001, "{seconds:?}");
    }

    #[test]
    fn each_fault_is_named() {
        let check = |change: &dyn Fn(&mut Outcome), expected: &str| {
            let mut outcome = good();
            change(&mut outcome);
            let wrong = outcome.wrong();
            assert!(wrong.iter().any(|what| what.contains(expected)), "{expected}: {wrong:?}");
        };
        check(&|o| o.even = part(&[[0, 100, 200, 300]; 20]), "even: replica 3 has 3.00");
        // Fair in the long run, and a herd all the same.
        let mut herd = vec![[0, 600, 0, 0]; 15];
        herd.extend([[0, 0, 600, 0]; 10]);
        herd.extend([[0, 0, 0, 600]; 5]);
        check(&|o| o.even = part(&herd), "for a quarter of a second");
        check(&|o| o.slowed = part(&[FAIR; 20]), "the slow replica still has 1.00");
        check(&|o| o.restarted = part(&[FAIR, FAIR, GONE, GONE]), "did not come back");
        let mut sudden = vec![FAIR; 4];
        sudden.extend([GONE; 4]);
        sudden.extend([FAIR; 8]);
        check(&|o| o.restarted = part(&sudden), "is no slow start");
        check(&|o| o.even = part(&[]), "too few reads");
        check(&|o| o.policy = Policy::Disable, "reads went to replicas");
        check(&|o| o.slowed.errors = 3, "slowed: 3 errors");
        let mut disabled = good();
        disabled.policy = Policy::Disable;
        let primary = || part(&[[600, 0, 0, 0]; 20]);
        (disabled.even, disabled.slowed, disabled.restarted) = (primary(), primary(), primary());
        assert_eq!(disabled.wrong(), Vec::<String>::new());
    }
}
