//! A tablet's metrics, and whether it is ready.

use super::hub::Hub;
use super::tally::{End, Tally};
use super::word::Word;
use crate::controller::client::Lease;
use crate::grpc::secured::Ends;
use crate::http::Shown;
use crate::http::exposition::{head, line, put, put_certificates, put_process, put_states, seconds};
use crate::monitor::topology::role_name;
use crate::monitor::{Standing, evidence};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use weir_core::snapshot::Role;

/// Where HTTP asks.
#[derive(Clone)]
pub struct Window {
    pub hub: Hub,
    pub tally: Arc<Tally>,
    /// None: no controllers are named.
    pub lease: Option<watch::Receiver<Lease>>,
    /// Of certificates.
    pub ends: Ends,
    pub began: Instant,
}

impl Shown for Window {
    /// It is ready while its server is.
    fn check_ready(&self) -> Result<(), String> {
        let word = self.hub.word();
        match word.is_serving() {
            true => Ok(()),
            false => Err(format!("the server is {}: {}", word.standing, word.why)),
        }
    }

    async fn metrics(&self) -> Option<String> {
        let now = Instant::now();
        let lease = self.lease.as_ref().map(|lease| lease.borrow().clone());
        let word = self.hub.word();
        let mut out = String::with_capacity(4 << 10);
        put_process(&mut out, now.saturating_duration_since(self.began).as_millis() as u64, word.is_serving());
        put_word(&mut out, &word);
        put_place(&mut out, now, &word, lease.as_ref());
        put_deeds(&mut out, &self.tally);
        put_certificates(&mut out, &self.ends.all());
        Some(out)
    }
}

fn put_word(out: &mut String, word: &Word) {
    let about = ("weir_tablet_standing", "standing", "How the server stands with it: 1 for what holds.");
    put_states(out, about, Standing::ALL.map(Standing::name), word.standing.name());
    let about = ("weir_tablet_role", "role", "The server's, by its own evidence: 1 for what holds.");
    put_states(out, about, [Role::Primary, Role::Replica, Role::Unknown].map(role_name), role_name(word.role));
    let Some(facts) = &word.facts else { return };
    if let Some(ms) = evidence::lag_ms(facts) {
        let help = "Replication delay, as the server says it.";
        put(out, "weir_tablet_lag_seconds", "gauge", help, seconds(Duration::from_millis(ms)));
    }
    let help = "Transactions received and not executed.";
    put(out, "weir_tablet_lag_transactions", "gauge", help, facts.lag_transactions());
    let help = "Writes hang until there is space on a disk.";
    put(out, "weir_tablet_disk_full", "gauge", help, u64::from(facts.vitals.disk_full));
}

fn put_place(out: &mut String, now: Instant, word: &Word, lease: Option<&Lease>) {
    if let Some(lease) = lease {
        let left = lease.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        put(out, "weir_tablet_lease_left_seconds", "gauge", "What is left of its own lease.", seconds(left));
    }
    let care = &word.care;
    let gauges = [
        ("weir_tablet_epoch_seen", "The highest epoch that it has heard of.", word.epoch),
        ("weir_tablet_managed", "It brings its server to what the topology says.", u64::from(care.is_managed)),
        ("weir_tablet_epoch_settled", "The highest epoch whose demands the server fulfils.", care.settled),
        ("weir_tablet_trouble", "It tries to do something and cannot; weir ctl tablets says what.", {
            u64::from(!care.trouble.is_empty())
        }),
        ("weir_tablet_diverged_transactions", "Transactions that the primary never had.", care.extra.count()),
    ];
    for (name, help, value) in gauges {
        put(out, name, "gauge", help, value);
    }
}

fn put_deeds(out: &mut String, tally: &Tally) {
    let (deeds, name) = (tally.deeds(), "weir_tablet_deed_seconds");
    head(out, name, "summary", "What it did to its server, by kind and how it ended, with the time that it took.");
    for ((deed, end), done) in &deeds {
        let labels = [("deed", *deed), ("outcome", end.name())];
        line(out, "weir_tablet_deed_seconds_sum", &labels, seconds(done.time));
        line(out, "weir_tablet_deed_seconds_count", &labels, done.count);
    }
    let fences = deeds.get(&("fence", End::Done)).map_or(0, |done| done.count);
    put(out, "weir_tablet_fences_total", "counter", "Times that it made its server read-only.", fences);
    let help = "Clients' connections that fences have ended.";
    put(out, "weir_tablet_connections_cut_total", "counter", help, tally.cut());
    let help = "Connections that the last fence could not end (SYSTEM_USER).";
    put(out, "weir_tablet_connections_spared", "gauge", help, tally.spared());
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::http::exposition::tests::parsed;
    use crate::monitor::Sight;
    use crate::monitor::facts::tests::facts;

    /// With a sample of each family.
    pub async fn full() -> String {
        let hub = Hub::new(Word::new("db1", None));
        let until = Some(Instant::now() + Duration::from_secs(5));
        let lease = Some(watch::channel(Lease { until, why: String::new() }).1);
        let tally = Arc::new(Tally::default());
        tally.handle_deed("fence", End::Done, Duration::from_millis(40));
        hub.handle_sight(Sight::Look { backend: 0, outcome: Ok(Box::new(facts())) });
        Window { hub, tally, lease, ends: Ends::default(), began: Instant::now() }.metrics().await.unwrap()
    }

    #[tokio::test]
    async fn the_text_obeys_the_format_and_says_what_is_so() {
        let hub = Hub::new(Word::new("db1", None));
        let until = Some(Instant::now() + Duration::from_secs(5));
        let lease = watch::channel(Lease { until, why: String::new() }).1;
        let tally = Arc::new(Tally::default());
        let window = Window {
            hub: hub.clone(),
            tally: tally.clone(),
            lease: Some(lease),
            ends: Ends::default(),
            began: Instant::now(),
        };
        assert!(window.check_ready().unwrap_err().contains("the server is connecting"));
        parsed(&window.metrics().await.unwrap());
        hub.handle_sight(Sight::Look { backend: 0, outcome: Ok(Box::new(facts())) });
        tally.handle_deed("fence", End::Done, Duration::from_millis(40));
        tally.handle_deed("fence", End::Done, Duration::from_millis(20));
        tally.handle_deed("lead", End::GivenUp, Duration::from_millis(5));
        tally.handle_cut(7, 1);
        assert_eq!(window.check_ready(), Ok(()));
        let text = window.metrics().await.unwrap();
        let samples = parsed(&text).samples;
        for (sample, value) in [
            ("weir_ready", 1.0),
            ("weir_tablet_standing{standing=\"serving\"}", 1.0),
            ("weir_tablet_standing{standing=\"server_stopped\"}", 0.0),
            ("weir_tablet_role{role=\"primary\"}", 1.0),
            ("weir_tablet_epoch_seen", 0.0),
            ("weir_tablet_deed_seconds_sum{deed=\"fence\",outcome=\"done\"}", 0.06),
            ("weir_tablet_deed_seconds_count{deed=\"fence\",outcome=\"done\"}", 2.0),
            ("weir_tablet_deed_seconds_count{deed=\"lead\",outcome=\"given_up\"}", 1.0),
            ("weir_tablet_fences_total", 2.0),
            ("weir_tablet_connections_cut_total", 7.0),
            ("weir_tablet_connections_spared", 1.0),
        ] {
            assert_eq!(samples.get(sample), Some(&value), "{sample}\n{text}");
        }
        assert!((4.0..=5.0).contains(&samples["weir_tablet_lease_left_seconds"]));
    }
}
