//! The witnesses: gates, who see whether the primary serves their clients.
//!
//! What they see is no reason to move the role: a gate may be cut off, and its clients with it; tablet, replicas and lease decide.
//! It counts in two places, both of them about a tablet that is silent, with its lease over.
//!
//! Most replicas still receive from the primary, but it tells the gates that it is read-only: its tablet was cut off from us and has
//! fenced it, as it must. Nobody takes writes then, so there is nothing to lose by moving the role, and a write less every moment
//! that it is not. The word of one gate is enough as long as no gate has had a write acknowledged since: a server says so or
//! it does not, and it is not a matter of who can reach it.
//!
//! Most replicas are gone too: that is taken for a machine that is gone. If gates get answers meanwhile, it is not: the primary serves clients, and is not fenced, so its tablet must be
//! dead or frozen (a living one would have made it read-only before its lease was over). To move the role then would
//! take a working server from its clients, and, since its replicas have lost it, lose what was acknowledged in between;
//! nobody could fence it but the gates that hear of it. So it is a doubt, told to operators: the tablet is to be restarted.
//!
//! That weakens nothing: what is doubted is told and looked at again every 50 ms. A gate counts only with an answer that came
//! after the tablet was lost and is no older than two thirds of a lease (so it has told twice since), and only while more gates get
//! answers than have lost it. A machine that dies as a whole answers nobody after its tablet: no delay. One
//! whose mysqld dies later than its tablet is moved from as soon as gates notice, and two thirds of a lease later at the latest.
//! Under semi-synchronous replication an answer says that a replica receives, too.

use super::sight::{GateSight, Sight};
use crate::controller::outlook::Reach;
use std::fmt::Write;
use std::time::Duration;
use tokio::time::Instant;

/// More gates get answers from it, since `sign`, than have lost it.
pub fn contradict(now: Instant, sight: &Sight, name: &str, sign: Instant) -> bool {
    let fresh = Duration::from_millis(u64::from(sight.record.lease_ms)) * 2 / 3;
    let hears = |gate: &&GateSight| {
        let answered = gate.view(name).filter(|view| view.reach == Reach::Answers).and_then(|view| view.answered);
        answered.is_some_and(|at| at > sign + SLACK && now < at + fresh)
    };
    let hear = sight.gates.iter().filter(hears).count();
    hear > lost(sight, name).count()
}

/// Since `sign` it has told a gate that it is read-only, and no gate has had a write acknowledged after that.
pub fn is_fenced(sight: &Sight, name: &str, sign: Instant) -> bool {
    let views = || sight.gates.iter().filter_map(|gate| gate.view(name));
    let refused = views().filter(|view| view.reach == Reach::ReadOnly).map(|view| view.since).max();
    let Some(refused) = refused.filter(|at| *at > sign) else { return false };
    views().filter_map(|view| view.answered).all(|answered| answered <= refused)
}

/// Those who have lost it, with the moment.
fn lost<'a>(sight: &'a Sight, name: &'a str) -> impl Iterator<Item = Instant> + 'a {
    let views = sight.gates.iter().filter_map(move |gate| gate.view(name));
    views.filter(|view| view.reach != Reach::Answers).map(|view| view.since)
}

/// For operators: "2 of 3 gates lost it, the first 430 ms ago"; empty when no gate says anything of it.
pub fn say(now: Instant, sight: &Sight, name: &str) -> String {
    let (lost, first) = (lost(sight, name).count(), lost(sight, name).min());
    let mut text = String::new();
    if let Some(first) = first {
        let ago = now.saturating_duration_since(first).as_millis();
        let _ = write!(text, "{lost} of {} gates lost it, the first {ago} ms ago", sight.gates.len());
    }
    let views = sight.gates.iter().filter_map(|gate| gate.view(name));
    let answered = views.filter(|view| view.reach == Reach::Answers).filter_map(|view| view.answered);
    if let Some(last) = answered.max() {
        let ago = now.saturating_duration_since(last).as_millis();
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}the last answer that a gate tells of came {ago} ms ago");
    }
    text
}

