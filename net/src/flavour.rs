//! The flavour of a server: MySQL or MariaDB, and what follows from it wherever the gate talks to one.
//!
//! Invariant: a flavour is read from the version in the greeting and from nothing else, and every difference between the
//! flavours that the gate knows is an answer of this type: nobody else looks for a name in a version.
//!
//! What it does not know: differences that the server judges by itself (syntax, functions, errors), since a client sees
//! the same words of the same server either way.
//! Rules: MariaDB "Connection Phase" (the version's disguise), "Global Transaction ID", "OK_Packet".

use crate::flags::Capabilities;

/// Whose server it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flavour {
    #[default]
    Mysql,
    MariaDb,
}

impl Flavour {
    /// By the version in the greeting, for example `9.7.4-2` or `5.5.5-10.11.19-MariaDB-0+deb12u1`.
    pub fn of(version: &[u8]) -> Self {
        let is_maria = |window: &[u8]| window.eq_ignore_ascii_case(MARIADB);
        if version.windows(MARIADB.len()).any(is_maria) { Self::MariaDb } else { Self::Mysql }
    }

    /// The variable in which a session finds the GTID of its own last write, for servers that tell it with other
    /// variables; None: there is a tracker for it (`session_track_gtids`).
    pub const fn gtid_variable(self) -> Option<&'static str> {
        match self {
            Self::Mysql => None,
            Self::MariaDb => Some("last_gtid"),
        }
    }

    /// What a server that takes writes has executed. A MariaDB server that also replicates may have logged more than a
    /// reader can see; for the question what a read must find, more is not wrong.
    pub const fn executed(self) -> &'static str {
        match self {
            Self::Mysql => "@@GLOBAL.gtid_executed",
            Self::MariaDb => "@@GLOBAL.gtid_current_pos",
        }
    }

    /// The collation that a reset of a connection leads to, by its number: MySQL's is the server's (seen on 9.7), MariaDB's that of
    /// the login, and where that is none that MariaDB has, its program's own (seen on 10.11).
    pub const fn charset_after_reset(self, of_login: u8, of_server: u8) -> u8 {
        match (self, of_login) {
            (Self::Mysql, _) => of_server,
            (Self::MariaDb, 1..=LAST_COMMON_COLLATION) => of_login,
            (Self::MariaDb, _) => UTF8MB4_GENERAL_CI,
        }
    }

    /// The character set that a login with this collation asks MariaDB for: the first collation of it stands for the one that the
    /// server has chosen (`character_set_collations`, since 11.5 another than the first).
    pub const fn charset_of_login(self, of_login: u8) -> Option<&'static str> {
        match (self, of_login) {
            (Self::MariaDb, UTF8MB3_GENERAL_CI) => Some("utf8mb3"),
            (Self::MariaDb, UTF8MB4_GENERAL_CI) => Some("utf8mb4"),
            _ => None,
        }
    }

    /// The plugin that a change of user is begun with: the one that most accounts have there.
    pub const fn plugin(self) -> &'static [u8] {
        match self {
            Self::Mysql => b"caching_sha2_password",
            Self::MariaDb => b"mysql_native_password",
        }
    }

    /// What the gate speaks and no server of this flavour does.
    pub const fn lacks(self) -> Capabilities {
        match self {
            Self::Mysql => Capabilities::empty(),
            // What `IGNORE_SPACE` makes of `sql_mode` is lost there with the first reset or change of user (seen on 10.11).
            Self::MariaDb => Capabilities::QUERY_ATTRIBUTES
                .union(Capabilities::OPTIONAL_RESULTSET_METADATA)
                .union(Capabilities::IGNORE_SPACE),
        }
    }
}

/// What the gate speaks and a server of this version does not: it is not offered to clients of such servers (S49).
/// MariaDB's own extended capabilities (`MARIADB_CLIENT_…`) are never offered: the gate shows `CLIENT_MYSQL`, which says
/// that there are none.
pub fn lacks(version: &str) -> Capabilities {
    let is_before_attributes = matches!(version_number(version), 1..QUERY_ATTRIBUTES_SINCE);
    let flavour = Flavour::of(version.as_bytes());
    match is_before_attributes && flavour == Flavour::Mysql {
        true => Capabilities::QUERY_ATTRIBUTES,
        false => flavour.lacks(),
    }
}

/// `9.7.4-2` is 90704, `5.5.5-10.11.19-MariaDB` is 101119; 0 if it is no version.
pub fn version_number(version: &str) -> u32 {
    // MariaDB in the 5.5 disguise that its replication needed before 11.0.
    let version = version.strip_prefix("5.5.5-").unwrap_or(version);
    let mut parts = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = |most: u32| parts.next().unwrap_or(0).min(most);
    let (major, minor, patch) = (next(9_999), next(99), next(99));
    major.saturating_mul(10_000).saturating_add(minor.saturating_mul(100)).saturating_add(patch)
}

/// Behind it are MySQL's own: those of `gb18030`, and `utf8mb4_0900_ai_ci`.
const LAST_COMMON_COLLATION: u8 = 247;
const UTF8MB4_GENERAL_CI: u8 = 45;
const UTF8MB3_GENERAL_CI: u8 = 33;

/// MySQL 8.0.23.
const QUERY_ATTRIBUTES_SINCE: u32 = 80_023;

const MARIADB: &[u8] = b"MariaDB";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_older_and_other_servers_lack_is_not_offered() {
        let attributes = Capabilities::QUERY_ATTRIBUTES;
        assert!(lacks("11.8.3-MariaDB").contains(attributes) && lacks("8.0.22").contains(attributes));
        assert!(lacks("8.0.23").is_empty() && lacks("9.7.4-weir").is_empty() && lacks("").is_empty());
    }

    #[test]
    fn a_reset_leads_back_or_elsewhere() {
        assert_eq!(Flavour::Mysql.charset_after_reset(33, 255), 255);
        let of_maria = [33, 255, 0].map(|login| Flavour::MariaDb.charset_after_reset(login, 8));
        assert_eq!(of_maria, [33, 45, 45]);
    }

    #[test]
    fn versions() {
        let cases = [
            ("9.7.4-2", 90_704, Flavour::Mysql),
            ("8.0.21-log", 80_021, Flavour::Mysql),
            ("5.7.44", 50_744, Flavour::Mysql),
            ("5.5.5-10.11.6-MariaDB-0+deb12u1", 101_106, Flavour::MariaDb),
            ("11.4.2-MariaDB", 110_402, Flavour::MariaDb),
            ("", 0, Flavour::Mysql),
        ];
        for (version, number, flavour) in cases {
            assert_eq!((version_number(version), Flavour::of(version.as_bytes())), (number, flavour), "{version}");
        }
    }
}
