//! Discovery: who replicates from a server, as the server says, when somebody has asked for it (`discover`).
//!
//! ```text
//!   SHOW REPLICAS          server_id, report_host, report_port, uuid     needs REPLICATION SLAVE
//!   performance_schema     the host of each binlog dump (threads)        needs SELECT on performance_schema
//! ```
//! Rules:
//! - A replica with `report_host` is where that says. MySQL does not check it: it is what the replica's owner wrote.
//! - One without is found by the address of its connection only if there is exactly one such replica and exactly one dump
//!   from an address that no other replica has; its port is its `report_port` (by default its own `port`).
//!   A dump from `localhost` is a replica on the server's own host, which is where we reach the server.
//! - Any other is told to the operator and not guessed at. `0.0.0.0`, port forwarding and replicas of replicas are not seen.
//! - What was found is believed only when the server there has that `server_uuid`: an old `report_host` may be another's by now.

use super::dialect::Dialect;
use crate::client::{AsyncClient, ClientError, Outcome, Rows, Target};
use crate::config::address;
use weir_core::snapshot::Address;

/// A replica that somebody replicates to, and where it is if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    pub server_uuid: String,
    pub server_id: String,
    /// Err: why it can't be told.
    pub address: Result<Address, String>,
}

/// The inner error is the server's refusal, in words.
pub async fn ask(
    client: &mut AsyncClient,
    dialect: Dialect,
    server: &Target,
) -> Result<Result<Vec<Replica>, String>, ClientError> {
    let question = match dialect {
        Dialect::Replica => "SHOW REPLICAS",
        Dialect::Slave | Dialect::MariaDb => "SHOW SLAVE HOSTS",
    };
    let reply = client.query(question).await?;
    let rows = match reply.outcomes.into_iter().next() {
        Some(Outcome::Rows(rows)) => rows,
        Some(Outcome::Err(error)) => {
            return Ok(Err(format!(
                "{error}; discovery needs: GRANT REPLICATION SLAVE ON *.* TO the monitor's account"
            )));
        }
        _ => return Ok(Err("the server does not say who replicates from it".to_string())),
    };
    let reply = client.query(DUMPS).await?;
    let dumps = match reply.outcomes.into_iter().next() {
        Some(Outcome::Rows(rows)) => hosts(&rows, server),
        _ => Vec::new(),
    };
    Ok(Ok(replicas(&rows, &dumps)))
}

fn replicas(rows: &Rows, dumps: &[String]) -> Vec<Replica> {
    let text = |row: usize, names: [&str; 2]| names.iter().find_map(|name| rows.text(row, name)).unwrap_or_default();
    let hosts: Vec<String> = (0..rows.rows.len()).map(|row| text(row, ["Host", "Host"])).collect();
    let mut unknown: Vec<&String> = dumps.iter().collect();
    for host in hosts.iter().filter(|host| !host.is_empty()) {
        if let Some(at) = unknown.iter().position(|dump| is_same_host(dump, host)) {
            unknown.remove(at);
        }
    }
    let nameless = hosts.iter().filter(|host| host.is_empty()).count();
    let one = |row: usize| {
        let (server_id, port) = (text(row, ["Server_Id", "Server_id"]), text(row, ["Port", "Port"]));
        let found = match (hosts[row].as_str(), nameless, unknown.as_slice()) {
            ("", 1, [dump]) => Ok((*dump).clone()),
            ("", ..) => Err(format!("the replica with server_id {server_id} has no report_host: set it in its my.cnf")),
            (host, ..) => Ok(host.to_string()),
        };
        let address = found.and_then(|host| address::backend(&with_port(&host, &port)));
        Replica { server_uuid: text(row, ["Replica_UUID", "Slave_UUID"]), server_id, address }
    };
    (0..rows.rows.len()).map(one).collect()
}

fn with_port(host: &str, port: &str) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// By name where they are names; a name is not resolved here, so it stands for no address.
fn is_same_host(dump: &str, host: &str) -> bool {
    dump.eq_ignore_ascii_case(host)
}

/// The host of each dump, as we would reach it.
fn hosts(rows: &Rows, server: &Target) -> Vec<String> {
    let home = match server {
        Target::Tcp(host, _) => host.as_str(),
        Target::Unix(_) => "127.0.0.1",
    };
    let host = |row: &Vec<crate::client::Value>| row.first().and_then(|value| value.as_text());
    let reached = |host: String| if host == "localhost" { home.to_string() } else { host };
    rows.rows.iter().filter_map(host).map(reached).collect()
}

/// Not `processlist`, which shows only one's own threads without `PROCESS`.
const DUMPS: &str = "SELECT PROCESSLIST_HOST FROM performance_schema.threads \
                     WHERE PROCESSLIST_COMMAND IN ('Binlog Dump GTID', 'Binlog Dump')";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{ColumnDef, Value};

    fn table(names: &[&str], rows: &[&[&str]]) -> Rows {
        let column = |name: &&str| ColumnDef { name: (*name).into(), ..ColumnDef::default() };
        let row = |row: &&[&str]| row.iter().map(Value::text).collect();
        Rows { columns: names.iter().map(column).collect(), rows: rows.iter().map(row).collect(), ..Rows::default() }
    }

    fn found(rows: &[&[&str]], dumps: &[&str]) -> Vec<String> {
        let rows = table(&["Server_Id", "Host", "Port", "Source_Id", "Replica_UUID"], rows);
        let dumps: Vec<String> = dumps.iter().map(ToString::to_string).collect();
        let show = |replica: Replica| replica.address.map_or_else(|why| why, |address| address::show(&address));
        replicas(&rows, &dumps).into_iter().map(show).collect()
    }

    #[test]
    fn a_dump_from_localhost_is_where_the_server_is() {
        let rows = table(&["PROCESSLIST_HOST"], &[&["localhost"], &["10.0.0.3"]]);
        let db1 = Target::Tcp("10.0.0.1".to_string(), 3306);
        assert_eq!(hosts(&rows, &db1), ["10.0.0.1", "10.0.0.3"]);
        assert_eq!(hosts(&rows, &Target::Unix("/s".into())), ["127.0.0.1", "10.0.0.3"]);
    }

    #[test]
    fn report_host_is_believed_and_one_without_is_found_by_elimination() {
        let named: &[&str] = &["2", "127.0.0.2", "18002", "1", "u2"];
        let nameless: &[&str] = &["3", "", "18003", "1", "u3"];
        assert_eq!(found(&[named], &[]), ["127.0.0.2:18002"]);
        assert_eq!(found(&[named, nameless], &["127.0.0.2", "10.0.0.3"]), ["127.0.0.2:18002", "10.0.0.3:18003"]);
        assert_eq!(found(&[nameless], &["::1"]), ["[::1]:18003"]);
        // Two addresses that may be its own, or none: nothing is guessed.
        for dumps in [&["10.0.0.3", "10.0.0.4"][..], &[]] {
            assert_eq!(
                found(&[nameless], dumps),
                ["the replica with server_id 3 has no report_host: set it in its my.cnf"]
            );
        }
        let other: &[&str] = &["4", "", "18004", "1", "u4"];
        assert!(found(&[nameless, other], &["10.0.0.3"]).iter().all(|text| text.contains("no report_host")));
    }
}
