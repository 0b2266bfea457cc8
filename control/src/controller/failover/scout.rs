//! Scouts: the leader's eyes. One follows each member's tablet; together they keep the last word of each.
//!
//! Invariant: a member whose stream has broken keeps its last word, and is not live.

use super::sight::{MemberSight, Receiving};
use crate::controller::record::Record;
use crate::grpc::tls::ClientTls;
use crate::monitor::Standing;
use crate::monitor::facts::{Facts, Receiver};
use crate::tablet::follower::{SILENT, Words};
use crate::tablet::word::Word;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use weir_core::snapshot::Role;
use weir_net::gtid::GtidSet;

pub struct Scouts {
    tls: Option<ClientTls>,
    scouts: BTreeMap<String, Scout>,
    sender: mpsc::Sender<Report>,
    reports: mpsc::Receiver<Report>,
}

struct Scout {
    tablet: String,
    task: AbortHandle,
    seen: Option<MemberSight>,
}

/// What a scout sends home.
struct Report {
    member: String,
    tablet: String,
    /// None: the stream is dead.
    word: Option<Box<Word>>,
}

impl Scouts {
    pub fn new(tls: Option<ClientTls>) -> Scouts {
        let (sender, reports) = mpsc::channel(REPORTS_MAX);
        Scouts { tls, scouts: BTreeMap::new(), sender, reports }
    }

    /// One for each member with a tablet, and no other.
    pub fn follow(&mut self, record: &Record) {
        self.scouts.retain(|name, scout| record.members.get(name).is_some_and(|member| member.tablet == scout.tablet));
        for (name, member) in &record.members {
            if member.tablet.is_empty() || self.scouts.contains_key(name) {
                continue;
            }
            let work = scout(name.clone(), member.tablet.clone(), self.tls.clone(), self.sender.clone());
            let scout = Scout { tablet: member.tablet.clone(), task: tokio::spawn(work).abort_handle(), seen: None };
            self.scouts.insert(name.clone(), scout);
        }
    }

    /// Waits for something new, and takes all that is there.
    pub async fn hear(&mut self) {
        if let Some(report) = self.reports.recv().await {
            self.handle(report);
        }
        while let Ok(report) = self.reports.try_recv() {
            self.handle(report);
        }
    }

    fn handle(&mut self, report: Report) {
        let Some(scout) = self.scouts.get_mut(&report.member).filter(|scout| scout.tablet == report.tablet) else {
            return;
        };
        let now = Instant::now();
        match report.word {
            Some(word) => scout.seen = Some(seen(now, scout.seen.take(), &word)),
            None => {
                let seen = scout.seen.get_or_insert_with(|| unseen(now));
                if seen.is_live {
                    (seen.is_live, seen.since) = (false, now);
                }
            }
        }
    }

    /// With what is left of each lease.
    pub fn members(&self, lease_left: impl Fn(&str) -> Duration) -> BTreeMap<String, MemberSight> {
        let seen = |(name, scout): (&String, &Scout)| {
            let seen = scout.seen.clone()?;
            Some((name.clone(), MemberSight { lease_left: lease_left(name), ..seen }))
        };
        self.scouts.iter().filter_map(seen).collect()
    }
}

