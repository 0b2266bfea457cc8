//! A controller's metrics, and whether it is ready.

use super::head::{Head, View};
use super::leases::Kind;
use super::record::{MemberState, Record};
use super::tally::{Moves, Nature, PARTS};
use crate::grpc::secured::Ends;
use crate::http::Shown;
use crate::http::exposition::{head, line, put, put_certificates, put_process, put_states, seconds};
use crate::status::phase_name;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Where HTTP asks.
#[derive(Clone)]
pub struct Window {
    head: Arc<Head>,
    /// Of certificates.
    ends: Ends,
    began: Instant,
}

impl Window {
    pub fn new(head: Arc<Head>, ends: Ends) -> Window {
        Window { head, ends, began: Instant::now() }
    }
}

impl Shown for Window {
    /// A controller that follows is ready too: it tells the topology.
    fn check_ready(&self) -> Result<(), String> {
        match &*self.head.view().borrow() {
            View { cut: Some(why), .. } => Err(format!("the store cannot be reached: {why}")),
            View { record: None, .. } => Err("there is no topology yet".to_string()),
            View { .. } => Ok(()),
        }
    }

    async fn metrics(&self) -> Option<String> {
        let mut out = render(&self.head, self.began, self.check_ready().is_ok());
        put_certificates(&mut out, &self.ends.all());
        Some(out)
    }
}

fn render(controller: &Head, began: Instant, is_ready: bool) -> String {
    let now = Instant::now();
    let mut out = String::with_capacity(8 << 10);
    put_process(&mut out, now.saturating_duration_since(began).as_millis() as u64, is_ready);
    let leases = leases(controller, now);
    let leads = u64::from(leases.is_some());
    put(&mut out, "weir_controller_leading", "gauge", "It leads: it alone changes the topology.", leads);
    let tally = controller.tally();
    let (elections, errors) = (tally.elections(), tally.store_errors());
    put(&mut out, "weir_controller_elections_total", "counter", "Times that it was elected.", elections);
    put(&mut out, "weir_controller_store_errors_total", "counter", "Failures of the store.", errors);
    if let Some(record) = controller.record() {
        put_record(&mut out, &record);
    }
    put_leases(&mut out, &leases.unwrap_or_default());
    put_moves(&mut out, &tally.moves());
    out
}

type Held = Vec<(Kind, String, Duration)>;

/// None: it does not lead, and knows of none.
fn leases(controller: &Head, now: Instant) -> Option<Held> {
    let all = |leases: &mut super::leases::Leases| {
        let of = |kind| leases.held(now, kind).map(move |(name, _, left)| (kind, name.to_string(), left));
        of(Kind::Tablet).chain(of(Kind::Gate)).collect()
    };
    controller.with_leases(now, all).ok()
}

fn put_record(out: &mut String, record: &Record) {
    put(out, "weir_controller_epoch", "gauge", "Of the topology that it tells.", record.epoch);
    let phases = ["forming", "steady", "handover", "interregnum"];
    let about = ("weir_controller_phase", "phase", "The topology's phase: 1 for the one that holds.");
    put_states(out, about, phases, phase_name(&record.phase));
    let name = "weir_controller_members";
    head(out, name, "gauge", "Members of the topology, by state.");
    let states =
        [("active", MemberState::Active), ("drained", MemberState::Drained), ("diverged", MemberState::Diverged)];
    for (label, state) in states {
        let count = record.members.values().filter(|member| member.state == state).count();
        line(out, name, &[("state", label)], count);
    }
}

fn put_leases(out: &mut String, held: &Held) {
    let name = "weir_controller_registered";
    head(out, name, "gauge", "Who holds a lease; the leader knows.");
    for kind in [Kind::Tablet, Kind::Gate] {
        line(out, name, &[("kind", kind_name(kind))], held.iter().filter(|(of, ..)| *of == kind).count());
    }
    let name = "weir_controller_lease_left_seconds";
    head(out, name, "gauge", "What is left of each lease, as the leader counts it.");
    for (kind, holder, left) in held {
        line(out, name, &[("kind", kind_name(*kind)), ("name", holder)], seconds(*left));
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Tablet => "tablet",
        Kind::Gate => "gate",
    }
}

