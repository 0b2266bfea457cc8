//! `weir ctl tablets`: what the controllers know of each tablet, and what each says itself.
//!
//! Invariant: lease and wanted role are the controllers' word, everything that moves fast is the tablet's own, asked for
//! at this moment. A tablet that does not answer is shown with the controllers' word alone, as silent.

use super::cluster::{Ask, lease, read, run, said};
use super::{Table, short_lag};
use crate::controller::client::{Client, Repeat};
use crate::controller::record::Record;
use crate::grpc::proto;
use crate::grpc::tls::{ClientTls, TlsFiles, connect};
use crate::monitor::topology::role_name;
use crate::status::wanted_name;
use crate::tablet::membership::Enrolment;
use crate::tablet::wire::Reader;
use crate::tablet::word::Word;
use serde::Serialize;
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::Request;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TabletView {
    pub name: String,
    /// Where gates reach the server.
    pub address: String,
    pub grpc: String,
    pub role: String,
    /// By the controllers: primary, any or replica; empty when they were not asked.
    pub wanted: String,
    /// The server's, as the tablet sees it; `silent`: the tablet does not answer.
    pub state: String,
    /// None: the controllers were not asked.
    pub lease_left_ms: Option<u32>,
    /// As the tablet sees it: alone, registered or not registered.
    pub enrolment: String,
    pub enrolment_why: String,
    /// Of the topology that it knows, and whom that names.
    pub epoch: u64,
    pub primary: String,
    pub lag_ms: Option<u64>,
    pub lag_transactions: u64,
    pub gtid_executed: String,
    pub server_uuid: String,
    pub version: String,
    /// Why it does not serve, is not registered, or could not do what the topology wants.
    pub why: String,
}

/// All members of the cluster, and who else is registered.
pub fn tablets(ask: &Ask) -> Result<Vec<TabletView>, String> {
    let tls = ClientTls::load(&ask.tls)?;
    let all = run(ask, async |controllers| {
        let call = |mut client: Client, request: Request<_>| async move { client.list_tablets(request).await };
        let reply = controllers.ask(Repeat::Safe, proto::ListTabletsRequest {}, call).await.map_err(said)?;
        let record = read(controllers).await?;
        let known = reply.tablets.into_iter().map(|one| TabletView::of(one, &record)).collect();
        Ok(look_at(known, tls).await)
    });
    all.map_err(|why| format!("{why}; --tablet HOST:PORT,… asks tablets themselves"))
}

/// These ones themselves, whatever controllers know. Err: none of them answers.
pub fn asked_directly(addresses: &[String], tls: &TlsFiles) -> Result<Vec<TabletView>, String> {
    let tls = ClientTls::load(tls)?;
    let known = addresses.iter().map(|grpc| TabletView { grpc: grpc.clone(), ..TabletView::default() }).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let all = runtime.map_err(|error| format!("cannot start: {error}"))?.block_on(look_at(known, tls));
    match all.iter().all(|one| one.state == SILENT) {
        true => Err(format!("no tablet answers ({})", all.first().map(|one| one.why.as_str()).unwrap_or_default())),
        false => Ok(all),
    }
}

async fn look_at(known: Vec<TabletView>, tls: Option<ClientTls>) -> Vec<TabletView> {
    let mut looks = JoinSet::new();
    for (at, mut view) in known.into_iter().enumerate() {
        let tls = tls.clone();
        looks.spawn(async move {
            match tokio::time::timeout(LOOK_LIMIT, look(&view.grpc, tls.as_ref())).await {
                Ok(Ok((word, lag_ms))) => view.learn(&word, lag_ms),
                Ok(Err(why)) => view.fall_silent(why),
                Err(_) => view.fall_silent("it does not answer in time".to_string()),
            }
            (at, view)
        });
    }
    let mut all = looks.join_all().await;
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, view)| view).collect()
}

