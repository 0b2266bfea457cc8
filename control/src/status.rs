//! The status: one picture of the gate, as the control thread takes it, and as it is shown.
//!
//! Invariant: a [`Picture`] holds the cores' reports as they came; a [`GateStatus`] is made of it and of nothing else.
//! No statement's parameters, no password and no row is in either.

use crate::config::address;
use crate::controller::record::{Phase, Record, Wanted};
use crate::expiry::Expiry;
use crate::monitor::topology::role_name;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_core::filters::Filters;
use weir_core::snapshot::{BackendView, Health, Role};
use weir_core::stats::{Counters, Report, latency_histogram};

/// What the control thread knows, and what the cores answered in time.
#[derive(Clone, Debug)]
pub struct Picture {
    pub uptime_ms: u64,
    pub ready: bool,
    pub draining: bool,
    pub generation: u64,
    pub listen: Vec<String>,
    pub cores: usize,
    /// With the note about each.
    pub backends: Vec<(BackendView, String)>,
    pub read_write_splitting: bool,
    pub replica_lag_ms_max: u32,
    /// None: no controllers are named.
    pub cluster: Option<ClusterPicture>,
    /// How connection ids of new clients begin.
    pub tag: u8,
    /// As the settings are now.
    pub clients_max: u32,
    /// Somebody takes writes.
    pub has_primary: bool,
    /// What the control thread counts itself: name, value, explanation.
    pub own: Vec<(&'static str, u64, &'static str)>,
    /// When certificates end.
    pub certificates: Vec<Expiry>,
    /// None: there never were any.
    pub filters: Option<Filters>,
    /// At most one per core.
    pub reports: Vec<Report>,
}