impl Drop for Scout {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn scout(member: String, tablet: String, tls: Option<ClientTls>, home: mpsc::Sender<Report>) {
    let mut pause = PAUSE_MIN;
    loop {
        if let Ok(mut words) = Words::open(&tablet, tls.as_ref(), SILENT).await {
            while let Ok(word) = words.next().await {
                pause = PAUSE_MIN;
                let report = Report { member: member.clone(), tablet: tablet.clone(), word: Some(Box::new(word)) };
                if home.send(report).await.is_err() {
                    return;
                }
            }
        }
        let report = Report { member: member.clone(), tablet: tablet.clone(), word: None };
        if home.send(report).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// A member that this leadership has tried to reach, and has not heard. What it was is unknown: it may have been a primary whose
/// commits waited for all others.
pub fn unseen(now: Instant) -> MemberSight {
    MemberSight { is_live: false, ..seen(now, None, &Word::new("", None)) }
}

/// The next sight of a member, after one that may have been before.
pub fn seen(now: Instant, before: Option<MemberSight>, word: &Word) -> MemberSight {
    let facts = word.facts.as_deref();
    let vitals = facts.map(|facts| &facts.vitals);
    let received = facts.map_or_else(|| before.as_ref().map(|b| b.received.clone()).unwrap_or_default(), received);
    // A tablet that was restarted beside a server that is down knows of nothing; what was seen before counts.
    let executed = match &before {
        Some(before) if facts.is_none() && before.executed.contains(&word.executed) => before.executed.clone(),
        _ => word.executed.clone(),
    };
    let disk_full = vitals.is_some_and(|vitals| vitals.disk_full);
    let stands = |standing: Standing| match standing {
        // One look says that it was restarted, the next that it serves: that is one state.
        Standing::ServerRestarted => Standing::Serving,
        other => other,
    };
    let as_before =
        |b: &&MemberSight| b.is_live && stands(b.standing) == stands(word.standing) && b.disk_full == disk_full;
    let since = before.as_ref().filter(as_before).map_or(now, |before| before.since);
    let received_at = before.as_ref().filter(|b| b.received == received).map_or(now, |before| before.received_at);
    // A server that is down says no more what it was, and one that was restarted is not what it was: what it said when it took
    // writes counts. A leader who has not heard that takes it as under semi-sync, with all that there are.
    let source = facts.filter(|facts| !facts.read_only).map(|facts| &facts.vitals.semi_sync);
    let was = before.as_ref();
    MemberSight {
        is_live: true,
        standing: word.standing,
        since,
        lease_left: Duration::ZERO,
        is_writable: facts.is_some_and(|facts| !facts.read_only),
        is_primary: word.role == Role::Primary,
        group: match facts {
            Some(facts) => facts.group.clone(),
            None => before.as_ref().and_then(|before| before.group.clone()),
        },
        server_uuid: facts.map_or_else(
            || before.as_ref().map(|b| b.server_uuid.clone()).unwrap_or_default(),
            |facts| facts.server_uuid.clone(),
        ),
        is_managed: word.care.is_managed,
        heard: word.epoch,
        settled: word.care.settled,
        trouble: word.care.trouble.clone(),
        executed,
        received,
        received_at,
        receiver: facts.map_or(Receiving::Nothing, receiving),
        applier_runs: facts.is_some_and(|facts| {
            facts.channels.as_ref().is_ok_and(|channels| channels.iter().all(|channel| channel.applier_runs))
        }),
        version_number: facts.map_or_else(|| was.map_or(0, |b| b.version_number), |facts| facts.version_number),
        disk_full,
        semi_sync_on: source.map_or_else(|| was.is_none_or(|b| b.semi_sync_on), |source| source.source_on),
        semi_sync_clients: source
            .map_or_else(|| was.map_or(u32::MAX, |b| b.semi_sync_clients), |source| source.clients),
        extra: word.care.extra.clone(),
    }
}

fn received(facts: &Facts) -> Arc<GtidSet> {
    let mut all = GtidSet::default();
    facts.channels.iter().flatten().for_each(|channel| all.merge(&channel.received));
    if let Some(group) = &facts.group {
        all.merge(&group.received);
    }
    Arc::new(all)
}

/// Of the first channel: a managed member has one.
fn receiving(facts: &Facts) -> Receiving {
    let Some(channel) = facts.channels.as_ref().ok().and_then(|channels| channels.first()) else {
        return Receiving::Nothing;
    };
    let source = channel.source_uuid.clone();
    match channel.receiver {
        Receiver::Connected => Receiving::From(source),
        Receiver::Connecting => Receiving::Seeking(source),
        Receiver::Stopped => Receiving::Stopped(source),
    }
}

/// Reports that were not taken yet.
const REPORTS_MAX: usize = 1_024;

/// Between attempts to reach a tablet.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// A leader that has just begun finds the primary dead: it knows not whether commits waited for replicas.
    #[test]
    fn who_was_never_heard_may_have_had_semi_sync() {
        let now = Instant::now();
        let before = unseen(now);
        assert!(!before.is_live && before.semi_sync_on && before.semi_sync_clients == u32::MAX);
        let stopped = Word { standing: Standing::ServerStopped, ..Word::new("a", None) };
        assert!(seen(now, Some(before), &stopped).semi_sync_on);
        let facts = |read_only: bool| Facts { read_only, ..crate::monitor::facts::tests::facts() };
        let word = |read_only| Word { facts: Some(Arc::new(facts(read_only))), ..Word::new("a", None) };
        let writable = seen(now, None, &word(false));
        assert!(!writable.semi_sync_on && writable.semi_sync_clients == 0, "it says so itself");
        let restarted = MemberSight { semi_sync_on: true, semi_sync_clients: 2, ..writable };
        let restarted = seen(now, Some(restarted), &word(true));
        assert!(restarted.semi_sync_on && restarted.semi_sync_clients == 2, "the plugin is off after a restart");
    }

    #[test]
    fn a_state_lasts_from_its_first_word() {
        let now = Instant::now();
        let word = |standing| Word { standing, ..Word::new("a", None) };
        let first = seen(now, None, &word(Standing::ServerRestarted));
        let later = seen(now + Duration::from_millis(9), Some(first.clone()), &word(Standing::Serving));
        assert_eq!(later.since, now, "a restart that is over is no change");
        let stopped = seen(now + Duration::from_millis(20), Some(later), &word(Standing::ServerStopped));
        assert_eq!(stopped.since, now + Duration::from_millis(20));
        let dead = MemberSight { is_live: false, ..stopped };
        let back = seen(now + Duration::from_millis(30), Some(dead), &word(Standing::ServerStopped));
        assert_eq!(back.since, now + Duration::from_millis(30), "nobody saw it meanwhile");
    }
}
