//! Fitness: what a server and the admin account must have before a steward can do all its works, and what is missing.
//!
//! Nothing of it keeps a fence from being tried.

use super::view::text;
use super::{ask, cells};
use crate::client::{AsyncClient, ClientError};
use crate::monitor::dialect::version_number;
use weir_net::flavour::Flavour;

/// One sentence for each thing that is missing, with what to do.
pub async fn missing(client: &mut AsyncClient, user: &str) -> Result<Vec<String>, ClientError> {
    let version = client.session().version.clone();
    if Flavour::of(version.as_bytes()) == Flavour::MariaDb || version_number(&version) < VERSION_MIN {
        return Ok(vec![format!(
            "the server is {version}: only MySQL 8.0.26 and later can be managed; set manage = \"off\""
        )]);
    }
    let settings = cells(&ask(client, SETTINGS).await?);
    let mut found: Vec<String> = wrong_settings(&settings);
    let role = cells(&ask(client, "SELECT CURRENT_ROLE()").await?).remove(0);
    let using = if role == "NONE" { String::new() } else { format!(" FOR CURRENT_USER() USING {role}") };
    let reply = ask(client, &format!("SHOW GRANTS{using}")).await?;
    let lines: Vec<String> =
        reply.rows().map(|rows| (0..rows.rows.len()).map(|row| text(rows, row, 0)).collect()).unwrap_or_default();
    let grants = missing_grants(&lines);
    if !grants.is_empty() {
        let user = user.replace('\\', "\\\\").replace('\'', "''");
        let statements: Vec<String> =
            grants.iter().map(|(what, on)| format!("GRANT {what} ON {on} TO '{user}'@'%';")).collect();
        found.push(format!("the admin account lacks privileges; run on the primary: {}", statements.join(" ")));
    }
    Ok(found)
}

/// What `SHOW GRANTS` must have.
fn missing_grants(lines: &[String]) -> Vec<(String, &'static str)> {
    let given = |on: &str| -> Vec<String> {
        let of = |line: &String| {
            let (what, rest) = line.strip_prefix("GRANT ")?.split_once(" ON ")?;
            rest.starts_with(on).then(|| what.split(',').map(|one| one.trim().to_string()).collect::<Vec<_>>())
        };
        lines.iter().filter_map(of).flatten().collect()
    };
    let everywhere = given("*.* ");
    let has = |all: &[String], wanted: &str| all.iter().any(|given| given == wanted || given == "ALL PRIVILEGES");
    let lacking: Vec<&str> = PRIVILEGES.into_iter().filter(|wanted| !has(&everywhere, wanted)).collect();
    let mut found = Vec::new();
    if !lacking.is_empty() {
        found.push((lacking.join(", "), "*.*"));
    }
    if !has(&everywhere, "SELECT") && !has(&given("`performance_schema`.* "), "SELECT") {
        found.push(("SELECT".to_string(), "performance_schema.*"));
    }
    found
}

fn wrong_settings(found: &[String]) -> Vec<String> {
    let wrong = |((name, wanted), found): (&(&str, &str), &String)| {
        (found != wanted).then(|| format!("{name} is {found} and must be {wanted}: set it in the server's my.cnf"))
    };
    NEEDED.iter().zip(found).filter_map(wrong).collect()
}

/// `skip_replica_start`, and the words "source" and "replica" in all variables.
const VERSION_MIN: u32 = 80_026;

const SETTINGS: &str = "SELECT @@GLOBAL.gtid_mode; SELECT IF(@@GLOBAL.log_bin, 'ON', 'OFF'); \
     SELECT IF(@@GLOBAL.log_replica_updates, 'ON', 'OFF'); SELECT IF(@@GLOBAL.performance_schema, 'ON', 'OFF'); \
     SELECT IF(@@GLOBAL.persisted_globals_load, 'ON', 'OFF')";

/// In the order of [`SETTINGS`].
const NEEDED: [(&str, &str); 5] = [
    ("gtid_mode", "ON"),
    ("log_bin", "ON"),
    ("log_replica_updates", "ON"),
    ("performance_schema", "ON"),
    ("persisted_globals_load", "ON"),
];

const PRIVILEGES: [&str; 7] = [
    "REPLICATION CLIENT",
    "PROCESS",
    // RESET REPLICA.
    "RELOAD",
    // read_only, super_read_only and semi-sync.
    "SYSTEM_VARIABLES_ADMIN",
    "PERSIST_RO_VARIABLES_ADMIN",
    // Kills, and read_only.
    "CONNECTION_ADMIN",
    "REPLICATION_SLAVE_ADMIN",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let check = |lines: &[&str], expected: &[(&str, &str)]| {
            let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
            let found = missing_grants(&lines);
            let found: Vec<(&str, &str)> = found.iter().map(|(what, on)| (what.as_str(), *on)).collect();
            assert_eq!(found, expected);
        };
        let all = PRIVILEGES.join(", ");
        check(&["GRANT USAGE ON *.* TO `a`@`%`"], &[(&all, "*.*"), ("SELECT", "performance_schema.*")]);
        let two = [
            "GRANT PROCESS, REPLICATION CLIENT ON *.* TO `a`@`%`",
            "GRANT CONNECTION_ADMIN,PERSIST_RO_VARIABLES_ADMIN ON *.* TO `a`@`%`",
        ];
        check(
            &two,
            &[("RELOAD, SYSTEM_VARIABLES_ADMIN, REPLICATION_SLAVE_ADMIN", "*.*"), ("SELECT", "performance_schema.*")],
        );
        let rest = format!("GRANT {all} ON *.* TO `a`@`%` WITH GRANT OPTION");
        check(&[&rest, "GRANT SELECT ON `performance_schema`.* TO `a`@`%`"], &[]);
        check(&[&rest, "GRANT SELECT ON `other`.* TO `a`@`%`"], &[("SELECT", "performance_schema.*")]);
        check(&["GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost`"], &[]);
        check(&["GRANT ALL PRIVILEGES ON `x`.* TO `a`@`%`"], &[(&all, "*.*"), ("SELECT", "performance_schema.*")]);
    }

    #[test]
    fn settings_that_prevent_it_are_named() {
        let mut found: Vec<String> = NEEDED.iter().map(|(_, wanted)| wanted.to_string()).collect();
        assert!(wrong_settings(&found).is_empty());
        found[0] = "OFF_PERMISSIVE".to_string();
        assert_eq!(
            wrong_settings(&found),
            ["gtid_mode is OFF_PERMISSIVE and must be ON: set it in the server's my.cnf"]
        );
    }
}