/// The first word of its stream holds everything.
async fn look(grpc: &str, tls: Option<&ClientTls>) -> Result<(Word, Option<u64>), String> {
    if grpc.is_empty() {
        return Err("it has told no address".to_string());
    }
    let channel = connect(grpc, tls, LOOK_LIMIT).await?;
    let mut client = proto::tablet_client::TabletClient::new(channel);
    let words = client.watch(proto::TabletWatchRequest {}).await.map_err(|status| status.message().to_string())?;
    let word = words.into_inner().message().await.map_err(|status| status.message().to_string())?;
    let word = word.ok_or("it ended the stream")?;
    let lag_ms = word.facts.as_ref().and_then(|facts| facts.lag_ms);
    let word = Reader::default().read(word).map_err(|unreadable| format!("it sent {}", unreadable.0))?;
    Ok((word, lag_ms))
}

impl TabletView {
    fn of(registered: proto::Registered, record: &Record) -> TabletView {
        let proto::Registered { name, address, grpc, lease_left_ms, presence } = registered;
        let proto::Presence { role, why, epoch_seen, server_uuid, version, .. } = presence.unwrap_or_default();
        let wanted = wanted_name(record, &name).to_string();
        let (lease_left_ms, epoch) = (Some(lease_left_ms), epoch_seen);
        TabletView {
            name,
            address,
            grpc,
            role,
            wanted,
            lease_left_ms,
            epoch,
            server_uuid,
            version,
            why,
            ..Self::default()
        }
    }

    fn learn(&mut self, word: &Word, lag_ms: Option<u64>) {
        if self.name.is_empty() {
            self.name.clone_from(&word.name);
        }
        self.address.clone_from(&word.address);
        self.role = role_name(word.role).to_string();
        self.state = word.standing.name().to_string();
        self.enrolment = word.enrolment.name().to_string();
        self.enrolment_why.clone_from(&word.enrolment_why);
        (self.epoch, self.primary) = (word.epoch, word.primary.clone());
        self.gtid_executed = word.executed.to_string();
        self.why = word.why.clone();
        if let Some(facts) = &word.facts {
            (self.lag_ms, self.lag_transactions) = (lag_ms, facts.lag_transactions());
            self.server_uuid.clone_from(&facts.server_uuid);
            self.version.clone_from(&facts.version);
        }
        let unregistered = match word.enrolment {
            Enrolment::NotRegistered => format!("not registered: {}", word.enrolment_why),
            Enrolment::Alone | Enrolment::Registered => String::new(),
        };
        let whys = [&self.why, &unregistered, &word.care.trouble];
        self.why = whys.into_iter().filter(|why| !why.is_empty()).map(String::as_str).collect::<Vec<_>>().join("; ");
    }

    fn fall_silent(&mut self, why: String) {
        self.state = SILENT.to_string();
        self.why = why;
    }
}

pub fn table(all: &[TabletView]) -> String {
    let head = ["TABLET", "ADDRESS", "ROLE", "WANTED", "STATE", "LEASE", "EPOCH", "LAG", "EXECUTED", "WHY"];
    let mut table = Table::new(&head);
    for one in all {
        let name = if one.name.is_empty() { &one.grpc } else { &one.name };
        let lease = one.lease_left_ms.map_or(one.enrolment.clone(), lease);
        let lag = if one.state == SILENT { "-".to_string() } else { short_lag(&one.role, one.lag_ms) };
        let (epoch, executed) = (one.epoch.to_string(), short_set(&one.gtid_executed));
        let dash = |text: &str| if text.is_empty() { "-".to_string() } else { text.to_string() };
        let (role, wanted, executed) = (dash(&one.role), dash(&one.wanted), dash(&executed));
        table.add([name, &one.address, &role, &wanted, &one.state, &lease, &epoch, &lag, &executed, &one.why]);
    }
    table.print()
}

