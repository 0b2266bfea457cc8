//! What the null backend says of itself when it is asked for variables: a primary in good order.
//!
//! Invariant: an unknown variable is an empty text, never an error.

use super::World;

/// The source that its GTIDs name.
pub const SERVER_UUID: &str = "00000000-0000-4000-8000-000000000001";
pub const VERSION: &str = "9.7.4-null";

/// The value of an expression such as `@@GLOBAL.read_only AS r`, by the first name in it that is known.
pub fn value(expression: &str, world: &World, connection_id: u32, schema: &[u8]) -> Option<Vec<u8>> {
    let text = expression.to_ascii_lowercase();
    if text.starts_with("connection_id(") {
        return Some(connection_id.to_string().into_bytes());
    }
    if text.starts_with("database(") || text.starts_with("schema(") {
        return (!schema.is_empty()).then(|| schema.to_vec());
    }
    if text.starts_with("version(") {
        return Some(VERSION.into());
    }
    if text.contains("user(") {
        return Some(b"null@localhost".to_vec());
    }
    // The last part of the first variable: `@@GLOBAL.x`, `@@x`, `REPLACE(@@x, …)`.
    let at = text.find("@@").map_or(0, |at| at + 2);
    let name = text.get(at..).unwrap_or_default();
    let end = (name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.')).unwrap_or(name.len());
    let name = name.get(..end).unwrap_or_default();
    let name = name.rsplit('.').next().unwrap_or_default();
    Some(of_name(name, world).into_bytes())
}

/// The value of a variable by its bare name.
pub fn of_name(name: &str, world: &World) -> String {
    match name {
        "port" | "report_port" => world.port.to_string(),
        _ => {
            (FIXED.iter()).find(|(known, _)| *known == name).map_or_else(String::new, |(_, value)| (*value).to_owned())
        }
    }
}

const FIXED: &[(&str, &str)] = &[
    ("autocommit", "1"),
    ("auto_increment_increment", "1"),
    ("character_set_client", "utf8mb4"),
    ("character_set_connection", "utf8mb4"),
    ("character_set_results", "utf8mb4"),
    ("character_set_server", "utf8mb4"),
    ("collation_connection", "utf8mb4_0900_ai_ci"),
    ("collation_server", "utf8mb4_0900_ai_ci"),
    ("enforce_gtid_consistency", "ON"),
    ("gtid_mode", "ON"),
    ("gtid_purged", ""),
    ("hostname", "null"),
    ("init_connect", ""),
    ("interactive_timeout", "28800"),
    ("license", "GPL"),
    ("log_bin", "1"),
    ("lower_case_table_names", "0"),
    ("max_allowed_packet", "67108864"),
    ("max_connections", "100000"),
    ("max_prepared_stmt_count", "16382"),
    ("max_user_connections", "0"),
    ("net_write_timeout", "60"),
    ("offline_mode", "0"),
    ("performance_schema", "0"),
    ("read_only", "0"),
    ("report_host", "127.0.0.1"),
    ("server_id", "1"),
    ("server_uuid", SERVER_UUID),
    ("session_track_gtids", "OFF"),
    (
        "sql_mode",
        "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
    ),
    ("super_read_only", "0"),
    ("system_time_zone", "UTC"),
    ("time_zone", "SYSTEM"),
    ("transaction_isolation", "REPEATABLE-READ"),
    ("transaction_read_only", "0"),
    ("tx_isolation", "REPEATABLE-READ"),
    ("version", VERSION),
    ("version_comment", "null backend"),
    ("wait_timeout", "28800"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let world = World { connection_id: 0, transactions: 0, port: 3306, canned: Default::default() };
        let check = |world: &World, expression: &str, expected: Option<&str>| {
            let got = value(expression, world, 7, b"");
            assert_eq!(got.as_deref(), expected.map(str::as_bytes), "{expression}");
        };
        check(&world, "@@GLOBAL.read_only AS r", Some("0"));
        check(&world, "@@server_uuid", Some(SERVER_UUID));
        check(&world, "@@nobody_knows_it", Some(""));
        check(&world, "CONNECTION_ID()", Some("7"));
        check(&world, "DATABASE()", None);
        check(&world, "@@gtid_executed", Some(""));
        check(&world, "@@port", Some("3306"));
    }
}
