//! `weir ctl topology|gates|controllers|set|forget`: asks the controllers, and changes the record for operators.
//!
//! A change is read, edited and proposed with the epoch that was read; when another one came first it is tried again on
//! the new record, since each edit says what it wants of one member and nothing about the rest.

use super::{Table, duration};
use crate::controller::client::{Client, Controllers, Repeat};
use crate::controller::leases::Presence;
use crate::controller::outlook::{Outlook, Reach};
use crate::controller::record::{Member, MemberState, Record, Wanted};
use crate::controller::{limits, wire};
use crate::grpc::proto;
use crate::grpc::tls::{ClientTls, TlsFiles};
use crate::status::phase_name;
use serde::Serialize;
use std::collections::BTreeMap;
use tonic::{Code, Request, Status};

/// Whom to ask, and how.
#[derive(Clone, Debug)]
pub struct Ask {
    /// `host:port` each.
    pub controllers: Vec<String>,
    pub tls: TlsFiles,
}

/// What an operator wants of a member; None: as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    pub zone: Option<String>,
    pub weight: Option<u32>,
    pub wanted: Option<Wanted>,
    /// An empty value takes the tag away.
    pub tags: Vec<(String, String)>,
}

#[derive(Serialize)]
pub struct TopologyView {
    cluster: String,
    epoch: u64,
    phase: &'static str,
    primary: Option<String>,
    former_primary: Option<String>,
    heir: Option<String>,
    lease_ms: u32,
    members: Vec<MemberView>,
    promoted_gtid_executed: String,
    changed_by: String,
    reason: String,
    changed_unix_ms: u64,
}

#[derive(Serialize)]
struct MemberView {
    name: String,
    address: String,
    tablet: String,
    server_uuid: String,
    zone: String,
    weight: u32,
    tags: BTreeMap<String, String>,
    wanted: &'static str,
    state: &'static str,
    note: String,
}

#[derive(Serialize)]
pub struct RegisteredView {
    name: String,
    address: String,
    grpc: String,
    lease_left_ms: u32,
    role: String,
    serving: bool,
    why: String,
    epoch_seen: u64,
    server_uuid: String,
    version: String,
    /// What a gate sees of the primary by itself.
    outlook: Option<OutlookView>,
}

#[derive(Serialize)]
struct OutlookView {
    primary: String,
    reach: &'static str,
    since_ms: u32,
    answered_ms: Option<u32>,
}

#[derive(Serialize)]
pub struct PeerView {
    address: String,
    leader: bool,
}

pub fn topology(ask: &Ask) -> Result<TopologyView, String> {
    run(ask, async |controllers| Ok(TopologyView::of(&read(controllers).await?)))
}

pub fn gates(ask: &Ask) -> Result<Vec<RegisteredView>, String> {
    run(ask, async |controllers| {
        let call = |mut client: Client, request: Request<_>| async move { client.list_gates(request).await };
        let reply = controllers.ask(Repeat::Safe, proto::ListGatesRequest {}, call).await.map_err(said)?;
        Ok(reply.gates.into_iter().map(RegisteredView::of).collect())
    })
}

pub fn controllers(ask: &Ask) -> Result<Vec<PeerView>, String> {
    run(ask, async |controllers| {
        let call = |mut client: Client, request: Request<_>| async move { client.list_controllers(request).await };
        let reply = controllers.ask(Repeat::Safe, proto::ListControllersRequest {}, call).await.map_err(said)?;
        let peer = |peer: proto::ControllerPeer| PeerView { address: peer.address, leader: peer.leader };
        Ok(reply.controllers.into_iter().map(peer).collect())
    })
}

/// The new record.
pub fn set(ask: &Ask, member: &str, edit: &Edit) -> Result<TopologyView, String> {
    change(ask, &format!("'{member}' was set"), |record| {
        let known = record.members.get_mut(member).ok_or_else(|| no_member(member))?;
        edit.apply(known);
        Ok(())
    })
}