/// A gate tells up to so late what it sees, and does not count that.
const SLACK: Duration = Duration::from_millis(500);

#[cfg(test)]
pub mod tests {
    use super::super::sight::GateView;
    use super::super::sight::tests::primary;
    use super::*;
    use crate::controller::record::Phase;
    use crate::controller::record::tests::record;
    use std::sync::Arc;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A gate that sees `a` so; answered and since at these moments.
    pub fn gate(name: &str, reach: Reach, since: Instant, answered: Option<Instant>) -> GateSight {
        let view = Some(GateView { primary: "a".to_string(), reach, since, answered });
        GateSight { name: name.to_string(), view, ..GateSight::default() }
    }

    fn sight(now: Instant, gates: Vec<GateSight>) -> Sight {
        let record = Arc::new(record(7, Phase::Steady { primary: "a".to_string() }));
        Sight { record, members: [("a".to_string(), primary(now, 9))].into(), gates }
    }

    /// Leases have 5 s.
    #[test]
    fn an_answer_counts_when_it_is_new_and_most_get_one() {
        let sign = Instant::now();
        let now = sign + ms(6_000);
        let answers = |at: u64| gate("g", Reach::Answers, sign, Some(sign + ms(at)));
        let silent = || gate("h", Reach::Silent, sign + ms(100), Some(sign + ms(5_900)));
        let check = |gates: Vec<GateSight>, expected: bool| {
            let sight = sight(now, gates);
            assert_eq!(contradict(now, &sight, "a", sign), expected, "{:?}", sight.gates);
        };
        check(vec![answers(5_900)], true);
        check(vec![], false);
        check(vec![GateSight::default()], false);
        check(vec![answers(400)], false);
        check(vec![answers(2_600)], false);
        check(vec![gate("g", Reach::Answers, sign, None)], false);
        check(vec![answers(5_900), silent()], false);
        check(vec![answers(5_900), answers(5_000), silent()], true);
        check(vec![gate("g", Reach::Refuses, sign, Some(sign + ms(5_900)))], false);
        let mut of_another = answers(5_900);
        of_another.view.as_mut().unwrap().primary = "b".to_string();
        check(vec![of_another], false);
    }

    #[test]
    fn a_gate_that_is_told_read_only_counts_until_another_gets_an_answer() {
        let sign = Instant::now();
        let at = |time: u64| sign + ms(time);
        let told = |since: u64| gate("g", Reach::ReadOnly, at(since), Some(at(4_900)));
        let check = |gates: Vec<GateSight>, expected: bool| {
            let sight = sight(at(6_000), gates);
            assert_eq!(is_fenced(&sight, "a", sign), expected, "{:?}", sight.gates);
        };
        check(vec![told(5_000)], true);
        check(vec![], false);
        check(vec![gate("g", Reach::Refuses, at(5_000), None)], false);
        check(vec![gate("g", Reach::ReadOnly, sign, None)], false);
        check(vec![told(5_000), gate("h", Reach::Answers, sign, Some(at(5_100)))], false);
        check(vec![told(5_000), gate("h", Reach::Answers, sign, Some(at(4_800)))], true);
        check(vec![told(5_000), gate("h", Reach::Silent, at(5_500), None)], true);
    }

    #[test]
    fn operators_read_who_saw_what() {
        let now = Instant::now() + ms(10_000);
        let lost = |ago: u64| gate("g", Reach::Silent, now - ms(ago), None);
        assert_eq!(say(now, &sight(now, vec![GateSight::default()]), "a"), "");
        let text = say(now, &sight(now, vec![lost(430), lost(20), GateSight::default()]), "a");
        assert_eq!(text, "2 of 3 gates lost it, the first 430 ms ago");
        let heard = gate("h", Reach::Answers, now - ms(9_000), Some(now - ms(70)));
        let text = say(now, &sight(now, vec![lost(430), heard]), "a");
        assert!(text.ends_with(
            "1 of 2 gates lost it, the first 430 ms ago, the last answer that a gate tells of came 70 ms ago"
        ));
    }
}
