//! How servers of different kinds are asked.

use weir_net::error::Malformed;
use weir_net::flavour::Flavour;
pub use weir_net::flavour::version_number;
use weir_net::gtid::GtidSet;

/// MySQL changed its words in 8.0.22, MariaDB has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Replica,
    Slave,
    MariaDb,
}

impl Dialect {
    /// By the version in the greeting.
    pub fn of(version: &str) -> Dialect {
        match Flavour::of(version.as_bytes()) {
            Flavour::MariaDb => Dialect::MariaDb,
            Flavour::Mysql if version_number(version) >= 80_022 => Dialect::Replica,
            Flavour::Mysql => Dialect::Slave,
        }
    }

    /// Asked once per connection, each as far as the server knows it: the account's own time zone must not shift commit times, and
    /// a look must not wait until a group's new primary has applied its backlog.
    pub fn prepare(self) -> [&'static str; 2] {
        ["SET SESSION time_zone='+00:00', sql_mode=''", "SET SESSION group_replication_consistency='EVENTUAL'"]
    }

    /// One round trip: results in this order, each as far as privileges allow; an error ends the rest.
    pub fn look(self) -> &'static str {
        match self {
            Dialect::Replica => {
                "SELECT @@GLOBAL.read_only, @@GLOBAL.super_read_only, @@GLOBAL.gtid_executed, @@GLOBAL.server_uuid;\
                 SELECT COUNT(*) FROM information_schema.plugins \
                   WHERE plugin_name='mysql_native_password' AND plugin_status='ACTIVE';\
                 SHOW REPLICA STATUS;\
                 SELECT MEMBER_ID, MEMBER_STATE, MEMBER_ROLE, \
                   (SELECT VARIABLE_VALUE FROM performance_schema.global_variables \
                     WHERE VARIABLE_NAME='group_replication_group_name'), \
                   (SELECT VARIABLE_VALUE FROM performance_schema.global_variables \
                     WHERE VARIABLE_NAME='group_replication_single_primary_mode'), \
                   (SELECT VIEW_ID FROM performance_schema.replication_group_member_stats \
                     WHERE MEMBER_ID=@@GLOBAL.server_uuid), \
                   (SELECT SERVICE_STATE FROM performance_schema.replication_applier_status \
                     WHERE CHANNEL_NAME='group_replication_applier'), \
                   (SELECT RECEIVED_TRANSACTION_SET FROM performance_schema.replication_connection_status \
                     WHERE CHANNEL_NAME='group_replication_applier') \
                   FROM performance_schema.replication_group_members;\
                 SELECT \
                   (SELECT TIMESTAMPDIFF(MICROSECOND, MIN(t), NOW(6)) DIV 1000 FROM \
                     (SELECT APPLYING_TRANSACTION_ORIGINAL_COMMIT_TIMESTAMP AS t \
                        FROM performance_schema.replication_applier_status_by_worker WHERE APPLYING_TRANSACTION<>'' \
                      UNION ALL SELECT PROCESSING_TRANSACTION_ORIGINAL_COMMIT_TIMESTAMP \
                        FROM performance_schema.replication_applier_status_by_coordinator \
                        WHERE PROCESSING_TRANSACTION<>'') AS applying WHERE t>'1970-01-02'), \
                   (SELECT TIMESTAMPDIFF(MICROSECOND, MAX(LAST_QUEUED_TRANSACTION_ORIGINAL_COMMIT_TIMESTAMP), NOW(6)) \
                       DIV 1000 FROM performance_schema.replication_connection_status \
                     WHERE LAST_QUEUED_TRANSACTION<>'' AND LAST_QUEUED_TRANSACTION_ORIGINAL_COMMIT_TIMESTAMP>'1970-01-02')"
            }
            Dialect::Slave => {
                "SELECT @@GLOBAL.read_only, @@GLOBAL.super_read_only, @@GLOBAL.gtid_executed, @@GLOBAL.server_uuid;\
                 SELECT COUNT(*) FROM information_schema.plugins \
                   WHERE plugin_name='mysql_native_password' AND plugin_status='ACTIVE';\
                 SHOW SLAVE STATUS"
            }
            Dialect::MariaDb => {
                "SELECT @@GLOBAL.read_only, 0, @@GLOBAL.gtid_current_pos, \
                   LOWER(CONCAT('6D617269-6164-6200-0000-0000', LPAD(HEX(@@GLOBAL.server_id), 8, '0'))), \
                   IF(@@GLOBAL.log_bin AND @@GLOBAL.log_slave_updates, @@GLOBAL.gtid_binlog_state, NULL);\
                 SELECT COUNT(*) FROM information_schema.plugins \
                   WHERE plugin_name='mysql_native_password' AND plugin_status='ACTIVE';\
                 SHOW ALL SLAVES STATUS"
            }
        }
    }

    /// Asks for the executed set.
    pub fn ask(self) -> &'static str {
        match self {
            Dialect::Replica | Dialect::Slave => "SELECT @@GLOBAL.gtid_executed",
            Dialect::MariaDb => {
                "SELECT @@GLOBAL.gtid_current_pos, \
                   IF(@@GLOBAL.log_bin AND @@GLOBAL.log_slave_updates, @@GLOBAL.gtid_binlog_state, NULL)"
            }
        }
    }

    /// Waits for a transaction, so many seconds at most. A MariaDB server that does not replicate waits to the end.
    pub fn wait(self) -> &'static str {
        match self {
            Dialect::Replica | Dialect::Slave => "WAIT_FOR_EXECUTED_GTID_SET",
            Dialect::MariaDb => "MASTER_GTID_WAIT",
        }
    }

    /// The set in an answer of its words: a position alone does not say on whose branch it is, so that a MariaDB server
    /// that does not log what it replicates (`state` is NULL) has none.
    pub fn executed(self, words: &str, state: Option<&str>) -> Result<GtidSet, Malformed> {
        match (self, state) {
            (Dialect::Replica | Dialect::Slave, _) => GtidSet::parse(words.as_bytes()),
            (Dialect::MariaDb, Some(state)) => GtidSet::of_mariadb(words.as_bytes(), state.as_bytes()),
            (Dialect::MariaDb, None) => Ok(GtidSet::new()),
        }
    }
}