/// What controllers have told.
#[derive(Clone, Debug)]
pub struct ClusterPicture {
    /// The last word, which holds until the next.
    pub record: Option<Arc<Record>>,
    /// Why no controller takes our registration now; empty when one does.
    pub why: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GateStatus {
    pub version: String,
    pub uptime_ms: u64,
    pub ready: bool,
    pub draining: bool,
    pub generation: u64,
    pub listen: Vec<String>,
    pub cores: u32,
    pub cores_silent: Vec<u32>,
    pub cluster: Option<ClusterStatus>,
    /// How connection ids of new clients begin; 0: it does not say.
    pub tag: u32,
    /// Client connections that are let in; 0: it does not say.
    pub clients_max: u32,
    pub backends: Vec<BackendStatus>,
    pub pools: Vec<PoolStatus>,
    pub counters: BTreeMap<String, u64>,
    pub latencies: Vec<Latency>,
    pub pins: Vec<PinStatus>,
}

/// The controllers' last word.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterStatus {
    pub name: String,
    pub epoch: u64,
    pub phase: String,
    /// Empty: there is none.
    pub primary: String,
    /// Why there are no controllers at the moment; empty when there are.
    pub why: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendStatus {
    pub name: String,
    pub address: String,
    pub role: String,
    pub health: String,
    pub lag_ms: Option<u32>,
    pub weight: u32,
    pub version: String,
    pub read_only: bool,
    pub gtid_executed: String,
    pub note: String,
    /// Of the reads that may go to a replica, the share that this one is offered, in thousandths.
    pub read_share_permille: u32,
    pub zone: String,
    /// By the controllers: primary, any or replica; empty without them.
    pub wanted: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolStatus {
    pub core: u32,
    pub backend: String,
    pub quota: u32,
    pub open: u32,
    pub idle: u32,
    pub leased: u32,
    pub waiting: u32,
    pub commands: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    pub name: String,
    pub count: u64,
    pub p50_ns: u64,
    pub p99_ns: u64,
    pub p999_ns: u64,
    pub max_ns: u64,
    pub sum_ns: u64,
    /// Upper bounds of the steps in which something was counted, ascending, each 15 % above the
    /// one before or more.
    pub bounds_ns: Vec<u64>,
    /// How much was counted in each of them since the start.
    pub counts: Vec<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PinStatus {
    pub core: u32,
    pub connection_id: u32,
    pub user: String,
    pub backend: String,
    pub reason: String,
    pub statement: String,
    pub age_ms: u64,
}

pub type Pick = fn(&Report) -> &Histogram<u64>;

/// The histograms of a report, by the name that they are shown under, and what they measure.
pub const LATENCIES: [(&str, &str, Pick); 3] = [
    ("wait", "From wanting a backend connection to having it.", |report| &report.wait_ns),
    ("backend", "From the command's last byte sent to the reply's last byte received.", |report| &report.backend_ns),
    ("gate", "From a command complete to its sending when no waiting was needed.", |report| &report.gate_ns),
];

impl Picture {
    /// Of the server that takes writes, if one is up.
    pub fn primary_name(&self) -> Option<&str> {
        let takes_writes = |view: &BackendView| view.role == Role::Primary && view.health == Health::Up;
        self.backends.iter().find(|(view, _)| takes_writes(view)).map(|(view, _)| view.name.as_str())
    }

    pub fn status(&self) -> GateStatus {
        let shares = self.read_shares_permille();
        let mut counters = Counters::default();
        self.reports.iter().for_each(|report| counters.add(&report.counters));
        GateStatus {
            version: env!("CARGO_PKG_VERSION").to_string(),
            uptime_ms: self.uptime_ms,
            ready: self.ready,
            draining: self.draining,
            generation: self.generation,
            listen: self.listen.clone(),
            cores: self.cores as u32,
            cores_silent: self.silent(),
            cluster: self.cluster.as_ref().map(ClusterPicture::status),
            tag: u32::from(self.tag),
            clients_max: self.clients_max,
            backends: self
                .backends
                .iter()
                .zip(shares)
                .map(|((view, note), share)| BackendStatus {
                    wanted: self.wanted(&view.name).to_string(),
                    ..backend(view, note, share)
                })
                .collect(),
            pools: self.reports.iter().flat_map(pools).collect(),
            counters: counters
                .each()
                .into_iter()
                .chain(self.own.iter().copied())
                .map(|(name, value, _)| (name.to_string(), value))
                .collect(),
            latencies: LATENCIES.iter().map(|(name, _, pick)| self.latency(name, *pick)).collect(),
            pins: self.reports.iter().flat_map(pins).collect(),
        }
    }

    /// Cores that did not answer in time.
    pub fn silent(&self) -> Vec<u32> {
        let answered = |core: &u32| self.reports.iter().any(|report| u32::from(report.core) == *core);
        (0..self.cores as u32).filter(|core| !answered(core)).collect()
    }

    fn wanted(&self, name: &str) -> &'static str {
        let record = self.cluster.as_ref().and_then(|cluster| cluster.record.as_deref());
        record.map_or("", |record| wanted_name(record, name))
    }

    /// By weight among the replicas that may get reads; the primary's if there are none.
    pub fn read_shares_permille(&self) -> Vec<u32> {
        let takes = |view: &BackendView| {
            let is_in_time = view.lag_ms.is_some_and(|lag| lag <= self.replica_lag_ms_max);
            self.read_write_splitting && view.role == Role::Replica && view.health == Health::Up && is_in_time
        };
        let weight = |view: &BackendView| if takes(view) { u64::from(view.weight) } else { 0 };
        let total: u64 = self.backends.iter().map(|(view, _)| weight(view)).sum();
        let share = |view: &BackendView| match total {
            0 => u32::from(view.role == Role::Primary && view.health == Health::Up) * 1_000,
            total => (weight(view) * 1_000 / total) as u32,
        };
        self.backends.iter().map(|(view, _)| share(view)).collect()
    }

    fn latency(&self, name: &str, pick: Pick) -> Latency {
        let mut all = latency_histogram();
        for report in &self.reports {
            // The bounds are the same everywhere, so this cannot fail; if it did, a part would be missing.
            let _ = all.add(pick(report));
        }
        let (bounds_ns, counts) = steps(&all);
        Latency {
            name: name.to_string(),
            bounds_ns,
            counts,
            count: all.len(),
            p50_ns: all.value_at_quantile(0.5),
            p99_ns: all.value_at_quantile(0.99),
            p999_ns: all.value_at_quantile(0.999),
            max_ns: all.max(),
            sum_ns: sum_ns(&all),
        }
    }
}

impl ClusterPicture {
    fn status(&self) -> ClusterStatus {
        let why = self.why.clone();
        let Some(record) = &self.record else { return ClusterStatus { why, ..ClusterStatus::default() } };
        ClusterStatus {
            name: record.cluster.clone(),
            epoch: record.epoch.number(),
            phase: phase_name(&record.phase).to_string(),
            primary: record.primary().unwrap_or_default().to_string(),
            why,
        }
    }
}

pub fn phase_name(phase: &Phase) -> &'static str {
    match phase {
        Phase::Forming => "forming",
        Phase::Steady { .. } => "steady",
        Phase::Handover { .. } => "handover",
        Phase::Interregnum { .. } => "interregnum",
    }
}

/// What the record wants of a member; empty for who is none.
pub fn wanted_name(record: &Record, member: &str) -> &'static str {
    match record.members.get(member) {
        Some(_) if record.primary() == Some(member) => "primary",
        Some(member) if member.wanted == Wanted::Replica => "replica",
        Some(_) => "any",
        None => "",
    }
}

