//! How servers of different kinds are asked.

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
        if version.contains("MariaDB") {
            return Dialect::MariaDb;
        }
        if version_number(version) >= 80_022 { Dialect::Replica } else { Dialect::Slave }
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
                "SELECT @@GLOBAL.read_only, 0, '', '';\
                 SELECT COUNT(*) FROM information_schema.plugins \
                   WHERE plugin_name='mysql_native_password' AND plugin_status='ACTIVE';\
                 SHOW ALL SLAVES STATUS"
            }
        }
    }

    pub fn has_gtid_sets(self) -> bool {
        self != Dialect::MariaDb
    }
}

/// `9.7.4-2` is 90704; 0 if it is no version.
pub fn version_number(version: &str) -> u32 {
    // MariaDB in the 5.5 disguise that its replication needs.
    let version = version.strip_prefix("5.5.5-").unwrap_or(version);
    let mut parts = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = |most: u32| parts.next().unwrap_or(0).min(most);
    next(9_999) * 10_000 + next(99) * 100 + next(99)
}

#[cfg(test)]
mod tests {
    use super::*;

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