/// `3aecbfe0:1-48`: enough to compare two servers by eye. JSON has the whole set.
fn short_set(executed: &str) -> String {
    let short = |part: &str| match (part.get(..8), part.get(36..)) {
        (Some(uuid), Some(rest)) if rest.len() <= INTERVALS_CHARS_MAX => format!("{uuid}{rest}"),
        (Some(uuid), Some(rest)) => {
            let last = rest.rsplit(':').next().unwrap_or_default();
            format!("{uuid}:…:{last}")
        }
        _ => part.to_string(),
    };
    let parts: Vec<&str> = executed.split(',').filter(|part| !part.is_empty()).collect();
    let mut out = parts.iter().take(SOURCES_SHOWN_MAX).map(|part| short(part)).collect::<Vec<_>>().join(",");
    if parts.len() > SOURCES_SHOWN_MAX {
        out += &format!(",+{}", parts.len() - SOURCES_SHOWN_MAX);
    }
    out
}

const SILENT: &str = "silent";

/// A tablet that lives answers at once; a table that waits longer is no use while something is wrong.
const LOOK_LIMIT: Duration = Duration::from_secs(1);

/// In one cell of the table.
const SOURCES_SHOWN_MAX: usize = 2;
const INTERVALS_CHARS_MAX: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::record::Phase;
    use crate::controller::record::tests::record;
    use crate::monitor::Standing;
    use std::sync::Arc;
    use weir_core::snapshot::Role;
    use weir_net::gtid::GtidSet;

    const A: &str = "3aecbfe0-e779-11f1-be4c-02fc00000001";

    #[test]
    fn the_table_joins_what_controllers_and_tablets_say() {
        let record = record(9, Phase::Steady { primary: "a".to_string() });
        let registered = |name: &str, lease_left_ms| {
            let presence = Some(proto::Presence { role: "replica".to_string(), epoch_seen: 8, ..Default::default() });
            let (name, address, grpc) = (name.to_string(), "old:3306".to_string(), "old:7406".to_string());
            TabletView::of(proto::Registered { name, address, grpc, lease_left_ms, presence }, &record)
        };
        let (mut a, mut b) = (registered("a", 4_900), registered("b", 0));
        let word = Word {
            address: "db1:3306".to_string(),
            standing: Standing::Serving,
            role: Role::Primary,
            epoch: 9,
            enrolment: Enrolment::NotRegistered,
            enrolment_why: "nobody answers".to_string(),
            facts: Some(Arc::new(crate::monitor::facts::tests::facts())),
            executed: Arc::new(GtidSet::parse(format!("{A}:1-48").as_bytes()).unwrap()),
            ..Word::new("a", None)
        };
        a.learn(&word, None);
        b.fall_silent("refused\u{1b}".to_string());
        let mut direct = TabletView { grpc: "x:7406".to_string(), ..TabletView::default() };
        direct.learn(&Word { name: "x".to_string(), role: Role::Replica, ..word }, Some(7));
        let text = table(&[a.clone(), b, direct]);
        for expected in [
            "a       db1:3306  primary  primary  serving  4 s             9      -     3aecbfe0:1-48  not registered: nobody answers",
            "b       old:3306  replica  any      silent   none            8      -     -              refused?",
            "x       db1:3306  replica  -        serving  not registered  9      7 ms  3aecbfe0:1-48  not registered: nobody",
        ] {
            assert!(text.contains(expected), "{expected}\nnot in\n{text}");
        }
        assert!(super::super::cluster::json(&[a]).unwrap().contains(&format!("\"gtid_executed\": \"{A}:1-48\"")));
    }

    #[test]
    fn sets_are_shortened_to_what_the_eye_can_compare() {
        let many = format!("{A}:1-4:6-9:11-14:16-19:21-24:26-29,{A}:x:1,{A}:y:1");
        for (set, expected) in [
            ("", ""),
            (&format!("{A}:1-5"), "3aecbfe0:1-5"),
            (&many, "3aecbfe0:…:26-29,3aecbfe0:x:1,+1"),
            ("odd", "odd"),
        ] {
            assert_eq!(short_set(set), expected);
        }
    }
}