/// Takes a member out that is not the primary. Its tablet, if it lives, comes back as a new one.
pub fn forget(ask: &Ask, member: &str) -> Result<TopologyView, String> {
    change(ask, &format!("'{member}' was taken out"), |record| {
        if record.primary() == Some(member) {
            return Err(format!("'{member}' is the primary: it cannot be taken out"));
        }
        record.members.remove(member).map(drop).ok_or_else(|| no_member(member))
    })
}

/// Takes a replica out of reads. Transactions that are open there end by themselves.
pub fn drain(ask: &Ask, member: &str) -> Result<TopologyView, String> {
    change(ask, &format!("'{member}' is drained"), |record| {
        if record.primary() == Some(member) {
            return Err(format!("'{member}' is the primary: move its role first with weir ctl switchover"));
        }
        let known = record.members.get_mut(member).ok_or_else(|| no_member(member))?;
        match known.state {
            MemberState::Diverged => Err(format!("'{member}' has diverged, and gets no traffic anyway")),
            MemberState::Active | MemberState::Drained => {
                known.state = MemberState::Drained;
                Ok(())
            }
        }
    })
}

pub fn restore(ask: &Ask, member: &str) -> Result<TopologyView, String> {
    change(ask, &format!("'{member}' is in service again"), |record| {
        let known = record.members.get_mut(member).ok_or_else(|| no_member(member))?;
        match known.state {
            MemberState::Diverged => Err(format!(
                "'{member}' has transactions that the primary never had: give it a copy of the primary's data; it comes back by itself"
            )),
            MemberState::Active | MemberState::Drained => {
                known.state = MemberState::Active;
                Ok(())
            }
        }
    })
}

fn no_member(name: &str) -> String {
    format!("there is no member '{name}': 'weir ctl topology' shows them")
}

fn change(ask: &Ask, reason: &str, edit: impl Fn(&mut Record) -> Result<(), String>) -> Result<TopologyView, String> {
    run(ask, async |controllers| {
        for _ in 0..TRIES_MAX {
            let record = read(controllers).await?;
            let mut next = record.clone();
            edit(&mut next)?;
            if next == record {
                return Ok(TopologyView::of(&record));
            }
            next.reason = reason.to_string();
            let topology = Some(wire::to_proto(&next));
            let epoch_expected = record.epoch.number();
            let question = proto::ProposeTopologyRequest { epoch_expected, topology, former_is_fenced: false };
            let call = |mut client: Client, request: Request<_>| async move { client.propose_topology(request).await };
            match controllers.ask(Repeat::Unsafe, question, call).await {
                Ok(reply) => return reply.topology.map_or(Err(NOTHING.to_string()), view),
                Err(status) if status.code() == Code::Aborted => {}
                Err(status) => return Err(said(status)),
            }
        }
        Err("others change the topology all the time: try again".to_string())
    })
}

pub(super) async fn read(controllers: &mut Controllers) -> Result<Record, String> {
    let call = |mut client: Client, request: Request<_>| async move { client.get_topology(request).await };
    let reply = controllers.ask(Repeat::Safe, proto::GetTopologyRequest {}, call).await.map_err(said)?;
    wire::from_proto(reply.topology.ok_or(NOTHING)?)
}

pub(super) fn run<T>(ask: &Ask, work: impl AsyncFnOnce(&mut Controllers) -> Result<T, String>) -> Result<T, String> {
    let tls = ClientTls::load(&ask.tls)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    let mut controllers = Controllers::new(&ask.controllers, tls);
    runtime.block_on(work(&mut controllers))
}

pub(super) fn said(status: Status) -> String {
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded => {
            format!("no controller answers ({}): name them with --controller HOST:PORT,…", status.message())
        }
        _ => status.message().to_string(),
    }
}

fn view(topology: proto::Topology) -> Result<TopologyView, String> {
    wire::from_proto(topology).map(|record| TopologyView::of(&record))
}