/// As exact as the histogram's buckets.
pub fn sum_ns(histogram: &Histogram<u64>) -> u64 {
    if histogram.is_empty() { 0 } else { (histogram.mean() * histogram.len() as f64) as u64 }
}

/// The steps of a histogram in which something was counted: whoever keeps them can tell the percentiles of any time between two
/// pictures, as exact as a step is wide.
fn steps(histogram: &Histogram<u64>) -> (Vec<u64>, Vec<u64>) {
    let (mut bounds, mut counts) = (Vec::<u64>::new(), Vec::<u64>::new());
    let mut bound = STEPS_FROM_NS;
    for step in histogram.iter_recorded() {
        while bound < step.value_iterated_to() {
            bound += bound * STEP_PERCENT / 100;
        }
        match counts.last_mut().filter(|_| bounds.last() == Some(&bound)) {
            Some(count) => *count += step.count_since_last_iteration(),
            None => {
                bounds.push(bound);
                counts.push(step.count_since_last_iteration());
            }
        }
    }
    (bounds, counts)
}

/// Width of a step of [`Latency::bounds_ns`]: some hundred steps for all times that there are.
const STEP_PERCENT: u64 = 15;

const STEPS_FROM_NS: u64 = 1_000;

pub fn health_name(health: Health) -> &'static str {
    match health {
        Health::Up => "up",
        Health::Down => "down",
        Health::Gone => "gone",
    }
}

fn backend(view: &BackendView, note: &str, share: u32) -> BackendStatus {
    BackendStatus {
        name: view.name.clone(),
        address: address::show(&view.address),
        role: role_name(view.role).to_string(),
        health: health_name(view.health).to_string(),
        lag_ms: view.lag_ms,
        weight: view.weight,
        version: view.version.clone(),
        read_only: view.read_only,
        gtid_executed: view.executed.to_string(),
        note: note.to_string(),
        read_share_permille: share,
        zone: view.zone.clone(),
        wanted: String::new(),
    }
}

fn pools(report: &Report) -> impl Iterator<Item = PoolStatus> {
    report.pools.iter().map(|pool| PoolStatus {
        core: u32::from(report.core),
        backend: pool.backend.clone(),
        quota: pool.quota,
        open: pool.open,
        idle: pool.idle,
        leased: pool.leased,
        waiting: pool.waiting,
        commands: pool.commands,
    })
}

