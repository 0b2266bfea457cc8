//! Words on the wire: between [`Word`] and `weir.v1.TabletWord`, both ways. Protobuf types of tablets stop here.
//!
//! Invariant: what is read from a tablet is checked: a set or a state that can't be read ends the stream, it is not guessed.

mod group;

use super::membership::Enrolment;
use super::word::{Care, Word};
use crate::client::ServerError;
use crate::grpc::proto;
use crate::monitor::dialect::version_number;
use crate::monitor::facts::{Channel, Receiver};
use crate::monitor::vitals::{SemiSync, Vitals};
use crate::monitor::{Facts, Standing, evidence};
use std::sync::Arc;
use weir_core::snapshot::Role;
use weir_net::gtid::GtidSet;

/// The writing end: it knows what the reader has.
#[derive(Default)]
pub struct Writer {
    sent: Option<Arc<GtidSet>>,
    facts: Option<Arc<Facts>>,
}

impl Writer {
    pub fn write(&mut self, word: &Word) -> proto::TabletWord {
        use proto::tablet_word::Executed;
        let executed = match &self.sent {
            Some(sent) if word.executed.contains(sent) => {
                let mut added = (*word.executed).clone();
                added.subtract(sent);
                Executed::ExecutedAdded(added.to_string())
            }
            _ => Executed::ExecutedFull(word.executed.to_string()),
        };
        let is_same = matches!((&self.facts, &word.facts), (Some(sent), Some(now)) if Arc::ptr_eq(sent, now));
        (self.sent, self.facts) = (Some(word.executed.clone()), word.facts.clone());
        proto::TabletWord {
            sequence: word.sequence,
            name: word.name.clone(),
            address: word.address.clone(),
            state: state(word.standing) as i32,
            why: word.why.clone(),
            advice: word.advice.clone(),
            lasting: word.is_lasting,
            role: role(word.role) as i32,
            serving: word.is_serving(),
            epoch: word.epoch,
            primary: word.primary.clone(),
            enrolment: enrolment(word.enrolment) as i32,
            enrolment_why: word.enrolment_why.clone(),
            managed: word.care.is_managed,
            settled: word.care.settled,
            trouble: word.care.trouble.clone(),
            extra: word.care.extra.to_string(),
            facts: word.facts.as_deref().filter(|_| !is_same).map(facts),
            facts_as_before: is_same,
            executed: Some(executed),
        }
    }
}

/// The reading end.
#[derive(Default)]
pub struct Reader {
    executed: Option<Arc<GtidSet>>,
    facts: Option<Arc<Facts>>,
}

/// Text that is none, or a word that is out of order.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable(pub &'static str);

impl Reader {
    pub fn read(&mut self, word: proto::TabletWord) -> Result<Word, Unreadable> {
        use proto::tablet_word::Executed;
        let executed = match (word.executed, self.executed.take()) {
            (Some(Executed::ExecutedFull(text)), _) => Arc::new(set(&text)?),
            (Some(Executed::ExecutedAdded(text)), Some(known)) if text.is_empty() => known,
            (Some(Executed::ExecutedAdded(text)), Some(known)) => {
                let mut all = (*known).clone();
                all.merge(&set(&text)?);
                Arc::new(all)
            }
            (Some(Executed::ExecutedAdded(_)), None) => return Err(Unreadable("a set's change without the set")),
            (None, _) => return Err(Unreadable("a word without an executed set")),
        };
        self.executed = Some(executed.clone());
        let standing = standing(word.state).ok_or(Unreadable("a state that is none"))?;
        if !word.facts_as_before {
            let facts = word.facts.map(|facts| read_facts(facts, standing, &executed)).transpose()?;
            self.facts = facts.map(Arc::new);
        }
        Ok(Word {
            sequence: word.sequence,
            name: word.name,
            address: word.address,
            standing,
            why: word.why,
            advice: word.advice,
            is_lasting: word.lasting,
            role: match proto::TabletRole::try_from(word.role) {
                Ok(proto::TabletRole::Primary) => Role::Primary,
                Ok(proto::TabletRole::Replica) => Role::Replica,
                _ => Role::Unknown,
            },
            epoch: word.epoch,
            primary: word.primary,
            enrolment: match proto::TabletEnrolment::try_from(word.enrolment) {
                Ok(proto::TabletEnrolment::Registered) => Enrolment::Registered,
                Ok(proto::TabletEnrolment::NotRegistered) => Enrolment::NotRegistered,
                _ => Enrolment::Alone,
            },
            enrolment_why: word.enrolment_why,
            care: Care {
                is_managed: word.managed,
                settled: word.settled,
                trouble: word.trouble,
                extra: Arc::new(set(&word.extra)?),
            },
            facts: self.facts.clone(),
            executed,
        })
    }
}

const STATES: [(Standing, proto::TabletState); 8] = [
    (Standing::Connecting, proto::TabletState::Connecting),
    (Standing::BadCredentials, proto::TabletState::BadCredentials),
    (Standing::ServerStopped, proto::TabletState::ServerStopped),
    (Standing::ServerSilent, proto::TabletState::ServerSilent),
    (Standing::Refused, proto::TabletState::Refused),
    (Standing::ServerRestarted, proto::TabletState::ServerRestarted),
    (Standing::ServerWiped, proto::TabletState::ServerWiped),
    (Standing::Serving, proto::TabletState::Serving),
];

fn state(standing: Standing) -> proto::TabletState {
    let found = STATES.iter().find(|(ours, _)| *ours == standing);
    found.map_or(proto::TabletState::Unspecified, |(_, theirs)| *theirs)
}