impl Edit {
    fn apply(&self, member: &mut Member) {
        if let Some(zone) = &self.zone {
            member.zone.clone_from(zone);
        }
        member.weight = self.weight.unwrap_or(member.weight);
        member.wanted = self.wanted.unwrap_or(member.wanted);
        for (tag, value) in &self.tags {
            match value.is_empty() {
                true => member.tags.remove(tag),
                false => member.tags.insert(tag.clone(), value.clone()),
            };
        }
    }
}

impl TopologyView {
    fn of(record: &Record) -> TopologyView {
        let owned = |name: Option<&str>| name.map(ToString::to_string);
        TopologyView {
            cluster: record.cluster.clone(),
            epoch: record.epoch.number(),
            phase: phase_name(&record.phase),
            primary: owned(record.primary()),
            former_primary: owned(record.former()),
            heir: owned(record.heir()),
            lease_ms: record.lease_ms,
            members: record.members.iter().map(|(name, member)| MemberView::of(name, member)).collect(),
            promoted_gtid_executed: record.promoted_gtid_executed.clone(),
            changed_by: record.changed_by.clone(),
            reason: record.reason.clone(),
            changed_unix_ms: record.changed_unix_ms,
        }
    }

    pub fn table(&self) -> String {
        let primary = match (&self.primary, &self.former_primary) {
            (Some(primary), _) => format!("primary {primary}"),
            (None, Some(former)) => format!("no primary, formerly {former}"),
            (None, None) => "no primary yet".to_string(),
        };
        let heir = self.heir.as_ref().map_or(String::new(), |heir| format!(", to be followed by {heir}"));
        let mut out = format!(
            "cluster {}, epoch {}, {}, {primary}{heir}, leases of {} ms\nlast change: {}, by {}\n",
            self.cluster,
            self.epoch,
            self.phase,
            self.lease_ms,
            self.reason,
            if self.changed_by.is_empty() { "the controller" } else { &self.changed_by },
        );
        let mut table =
            Table::new(&["MEMBER", "ADDRESS", "TABLET", "WANTED", "STATE", "ZONE", "WEIGHT", "TAGS", "NOTE"]);
        for member in &self.members {
            let wanted = if self.primary.as_ref() == Some(&member.name) { "primary" } else { member.wanted };
            let tags: Vec<String> = member.tags.iter().map(|(tag, value)| format!("{tag}={value}")).collect();
            let (weight, tags) = (member.weight.to_string(), tags.join(","));
            let MemberView { name, address, tablet, state, zone, note, .. } = member;
            table.add([name, address, tablet, wanted, state, zone, &weight, &tags, note]);
        }
        out += &table.print();
        out
    }
}

impl MemberView {
    fn of(name: &str, member: &Member) -> MemberView {
        let Member { server_uuid, address, tablet, zone, weight, tags, wanted, state, note } = member.clone();
        let wanted = match wanted {
            Wanted::Any => "any",
            Wanted::Replica => "replica",
        };
        let state = match state {
            MemberState::Active => "active",
            MemberState::Drained => "drained",
            MemberState::Diverged => "diverged",
        };
        MemberView { name: name.to_string(), address, tablet, server_uuid, zone, weight, tags, wanted, state, note }
    }
}

impl RegisteredView {
    fn of(registered: proto::Registered) -> RegisteredView {
        let proto::Registered { name, address, grpc, lease_left_ms, presence } = registered;
        let Presence { role, is_serving: serving, why, epoch_seen, server_uuid, version, primary, .. } =
            wire::presence_from_proto(presence);
        let outlook = primary.map(|Outlook { primary, reach, since_ms, answered_ms }| OutlookView {
            primary,
            reach: reach.name(),
            since_ms,
            answered_ms,
        });
        RegisteredView {
            name,
            address,
            grpc,
            lease_left_ms,
            role,
            serving,
            why,
            epoch_seen,
            server_uuid,
            version,
            outlook,
        }
    }
}

