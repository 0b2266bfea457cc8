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
                if let Some(seen) = scout.seen.as_mut().filter(|seen| seen.is_live) {
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

/// The next sight of a member, after one that may have been before.
fn seen(now: Instant, before: Option<MemberSight>, word: &Word) -> MemberSight {
    let facts = word.facts.as_deref();
    let vitals = facts.map(|facts| &facts.vitals);
    let received = facts.map_or_else(|| before.as_ref().map(|b| b.received.clone()).unwrap_or_default(), received);
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
    // A server that is down says no more what it was; its last word counts.
    let last = |of: fn(&MemberSight) -> u32| before.as_ref().map_or(0, of);
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
        executed: word.executed.clone(),
        received,
        received_at,
        receiver: facts.map_or(Receiving::Nothing, receiving),
        applier_runs: facts.is_some_and(|facts| {
            facts.channels.as_ref().is_ok_and(|channels| channels.iter().all(|channel| channel.applier_runs))
        }),
        version_number: facts.map_or_else(|| last(|b| b.version_number), |facts| facts.version_number),
        disk_full,
        semi_sync_on: match vitals {
            Some(vitals) => vitals.semi_sync.source_on,
            None => before.as_ref().is_some_and(|before| before.semi_sync_on),
        },
        semi_sync_clients: vitals.map_or_else(|| last(|b| b.semi_sync_clients), |vitals| vitals.semi_sync.clients),
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
