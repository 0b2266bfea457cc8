//! The peer: the server that is to be followed, asked with the account that replicas use.

use super::{Hands, Obstacle, View, ask, cells, set};
use crate::client::{AsyncClient, ClientError, ClientTls, Options};
use weir_net::gtid::GtidSet;

/// Whom to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub name: String,
    pub host: String,
    pub port: u16,
    /// Empty while nobody knows it.
    pub uuid: String,
}

/// What a source says of itself.
pub(super) struct Peer {
    pub executed: GtidSet,
    pub purged: GtidSet,
    pub is_read_only: bool,
    /// It offers TLS.
    pub has_tls: bool,
}

impl Source {
    /// None: `address` is no host and port.
    pub fn new(name: &str, address: &str, uuid: &str) -> Option<Source> {
        let (host, port) = address.rsplit_once(':').filter(|_| !address.starts_with("unix:"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_string();
        Some(Source { name: name.to_string(), host, port: port.parse().ok()?, uuid: uuid.to_string() })
    }
}

impl Hands {
    /// Asks a source that is about to be followed, and whether this server may follow it.
    pub(super) async fn judge(&self, source: &Source, own: &View) -> Result<Peer, Obstacle> {
        let peer = self.primary(source).await?;
        let extra = extra(&own.executed, &peer.executed);
        if !extra.is_empty() {
            return Err(Obstacle::Diverged(extra));
        }
        if !own.executed.contains(&peer.purged) {
            return Err(Obstacle::Needs(format!(
                "'{}' no longer has the binary logs that this server lacks: {RECLONE}",
                source.name
            )));
        }
        Ok(peer)
    }

    /// Whether that one has all that this server has executed.
    pub async fn compare(&self, source: &Source, own: &View) -> Result<(), Obstacle> {
        let extra = extra(&own.executed, &self.primary(source).await?.executed);
        if extra.is_empty() { Ok(()) } else { Err(Obstacle::Diverged(extra)) }
    }

    /// One that is not writable yet may have to apply what it received: what it has executed says nothing.
    async fn primary(&self, source: &Source) -> Result<Peer, Obstacle> {
        let peer = self.peer(source).await?;
        match peer.is_read_only {
            true => Err(Obstacle::NotYet(format!("'{}' is not writable yet", source.name))),
            false => Ok(peer),
        }
    }

    async fn peer(&self, source: &Source) -> Result<Peer, Obstacle> {
        let Some(account) = &self.replication else { return Err(Obstacle::Needs(NO_ACCOUNT.to_string())) };
        let mut options = Options::tcp(&source.host, source.port).user(&account.user).timeout(self.options.timeout);
        options.password = account.password.clone();
        let at = |error: ClientError| {
            Obstacle::NotYet(format!("'{}' cannot be asked what it has executed ({error})", source.name))
        };
        let (mut client, has_tls) = match AsyncClient::connect(&options.clone().tls(ClientTls::Unverified)).await {
            Ok(client) => (client, true),
            Err(ClientError::Tls(_)) => (AsyncClient::connect(&options).await.map_err(at)?, false),
            Err(error) => return Err(at(error)),
        };
        let question = "SELECT @@GLOBAL.server_uuid; SELECT @@GLOBAL.gtid_executed; SELECT @@GLOBAL.gtid_purged; \
                        SELECT @@GLOBAL.read_only + @@GLOBAL.super_read_only";
        let reply = ask(&mut client, question).await.map_err(at)?;
        let [uuid, executed, purged, read_only] = <[String; 4]>::try_from(cells(&reply)).unwrap_or_default();
        if !source.uuid.is_empty() && uuid != source.uuid {
            let (host, port, wanted) = (&source.host, source.port, &source.uuid);
            return Err(Obstacle::NotYet(format!("{host}:{port} is {uuid}, and '{}' is {wanted}", source.name)));
        }
        Ok(Peer { executed: set(&executed)?, purged: set(&purged)?, is_read_only: read_only != "0", has_tls })
    }
}

/// What a server has executed and its primary has not.
pub fn extra(own: &GtidSet, primary: &GtidSet) -> GtidSet {
    let mut extra = own.clone();
    extra.subtract(primary);
    extra
}

pub const NO_ACCOUNT: &str = "the tablet does not know what to log in to the primary with: set replication_user and \
                              replication_password_file";
pub const RECLONE: &str = "clone it anew from the primary";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_sources() {
        let check = |address: &str, expected: Option<(&str, u16)>| {
            let found = Source::new("a", address, "");
            assert_eq!(found.as_ref().map(|source| (source.host.as_str(), source.port)), expected, "{address}");
        };
        check("db1:3306", Some(("db1", 3306)));
        check("[::1]:3307", Some(("::1", 3307)));
        check("unix:/run/mysqld.sock", None);
        check("db1", None);
        check("db1:x", None);
    }

    #[test]
    fn the_extra_is_what_the_primary_lacks() {
        const A: &str = "3aecbfe0-e779-11f1-be4c-02fc00000001";
        const B: &str = "3aecbfe0-e779-11f1-be4c-02fc00000002";
        let set = |text: String| GtidSet::parse(text.as_bytes()).unwrap();
        let own = set(format!("{A}:1-9,{B}:1"));
        assert_eq!(extra(&own, &set(format!("{A}:1-7"))), set(format!("{A}:8-9,{B}:1")));
        assert!(extra(&own, &set(format!("{A}:1-9,{B}:1-5"))).is_empty());
    }
}
