//! The roll: how a tablet becomes a member of the record, and how a new cluster finds its primary.
//!
//! Invariant: what a tablet says of itself changes where it is, never what an operator has set (zone, weight, tags, what
//! it is wanted as), and never who is primary once there has been one.

use super::head::{Head, Refusal};
use super::leases::{Given, Kind, LeaseError, Leases, Presence};
use super::record::{Member, MemberState, Phase, Record, Wanted};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::Instant;

/// A call of `Register`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    pub kind: Kind,
    pub name: String,
    pub address: String,
    pub grpc: String,
    /// For a new member only.
    pub zone: String,
    pub tags: BTreeMap<String, String>,
    /// None: the usual one.
    pub weight: Option<u32>,
    pub presence: Presence,
}

/// Gives a lease; a tablet becomes a member. `former_id`: the lease that the caller held last.
pub async fn register(head: &Head, registration: &Registration, former_id: u64) -> Result<(u64, Arc<Record>), Refusal> {
    let Registration { kind, name, address, grpc, .. } = registration;
    check(registration)?;
    let record = head.record().ok_or(Refusal::Starting)?;
    let now = Instant::now();
    let given = head.with_leases(now, |leases| give(leases, now, &record, registration, former_id))??;
    let id = given.id;
    let entered = match kind {
        Kind::Tablet => enter(head, registration).await,
        Kind::Gate => Ok(record),
    };
    match entered {
        Ok(record) => {
            tracing::info!(event = "registered", kind = ?kind, name, address, grpc, lease = id);
            Ok((id, record))
        }
        Err(refusal) => {
            tracing::debug!(event = "not_registered", kind = ?kind, name, address, grpc, "{refusal}");
            // If we lead no more, the book is gone with all that is in it.
            let _ = head.with_leases(now, |leases| leases.take_back(*kind, name, given));
            Err(refusal)
        }
    }
}

fn give(
    leases: &mut Leases,
    now: Instant,
    record: &Record,
    registration: &Registration,
    former_id: u64,
) -> Result<Given, Refusal> {
    let Registration { kind, name, address, grpc, presence, .. } = registration;
    // An earlier leader may have given the name to the member that the record has: it keeps it for one lease.
    if *kind == Kind::Tablet
        && let Some(member) = record.members.get(name)
        && (&member.address, &member.tablet) != (address, grpc)
        && !leases.knows(*kind, name)
    {
        let left = leases.left(now, *kind, name);
        if !left.is_zero() {
            return Err(Refusal::NotNow(format!(
                "'{name}' was at {}, and may be there still for {} ms: wait, or give each a name of its own",
                member.address,
                left.as_millis() + 1
            )));
        }
    }
    leases.register(now, (*kind, name), (address, grpc), presence.clone(), former_id).map_err(refusal)
}

