//! The record as protobuf: for the wire and for the stores. Protobuf types stop here and in `service`, `client`.

use super::epoch::Epoch;
use super::leases::Presence;
use super::limits;
use super::outlook::{Outlook, Reach};
use super::record::{Member, MemberState, Phase, Record, Wanted};
use crate::grpc::proto;
use prost::Message;

/// What a store keeps.
pub fn encode(record: &Record) -> Vec<u8> {
    to_proto(record).encode_to_vec()
}

/// Err: one sentence about what is wrong with it.
pub fn decode(bytes: &[u8]) -> Result<Record, String> {
    let topology = proto::Topology::decode(bytes).map_err(|error| format!("it is no record ({error})"))?;
    from_proto(topology)
}

pub fn to_proto(record: &Record) -> proto::Topology {
    let phase = match &record.phase {
        Phase::Forming => proto::TopologyPhase::Forming,
        Phase::Steady { .. } => proto::TopologyPhase::Steady,
        Phase::Handover { .. } => proto::TopologyPhase::Handover,
        Phase::Interregnum { .. } => proto::TopologyPhase::Interregnum,
    };
    let text = |name: Option<&str>| name.unwrap_or_default().to_string();
    proto::Topology {
        cluster: record.cluster.clone(),
        epoch: record.epoch.number(),
        phase: phase.into(),
        primary: text(record.primary()),
        former_primary: text(record.former()),
        heir: text(record.heir()),
        promoted_gtid_executed: record.promoted_gtid_executed.clone(),
        lease_ms: record.lease_ms,
        members: record.members.iter().map(|(name, member)| member_to_proto(name, member)).collect(),
        filters: record.filters.clone(),
        changed_by: record.changed_by.clone(),
        reason: record.reason.clone(),
        changed_unix_ms: record.changed_unix_ms,
    }
}

/// Also checks it: whatever comes from a wire or a disk may be wrong.
pub fn from_proto(topology: proto::Topology) -> Result<Record, String> {
    let (primary, heir) = (topology.primary.clone(), topology.heir.clone());
    let phase = match topology.phase() {
        proto::TopologyPhase::Unspecified => return Err("its phase is none that this version knows".to_string()),
        proto::TopologyPhase::Forming => Phase::Forming,
        proto::TopologyPhase::Steady => Phase::Steady { primary },
        proto::TopologyPhase::Handover => Phase::Handover { primary, heir },
        proto::TopologyPhase::Interregnum => {
            let heir = (!heir.is_empty()).then_some(heir);
            Phase::Interregnum { former: topology.former_primary.clone(), heir }
        }
    };
    if topology.members.len() > limits::MEMBERS_MAX {
        return Err(format!("it has {} members: {} at most", topology.members.len(), limits::MEMBERS_MAX));
    }
    let mut record = Record {
        epoch: Epoch::new(topology.epoch),
        phase,
        promoted_gtid_executed: topology.promoted_gtid_executed,
        filters: topology.filters,
        changed_by: topology.changed_by,
        reason: topology.reason,
        changed_unix_ms: topology.changed_unix_ms,
        ..Record::forming(&topology.cluster, topology.lease_ms)
    };
    for member in topology.members {
        let name = member.name.clone();
        if record.members.insert(name.clone(), member_from_proto(member)?).is_some() {
            return Err(format!("two members are called '{name}'"));
        }
    }
    record.check()?;
    Ok(record)
}

fn member_to_proto(name: &str, member: &Member) -> proto::Member {
    let Member { server_uuid, address, tablet, zone, weight, tags, wanted, state, note } = member.clone();
    let wanted = match wanted {
        Wanted::Any => proto::MemberWanted::Any,
        Wanted::Replica => proto::MemberWanted::Replica,
    };
    let state = match state {
        MemberState::Active => proto::MemberState::Active,
        MemberState::Drained => proto::MemberState::Drained,
        MemberState::Diverged => proto::MemberState::Diverged,
    };
    proto::Member {
        name: name.to_string(),
        server_uuid,
        address,
        tablet,
        zone,
        weight,
        tags,
        wanted: wanted.into(),
        state: state.into(),
        note,
    }
}