fn standing(state: i32) -> Option<Standing> {
    STATES.iter().find(|(_, theirs)| *theirs as i32 == state).map(|(ours, _)| *ours)
}

fn enrolment(enrolment: Enrolment) -> proto::TabletEnrolment {
    match enrolment {
        Enrolment::Alone => proto::TabletEnrolment::Alone,
        Enrolment::Registered => proto::TabletEnrolment::Registered,
        Enrolment::NotRegistered => proto::TabletEnrolment::NotRegistered,
    }
}

fn role(role: Role) -> proto::TabletRole {
    match role {
        Role::Primary => proto::TabletRole::Primary,
        Role::Replica => proto::TabletRole::Replica,
        Role::Unknown => proto::TabletRole::Unspecified,
    }
}

fn facts(facts: &Facts) -> proto::TabletFacts {
    let Facts { vitals, .. } = facts;
    proto::TabletFacts {
        version: facts.version.clone(),
        charset: u32::from(facts.charset),
        native_password: facts.native_password,
        read_only: facts.read_only,
        server_uuid: facts.server_uuid.clone(),
        channels: facts.channels.iter().flatten().map(channel).collect(),
        channels_unknown: facts.channels.as_ref().err().map(refusal),
        group: facts.group.as_ref().map(group::write),
        applying_ms: facts.applying_ms,
        received_ms: facts.received_ms,
        lag_ms: if replicates(facts) { evidence::lag_ms(facts) } else { None },
        lag_transactions: facts.lag_transactions(),
        uptime_s: vitals.uptime_s,
        threads_running: vitals.threads_running,
        threads_connected: vitals.threads_connected,
        queries: vitals.queries,
        queries_per_second: vitals.queries_per_second,
        semi_sync_source_on: vitals.semi_sync.source_on,
        semi_sync_replica_on: vitals.semi_sync.replica_on,
        semi_sync_clients: vitals.semi_sync.clients,
        disk_full: vitals.disk_full,
        purged: vitals.purged.to_string(),
        report_host: vitals.report_host.clone(),
        report_port: u32::from(vitals.report_port),
        restarts: facts.restarts,
        lost: facts.lost,
    }
}

fn replicates(facts: &Facts) -> bool {
    facts.group.is_some() || facts.channels.as_ref().is_ok_and(|all| !all.is_empty())
}

fn channel(channel: &Channel) -> proto::TabletChannel {
    proto::TabletChannel {
        name: channel.name.clone(),
        source_uuid: channel.source_uuid.clone(),
        receiver: match channel.receiver {
            Receiver::Stopped => proto::TabletReceiver::Stopped,
            Receiver::Connecting => proto::TabletReceiver::Connecting,
            Receiver::Connected => proto::TabletReceiver::Connected,
        } as i32,
        applier_runs: channel.applier_runs,
        received: channel.received.to_string(),
        seconds_behind: channel.seconds_behind,
        last_error: channel.last_error.clone(),
    }
}

pub fn refusal(error: &ServerError) -> proto::TabletRefusal {
    proto::TabletRefusal { code: u32::from(error.code), state: error.state.clone(), message: error.message.clone() }
}

fn read_facts(facts: proto::TabletFacts, standing: Standing, executed: &Arc<GtidSet>) -> Result<Facts, Unreadable> {
    let channels = match facts.channels_unknown {
        Some(error) => Err(ServerError {
            code: u16::try_from(error.code).unwrap_or(0),
            state: error.state,
            message: error.message,
        }),
        None => Ok(facts.channels.into_iter().map(read_channel).collect::<Result<_, _>>()?),
    };
    Ok(Facts {
        version_number: version_number(&facts.version),
        version: facts.version,
        charset: u8::try_from(facts.charset).map_err(|_| Unreadable("a character set that is none"))?,
        native_password: facts.native_password,
        read_only: facts.read_only,
        server_uuid: facts.server_uuid,
        executed: executed.clone(),
        channels,
        group: facts.group.map(group::read).transpose()?,
        applying_ms: facts.applying_ms,
        received_ms: facts.received_ms,
        vitals: Vitals {
            uptime_s: facts.uptime_s,
            threads_running: facts.threads_running,
            threads_connected: facts.threads_connected,
            queries: facts.queries,
            queries_per_second: facts.queries_per_second,
            semi_sync: SemiSync {
                source_on: facts.semi_sync_source_on,
                replica_on: facts.semi_sync_replica_on,
                clients: facts.semi_sync_clients,
            },
            disk_full: facts.disk_full,
            purged: set(&facts.purged)?,
            report_host: facts.report_host,
            report_port: u16::try_from(facts.report_port).map_err(|_| Unreadable("a port that is none"))?,
        },
        standing,
        lost: facts.lost,
        restarts: facts.restarts,
    })
}

fn read_channel(channel: proto::TabletChannel) -> Result<Channel, Unreadable> {
    Ok(Channel {
        name: channel.name,
        source_uuid: channel.source_uuid,
        receiver: match proto::TabletReceiver::try_from(channel.receiver) {
            Ok(proto::TabletReceiver::Connected) => Receiver::Connected,
            Ok(proto::TabletReceiver::Connecting) => Receiver::Connecting,
            Ok(proto::TabletReceiver::Stopped) | Err(_) => Receiver::Stopped,
        },
        applier_runs: channel.applier_runs,
        received: set(&channel.received)?,
        seconds_behind: channel.seconds_behind,
        last_error: channel.last_error,
    })
}

fn set(text: &str) -> Result<GtidSet, Unreadable> {
    GtidSet::parse(text.as_bytes()).map_err(|_| Unreadable("a GTID set that is none"))
}

#[cfg(test)]
mod tests;