fn put_moves(out: &mut String, moves: &Moves) {
    type Row<'a> = (&'static str, &'static str, &'a BTreeMap<Nature, u64>);
    let rows: [Row<'_>; 3] = [
        ("weir_controller_moves_begun_total", "Moves of the primary's role that began.", &moves.begun),
        ("weir_controller_moves_done_total", "Moves after which a primary took writes.", &moves.done),
        ("weir_controller_moves_given_up_total", "Moves that were given up or overtaken.", &moves.given_up),
    ];
    for (name, help, counts) in rows {
        head(out, name, "counter", help);
        for ((kind, cause), count) in counts {
            line(out, name, &[("kind", kind), ("cause", cause)], count);
        }
    }
    let name = "weir_controller_move_seconds";
    head(out, name, "histogram", "How long each part of a move took, as in weir ctl events.");
    for (part, times) in PARTS.into_iter().zip(&moves.parts) {
        times.put(out, name, ("part", part));
    }
    let counts = [
        ("weir_controller_transactions_lost_total", "Transactions that were seen and no new primary had.", moves.lost),
        (
            "weir_controller_diverged_total",
            "Times that a member was found with transactions of its own.",
            moves.diverged,
        ),
        ("weir_controller_waits_total", "Reasons told why nothing moves, as 'waits' in weir ctl events.", moves.waits),
    ];
    for (name, help, count) in counts {
        put(out, name, "counter", help, count);
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::controller::failover::events::{Event, Kind as EventKind, Parts};
    use crate::controller::failover::verdict::Cause;
    use crate::controller::leases::Presence;
    use crate::http::exposition::tests::parsed;
    use crate::store::Memory;

    /// With a sample of each family.
    pub async fn full() -> String {
        told(|_| {}).await
    }

    /// Of one that leads, and what happened; `first` sees it before that.
    async fn told(first: impl Fn(&Window)) -> String {
        let controller = Head::new(Arc::new(Memory::new()), "main", 5_000);
        let window = Window::new(controller.clone(), Ends::default());
        first(&window);
        parsed(&window.metrics().await.unwrap());
        tokio::spawn(controller.clone().run());
        while leases(&controller, Instant::now()).is_none() {
            tokio::task::yield_now().await;
        }
        let now = Instant::now();
        let give = |leases: &mut crate::controller::leases::Leases| {
            leases.register(now, (Kind::Tablet, "a \"b\""), ("db1:1", "t1:1"), Presence::default(), 0).unwrap().id
        };
        controller.with_leases(now, give).unwrap();
        let tell = |kind, parts| {
            controller.tally().handle_event(&Event { kind, epoch: 7, text: String::new(), parts });
        };
        tell(EventKind::FailoverBegan(Cause::CutOff), None);
        tell(EventKind::Lost(2), None);
        tell(EventKind::Opened, Some(Parts { detect_ms: 510, fence_ms: 4, choose_ms: 70, open_ms: 9 }));
        assert_eq!(window.check_ready(), Ok(()));
        window.metrics().await.unwrap()
    }

    #[tokio::test]
    async fn a_leader_shows_all_and_the_text_obeys_the_format() {
        let text = told(|window| assert!(window.check_ready().unwrap_err().contains("no topology yet"))).await;
        let samples = parsed(&text).samples;
        for (sample, value) in [
            ("weir_ready", 1.0),
            ("weir_controller_leading", 1.0),
            ("weir_controller_epoch", 1.0),
            ("weir_controller_phase{phase=\"forming\"}", 1.0),
            ("weir_controller_phase{phase=\"steady\"}", 0.0),
            ("weir_controller_members{state=\"active\"}", 0.0),
            ("weir_controller_registered{kind=\"tablet\"}", 1.0),
            ("weir_controller_registered{kind=\"gate\"}", 0.0),
            ("weir_controller_elections_total", 1.0),
            ("weir_controller_moves_begun_total{kind=\"failover\",cause=\"cut_off\"}", 1.0),
            ("weir_controller_moves_done_total{kind=\"failover\",cause=\"cut_off\"}", 1.0),
            ("weir_controller_move_seconds_bucket{part=\"detect\",le=\"0.5\"}", 0.0),
            ("weir_controller_move_seconds_bucket{part=\"detect\",le=\"1\"}", 1.0),
            ("weir_controller_move_seconds_sum{part=\"choose\"}", 0.07),
            ("weir_controller_transactions_lost_total", 2.0),
        ] {
            assert_eq!(samples.get(sample), Some(&value), "{sample}\n{text}");
        }
        let left = samples["weir_controller_lease_left_seconds{kind=\"tablet\",name=\"a \\\"b\\\"\"}"];
        assert!((4.0..=5.25).contains(&left), "{left}");
    }
}