/// A MariaDB server has no uuid. Its own id takes the place of one, in the form of a source of GTIDs (`Sid::of_domain`): replicas of one
/// source must differ in it anyway.
pub fn uuid_of(server_id: &str) -> String {
    match server_id.parse::<u32>() {
        Ok(id) if id > 0 => format!("6d617269-6164-6200-0000-0000{id:08x}"),
        Ok(_) | Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_id_stands_for_the_uuid() {
        let first = format!("{}:1", uuid_of("258"));
        let set = GtidSet::parse(first.as_bytes()).unwrap();
        assert_eq!(set.iter().next().map(|(sid, ..)| sid.domain()), Some(Some((0, 258))));
        assert_eq!((uuid_of("0"), uuid_of("")), (String::new(), String::new()));
    }

    #[test]
    fn versions() {
        let cases = [
            ("9.7.4-2", 90_704, Dialect::Replica),
            ("8.0.22", 80_022, Dialect::Replica),
            ("8.0.21-log", 80_021, Dialect::Slave),
            ("5.7.44", 50_744, Dialect::Slave),
            ("5.5.5-10.11.6-MariaDB-0+deb12u1", 101_106, Dialect::MariaDb),
            ("11.4.2-MariaDB", 110_402, Dialect::MariaDb),
            ("", 0, Dialect::Slave),
        ];
        for (version, number, dialect) in cases {
            assert_eq!((version_number(version), Dialect::of(version)), (number, dialect), "{version}");
        }
    }
}