async fn enter(head: &Head, registration: &Registration) -> Result<Arc<Record>, Refusal> {
    let record = head.change(&by(&registration.name), None, |record| enrol(record, registration)).await?;
    found_primary(head, record).await
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
    let Registration { name, address, grpc, zone, tags, weight, presence, .. } = registration;
    let mut next = record.clone();
    let Some(known) = record.members.get(name) else {
        let member = Member {
            server_uuid: presence.server_uuid.clone(),
            address: address.clone(),
            tablet: grpc.clone(),
            zone: zone.clone(),
            weight: weight.unwrap_or(WEIGHT),
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
        let may_be = |name: &str| {
            let member = record.members.get(name);
            member.is_some_and(|member| member.wanted == Wanted::Any && member.state != MemberState::Diverged)
        };
        let is_one = |presence: &Presence| presence.role == PRIMARY && presence.is_serving;
        let claims = held.filter(|(name, holder, _)| may_be(name) && is_one(&holder.presence));
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
    let Registration { name, address, grpc, zone, tags, weight, presence, .. } = registration;
    let member = Member {
        server_uuid: presence.server_uuid.clone(),
        address: address.clone(),
        tablet: grpc.clone(),
        zone: zone.clone(),
        tags: tags.clone(),
        weight: weight.unwrap_or(WEIGHT),
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
        LeaseError::NameTaken { address } => Refusal::NotNow(format!(
            "another one of this name is alive, for {address}: give each a name of its own (--name)"
        )),
        LeaseError::Full => Refusal::NotNow("there are too many already".to_string()),
    }
}

/// As `Presence::role` says it.
pub const PRIMARY: &str = "primary";

/// Of a new member: as in a gate's configuration.
const WEIGHT: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::record::tests::member;
    use crate::store::Memory;

    async fn leading() -> Arc<Head> {
        let head = Head::new(Arc::new(Memory::new()), "main", 5_000);
        tokio::spawn(head.clone().run());
        let mut view = head.view();
        view.wait_for(|view| view.record.is_some()).await.unwrap();
        while head.with_leases(Instant::now(), |_| ()).is_err() {
            tokio::task::yield_now().await;
        }
        head
    }

    /// At the place of that member, with its server.
    fn tablet(name: &str, at: usize, role: &str) -> Registration {
        let Member { server_uuid, address, tablet: grpc, .. } = member(at);
        let presence = Presence { role: role.to_string(), is_serving: true, server_uuid, ..Presence::default() };
        let (zone, tags, weight) = ("z".to_string(), BTreeMap::new(), Some(7));
        Registration { kind: Kind::Tablet, name: name.to_string(), address, grpc, zone, tags, weight, presence }
    }

    fn why<T: std::fmt::Debug>(outcome: Result<T, Refusal>) -> String {
        outcome.unwrap_err().to_string()
    }

    fn names(head: &Head) -> Vec<String> {
        let list = |leases: &mut Leases| {
            leases.all(Instant::now(), Kind::Tablet).map(|(name, ..)| name.to_string()).collect::<Vec<_>>()
        };
        head.with_leases(Instant::now(), list).unwrap()
    }

    #[tokio::test]
    async fn a_new_member_has_the_zone_and_weight_that_it_names_and_keeps_what_operators_set() {
        let head = leading().await;
        let (first, record) = register(&head, &tablet("a", 1, "replica"), 0).await.unwrap();
        let known = record.members["a"].clone();
        assert_eq!((known.zone.as_str(), known.weight, known.tablet.as_str()), ("z", 7, "db1:7406"));
        let edit = |record: &Record| {
            let mut next = record.clone();
            next.members.insert("a".to_string(), Member { weight: 50, ..known });
            Ok(Some(next))
        };
        let set = head.change("op", None, edit).await.unwrap();
        let (second, again) = register(&head, &tablet("a", 1, "replica"), 0).await.unwrap();
        assert!(first != second);
        assert_eq!(again, set);
    }

    #[tokio::test]
    async fn who_clashes_with_a_member_is_refused_and_leaves_nothing_behind() {
        let head = leading().await;
        let (lease, record) = register(&head, &tablet("a", 1, "replica"), 0).await.unwrap();
        let elsewhere = tablet("a", 2, "replica");
        assert!(why(register(&head, &elsewhere, 0).await).contains("another one of this name is alive, for db1:3306"));
        let alias = tablet("b", 1, "primary");
        assert!(why(register(&head, &alias, 0).await).contains("are the same server, at db1:3306"));
        let copy = Registration { address: "db9:3306".to_string(), grpc: "db9:7406".to_string(), ..alias };
        assert!(why(register(&head, &copy, 0).await).contains("remove auto.cnf"));
        assert_eq!((names(&head), head.record()), (vec!["a".to_string()], Some(record)));
        // It has not moved the lease that holds, and with that it may move.
        renew(&head, Kind::Tablet, "a", lease, elsewhere.presence.clone()).await.unwrap_err();
        renew(&head, Kind::Tablet, "a", lease, tablet("a", 1, "replica").presence).await.unwrap();
        let (_, record) = register(&head, &elsewhere, lease).await.unwrap();
        assert_eq!(record.members["a"].address, "db2:3306");
    }

    /// The leader before may have given the name a moment ago.
    #[tokio::test]
    async fn a_new_leader_keeps_a_name_for_the_recorded_member() {
        let head = leading().await;
        let edit = |record: &Record| {
            let mut next = record.clone();
            next.members.insert("a".to_string(), member(1));
            Ok(Some(next))
        };
        head.change("op", None, edit).await.unwrap();
        let elsewhere = tablet("a", 2, "replica");
        assert!(why(register(&head, &elsewhere, 0).await).contains("'a' was at db1:3306, and may be there still for"));
        register(&head, &tablet("a", 1, "replica"), 0).await.unwrap();
    }

    #[tokio::test]
    async fn the_first_primary_is_one_that_may_be_and_the_only_one() {
        let head = leading().await;
        let edit = |record: &Record| {
            let mut next = record.clone();
            next.members.insert("a".to_string(), Member { wanted: Wanted::Replica, ..member(1) });
            Ok(Some(next))
        };
        head.change("op", None, edit).await.unwrap();
        let (_, record) = register(&head, &tablet("a", 1, "primary"), 0).await.unwrap();
        assert_eq!(record.phase, Phase::Forming);
        let (_, record) = register(&head, &tablet("b", 2, "replica"), 0).await.unwrap();
        assert_eq!(record.phase, Phase::Forming);
        let (_, record) = register(&head, &tablet("c", 3, "primary"), 0).await.unwrap();
        assert_eq!(record.primary(), Some("c"));
    }
}