impl OutlookView {
    fn show(&self) -> String {
        let OutlookView { primary, reach, since_ms, answered_ms } = self;
        match answered_ms.filter(|_| *reach == Reach::Answers.name()) {
            Some(ms) => format!("{primary} {reach}, {} ago", age(ms)),
            None => format!("{primary} {reach} for {}", age(*since_ms)),
        }
    }
}

fn age(ms: u32) -> String {
    if ms < 1_000 { format!("{ms} ms") } else { duration(u64::from(ms)) }
}

/// What is left of one.
pub(super) fn lease(left_ms: u32) -> String {
    match left_ms {
        0 => "none".to_string(),
        left if left < limits::LEASE_MS_MIN => format!("{left} ms"),
        left => duration(u64::from(left)),
    }
}

pub fn gates_table(all: &[RegisteredView]) -> String {
    let mut table =
        Table::new(&["GATE", "ADDRESS", "GRPC", "LEASE", "ROLE", "SERVING", "EPOCH", "PRIMARY", "VERSION", "WHY"]);
    for one in all {
        let lease = lease(one.lease_left_ms);
        let (serving, epoch) = (if one.serving { "yes" } else { "no" }, one.epoch_seen.to_string());
        let primary = one.outlook.as_ref().map_or("-".to_string(), OutlookView::show);
        let RegisteredView { name, address, grpc, role, version, why, .. } = one;
        table.add([name, address, grpc, &lease, role, serving, &epoch, &primary, version, why]);
    }
    table.print()
}

pub fn controllers_table(peers: &[PeerView]) -> String {
    let mut table = Table::new(&["CONTROLLER", "ROLE"]);
    peers.iter().for_each(|peer| table.add([&peer.address, if peer.leader { "leader" } else { "follower" }]));
    table.print()
}

pub fn json(view: &impl Serialize) -> Result<String, String> {
    serde_json::to_string_pretty(view).map_err(|error| format!("it cannot be shown: {error}"))
}

/// Edits of others that may come between reading and proposing.
const TRIES_MAX: usize = 10;

const NOTHING: &str = "the controller answered without a topology";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::record::Phase;
    use crate::controller::record::tests::record;

    #[test]
    fn gates_show_what_they_see() {
        let seen = |reach: Reach, answered_ms| {
            let primary = Some(Outlook { primary: "a".to_string(), reach, since_ms: 4_000, answered_ms });
            let presence = Some(wire::presence_to_proto(&Presence { primary, ..Presence::default() }));
            RegisteredView::of(proto::Registered { name: "g".to_string(), presence, ..proto::Registered::default() })
        };
        let all = [seen(Reach::Answers, Some(250)), seen(Reach::Silent, Some(4_100))];
        let text = gates_table(&all);
        assert!(text.contains("a answers, 250 ms ago") && text.contains("a silent for 4"), "{text}");
        assert!(json(&all[1]).unwrap().contains("\"reach\": \"silent\""));
        let blind = RegisteredView::of(proto::Registered::default());
        assert!(json(&blind).unwrap().contains("\"outlook\": null"));
    }

    #[test]
    fn tables_and_edits() {
        let mut record = record(9, Phase::Steady { primary: "a".to_string() });
        let edit = Edit {
            zone: Some("z1".to_string()),
            weight: Some(7),
            wanted: Some(Wanted::Replica),
            tags: vec![("disk".to_string(), "nvme".to_string()), ("old".to_string(), String::new())],
        };
        let b = record.members.get_mut("b").unwrap();
        b.tags.insert("old".to_string(), "1".to_string());
        edit.apply(b);
        Edit::default().apply(b);
        let view = TopologyView::of(&record);
        let text = view.table();
        for expected in [
            "cluster main, epoch 9, steady, primary a, leases of 5000 ms",
            "a       db1:3306  db1:7406  primary  active        100",
            "b       db2:3306  db2:7406  replica  active  z1    7       disk=nvme",
        ] {
            assert!(text.contains(expected), "{expected}\nnot in\n{text}");
        }
        assert!(json(&view).unwrap().contains("\"primary\": \"a\""));
    }
}
