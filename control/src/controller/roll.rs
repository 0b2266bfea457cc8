//! The roll: how a tablet becomes a member of the record, and how a new cluster finds its primary.
//!
//! Invariant: what a tablet says of itself changes where it is, never what an operator has set (zone, weight, tags, what
//! it is wanted as), and never who is primary once there has been one.

use super::head::{Head, Refusal};
use super::leases::{Kind, LeaseError, Presence};
use super::record::{Member, Phase, Record};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::Instant;

/// A call of `Register`.
#[derive(Clone, Debug)]
pub struct Registration {
    pub kind: Kind,
    pub name: String,
    pub address: String,
    pub grpc: String,
    /// For a new member only.
    pub zone: String,
    pub tags: BTreeMap<String, String>,
    pub presence: Presence,
}

/// Gives a lease; a tablet becomes a member.
pub async fn register(head: &Head, registration: &Registration) -> Result<(u64, Arc<Record>), Refusal> {
    let Registration { kind, name, address, grpc, presence, .. } = registration;
    check(registration)?;
    let give = |leases: &mut super::leases::Leases| {
        leases.register(Instant::now(), (*kind, name), (address, grpc), presence.clone())
    };
    let id = head.with_leases(Instant::now(), give)?.map_err(refusal)?;
    let mut record = head.record().ok_or(Refusal::Starting)?;
    if *kind == Kind::Tablet {
        record = head.change(&by(name), None, |record| enrol(record, registration)).await?;
        record = found_primary(head, record).await?;
    }
    tracing::info!(event = "registered", kind = ?kind, name, address, grpc, lease = id);
    Ok((id, record))
}

/// Prolongs a lease.
pub async fn renew(head: &Head, kind: Kind, name: &str, id: u64, presence: Presence) -> Result<Arc<Record>, Refusal> {
    let record = head.record().ok_or(Refusal::Starting)?;
    let uuid = presence.server_uuid.clone();
    let is_another = |member: &Member| !uuid.is_empty() && member.server_uuid != uuid;
    if kind == Kind::Tablet && record.members.get(name).is_none_or(is_another) {
        // A member that was taken out, or whose server is another one now: registering says what to do about it.
        return Err(Refusal::UnknownLease);
    }
    let now = Instant::now();
    head.with_leases(now, |leases| leases.renew(now, kind, name, id, presence))?.map_err(refusal)?;
    match kind {
        Kind::Tablet => found_primary(head, record).await,
        Kind::Gate => Ok(record),
    }
}

fn enrol(record: &Record, registration: &Registration) -> Result<Option<Record>, Refusal> {
    let Registration { name, address, grpc, zone, tags, presence, .. } = registration;
    let mut next = record.clone();
    let Some(known) = record.members.get(name) else {
        let member = Member {
            server_uuid: presence.server_uuid.clone(),
            address: address.clone(),
            tablet: grpc.clone(),
            zone: zone.clone(),
            weight: WEIGHT,
            tags: tags.clone(),
            ..Member::default()
        };
        next.members.insert(name.clone(), member);
        next.reason = format!("'{name}' is new");
        return Ok(Some(next));
    };
    let mut member = Member { address: address.clone(), tablet: grpc.clone(), ..known.clone() };
    if !presence.server_uuid.is_empty() && presence.server_uuid != known.server_uuid {
        if !known.server_uuid.is_empty() && record.primary() == Some(name) {
            let why = format!(
                "'{name}' is the primary with server {}, and now {} is there: if it was replaced on purpose, take the \
                 primary's role from it first",
                known.server_uuid, presence.server_uuid
            );
            return Err(Refusal::NotNow(why));
        }
        member.server_uuid.clone_from(&presence.server_uuid);
    }
    if member == *known {
        return Ok(None);
    }
    next.members.insert(name.clone(), member);
    next.reason = format!("'{name}' is elsewhere, or another server");
    Ok(Some(next))
}

/// In a new cluster: the one live tablet with positive evidence that its server is a primary. With two of them nobody
/// is: somebody made a mistake, and writing to the wrong one loses data.
async fn found_primary(head: &Head, record: Arc<Record>) -> Result<Arc<Record>, Refusal> {
    if record.phase != Phase::Forming {
        return Ok(record);
    }
    let now = Instant::now();
    let claims: Vec<String> = head.with_leases(now, |leases| {
        let held = leases.held(now, Kind::Tablet);
        let claims = held.filter(|(_, holder, _)| holder.presence.role == PRIMARY && holder.presence.is_serving);
        claims.map(|(name, ..)| name.to_string()).collect()
    })?;
    let [name] = claims.as_slice() else {
        if claims.len() > 1 {
            tracing::warn!(
                event = "two_primaries",
                "two servers are writable: {}; make one read-only",
                claims.join(", ")
            );
        }
        return Ok(record);
    };
    let name = name.clone();
    head.change(&by(&name), None, |record| {
        if record.phase != Phase::Forming || !record.members.contains_key(&name) {
            return Ok(None);
        }
        let mut next = record.clone();
        next.phase = Phase::Steady { primary: name.clone() };
        next.reason = format!("'{name}' was found as primary");
        Ok(Some(next))
    })
    .await
}

fn check(registration: &Registration) -> Result<(), Refusal> {
    // Members are checked with the record; gates are kept nowhere else.
    let mut record = Record::forming("x", super::limits::LEASE_MS_MAX);
    let Registration { name, address, grpc, zone, tags, presence, .. } = registration;
    let member = Member {
        server_uuid: presence.server_uuid.clone(),
        address: address.clone(),
        tablet: grpc.clone(),
        zone: zone.clone(),
        tags: tags.clone(),
        note: [&*presence.role, &presence.why, &presence.version].concat().replace(char::is_control, " "),
        ..Member::default()
    };
    record.members.insert(name.clone(), member);
    record.check().map_err(Refusal::Wrong)
}

fn by(name: &str) -> String {
    format!("tablet {name}")
}

fn refusal(error: LeaseError) -> Refusal {
    match error {
        LeaseError::Unknown => Refusal::UnknownLease,
        LeaseError::NameTaken { address } => {
            Refusal::NotNow(format!("another one of this name is alive, at {address}: give each a name of its own"))
        }
        LeaseError::Full => Refusal::NotNow("there are too many already".to_string()),
    }
}

/// As `Presence::role` says it.
pub const PRIMARY: &str = "primary";

/// Of a new member: as in a gate's configuration.
const WEIGHT: u32 = 100;