fn pins(report: &Report) -> impl Iterator<Item = PinStatus> {
    report.pins.iter().map(|pin| PinStatus {
        core: u32::from(report.core),
        connection_id: pin.connection_id,
        user: pin.user.clone(),
        backend: pin.backend.clone(),
        reason: pin.reason.to_string(),
        statement: pin.statement.clone(),
        age_ms: pin.age_ms,
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::controller::record::tests::{member, record};
    use weir_core::snapshot::{Address, BackendId};
    use weir_core::stats::{PinReport, PoolReport};

    fn view(at: u16, role: Role, lag_ms: Option<u32>) -> (BackendView, String) {
        let view = BackendView {
            id: BackendId(at),
            name: format!("b{at}"),
            uuid: None,
            address: Address::Tcp(format!("127.0.0.1:{}", 1000 + at).parse().unwrap()),
            role,
            health: Health::Up,
            lag_ms,
            executed: Arc::default(),
            weight: 100 * u32::from(at),
            version: "9.7.4".to_string(),
            version_number: 90_704,
            read_only: role == Role::Replica,
            zone: String::new(),
            queries_per_second: 0,
            threads_connected: 0,
            threads_running: 0,
        };
        (view, String::new())
    }

    fn report(core: u16) -> Report {
        let mut report = Report {
            core,
            counters: Counters { commands: 10, clients_open: 2, ..Counters::default() },
            wait_ns: latency_histogram(),
            backend_ns: latency_histogram(),
            gate_ns: latency_histogram(),
            pools: vec![PoolReport {
                backend: "b0".to_string(),
                quota: 5,
                open: 2,
                idle: 1,
                leased: 1,
                ..PoolReport::default()
            }],
            pins: vec![PinReport {
                connection_id: 77,
                user: "app".to_string(),
                backend: "b0".to_string(),
                reason: "lock",
                statement: "SELECT GET_LOCK".to_string(),
                age_ms: 1_234,
            }],
            pins_ever: Vec::new(),
            digests: Vec::new(),
            sessions: Vec::new(),
            sessions_untold: 0,
        };
        report.backend_ns.record(1_000_000).unwrap();
        report
    }

    /// Two of three cores have answered.
    pub fn picture() -> Picture {
        Picture {
            uptime_ms: 61_000,
            ready: true,
            draining: false,
            generation: 9,
            listen: vec!["127.0.0.1:3306".to_string()],
            cores: 3,
            backends: vec![
                view(0, Role::Primary, Some(0)),
                view(1, Role::Replica, Some(5)),
                view(2, Role::Replica, Some(7)),
            ],
            read_write_splitting: true,
            replica_lag_ms_max: 10,
            cluster: None,
            tag: 7,
            clients_max: 1_000,
            has_primary: true,
            own: vec![("query_log_lines", 5, "Lines.")],
            certificates: vec![Expiry { used_for: "clients", file: "c.pem".to_string(), not_after: 2_214_172_800 }],
            filters: None,
            reports: vec![report(0), report(2)],
        }
    }

    #[test]
    fn reports_are_summed_and_missing_ones_named() {
        let status = picture().status();
        assert_eq!((status.cores, status.cores_silent.as_slice()), (3, &[1][..]));
        assert_eq!(status.counters["query_log_lines"], 5);
        assert_eq!((status.counters["commands"], status.pools.len(), status.pins.len()), (20, 2, 2));
        let backend = &status.latencies[1];
        assert_eq!((backend.name.as_str(), backend.count), ("backend", 2));
        assert_eq!((backend.counts.as_slice(), backend.bounds_ns.len()), (&[2][..], 1));
        assert!((1_000_000..1_150_000).contains(&backend.bounds_ns[0]), "{backend:?}");
        assert!((990_000..1_010_000).contains(&backend.p50_ns) && (1_980_000..2_020_000).contains(&backend.sum_ns));
    }

    #[test]
    fn the_controllers_word_is_told_beside_each_backend() {
        let mut record = record(7, Phase::Steady { primary: "b0".to_string() });
        for (at, wanted) in [(0, Wanted::Any), (1, Wanted::Replica)] {
            let member = crate::controller::record::Member { wanted, ..member(at + 5) };
            record.members.insert(format!("b{at}"), member);
        }
        let cluster = Some(ClusterPicture { record: Some(Arc::new(record)), why: "nobody answers".to_string() });
        let status = Picture { cluster, ..picture() }.status();
        let wanted: Vec<&str> = status.backends.iter().map(|backend| backend.wanted.as_str()).collect();
        assert_eq!(wanted, ["primary", "replica", ""]);
        let cluster = status.cluster.unwrap();
        assert_eq!((cluster.epoch, cluster.phase.as_str(), cluster.primary.as_str()), (7, "steady", "b0"));
        assert_eq!((cluster.name.as_str(), cluster.why.as_str()), ("main", "nobody answers"));
    }

    #[test]
    fn reads_are_shared_by_weight_among_those_in_time() {
        let mut picture = picture();
        assert_eq!(picture.read_shares_permille(), [0, 333, 666]);
        picture.backends[1].0.lag_ms = None;
        assert_eq!(picture.read_shares_permille(), [0, 0, 1_000]);
        picture.backends[2].0.lag_ms = Some(11);
        assert_eq!(picture.read_shares_permille(), [1_000, 0, 0]);
    }
}