fn member_from_proto(member: proto::Member) -> Result<Member, String> {
    let wanted = match member.wanted() {
        proto::MemberWanted::Any => Wanted::Any,
        proto::MemberWanted::Replica => Wanted::Replica,
        proto::MemberWanted::Unspecified => {
            return Err(format!("what '{}' is wanted as is nothing that this version knows", member.name));
        }
    };
    let state = match member.state() {
        proto::MemberState::Active => MemberState::Active,
        proto::MemberState::Drained => MemberState::Drained,
        proto::MemberState::Diverged => MemberState::Diverged,
        proto::MemberState::Unspecified => {
            return Err(format!("the state of '{}' is none that this version knows", member.name));
        }
    };
    let proto::Member { server_uuid, address, tablet, zone, weight, tags, note, .. } = member;
    Ok(Member { server_uuid, address, tablet, zone, weight, tags, wanted, state, note })
}

pub fn presence_to_proto(presence: &Presence) -> proto::Presence {
    let Presence { role, is_serving: serving, why, epoch_seen, server_uuid, version, drained, primary } =
        presence.clone();
    let primary = primary.map(|Outlook { primary, reach, since_ms, answered_ms }| proto::PrimaryOutlook {
        primary,
        reach: match reach {
            Reach::Answers => proto::PrimaryReach::Answers,
            Reach::Refuses => proto::PrimaryReach::Refuses,
            Reach::ReadOnly => proto::PrimaryReach::ReadOnly,
            Reach::Silent => proto::PrimaryReach::Silent,
        } as i32,
        since_ms,
        answered_ms,
    });
    proto::Presence { role, serving, why, epoch_seen, server_uuid, version, drained, primary }
}

/// What is not understood of an outlook is not there: it never decides by its absence.
pub fn presence_from_proto(presence: Option<proto::Presence>) -> Presence {
    let proto::Presence { role, serving: is_serving, why, epoch_seen, server_uuid, version, drained, primary } =
        presence.unwrap_or_default();
    let outlook = |seen: proto::PrimaryOutlook| {
        let reach = match seen.reach() {
            proto::PrimaryReach::Answers => Reach::Answers,
            proto::PrimaryReach::Refuses => Reach::Refuses,
            proto::PrimaryReach::ReadOnly => Reach::ReadOnly,
            proto::PrimaryReach::Silent => Reach::Silent,
            proto::PrimaryReach::Unspecified => return None,
        };
        let proto::PrimaryOutlook { primary, since_ms, answered_ms, .. } = seen;
        Some(Outlook { primary, reach, since_ms, answered_ms })
    };
    let primary = primary.and_then(outlook);
    Presence { role, is_serving, why, epoch_seen, server_uuid, version, drained, primary }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{member, record};
    use super::*;

    #[test]
    fn a_record_survives_the_wire() {
        let (a, b) = ("a".to_string(), "b".to_string());
        for phase in [
            Phase::Forming,
            Phase::Steady { primary: a.clone() },
            Phase::Handover { primary: a.clone(), heir: b.clone() },
            Phase::Interregnum { former: a.clone(), heir: None },
            Phase::Interregnum { former: a.clone(), heir: Some(b.clone()) },
        ] {
            let mut record = record(9, phase);
            record.filters = vec!["create filter `f` ( )".to_string(), "what nobody understands".to_string()];
            record.promoted_gtid_executed = "3aecbfe0-e779-11f1-be4c-02fc00000001:1-5".to_string();
            let tags = [("disk".to_string(), "nvme".to_string())].into();
            let (wanted, state) = (Wanted::Replica, MemberState::Drained);
            let odd = Member { tags, wanted, state, zone: "z1".to_string(), note: "why".to_string(), ..member(3) };
            record.members.insert("c".to_string(), odd);
            assert_eq!(decode(&encode(&record)), Ok(record));
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        assert!(decode(b"\xff\xff").unwrap_err().contains("no record"));
        assert!(decode(b"").unwrap_err().contains("phase"));
        let mut topology = to_proto(&record(9, Phase::Forming));
        topology.members[1].name = "a".to_string();
        assert!(from_proto(topology).unwrap_err().contains("two members are called 'a'"));
        let mut topology = to_proto(&record(9, Phase::Forming));
        topology.members[1].state = 99;
        assert!(from_proto(topology).unwrap_err().contains("state of 'b'"));
    }
}
