//! What clients and drivers ask by themselves when they connect: `SELECT @@version_comment`, `SELECT DATABASE()`, `SHOW DATABASES`.
//!
//! Invariant: a variable that is not known here is NULL, never a guess: drivers ask for some that are gone in newer servers.

use super::Door;
use super::answer::Answer;

/// None: it is something else.
pub fn answer(sql: &[u8], door: &Door, id: u32) -> Option<Answer> {
    let text = std::str::from_utf8(sql).ok()?;
    let text = without_comments(text);
    let text = text.trim().trim_end_matches(';').trim();
    if let Some(shown) = shown(text) {
        return Some(shown);
    }
    let list = strip_word(text, "SELECT")?;
    let list = match list.to_ascii_uppercase().rfind(" LIMIT ") {
        Some(at) => &list[..at],
        None => list,
    };
    let items: Option<Vec<(String, Option<String>)>> =
        list.split(',').map(|item| value(item.trim(), door, id)).collect();
    let (columns, cells): (Vec<_>, Vec<_>) = items?.into_iter().unzip();
    let row = cells.into_iter().map(|cell| cell.map(String::into_bytes)).collect();
    Some(Answer::Rows { columns, rows: vec![row], warnings: 0 })
}

/// `SHOW DATABASES`, `SHOW TABLES`, `SHOW VARIABLES` and their like: the columns, and no rows.
fn shown(text: &str) -> Option<Answer> {
    let rest = strip_word(text, "SHOW")?;
    let words: Vec<String> = rest.split_whitespace().map(str::to_ascii_uppercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| !SCOPES.contains(word)).collect();
    let columns: &[&str] = match *words.first()? {
        "DATABASES" | "SCHEMAS" => &["Database"],
        "TABLES" => &["Tables"],
        "VARIABLES" | "STATUS" => &["Variable_name", "Value"],
        "ENGINES" => &["Engine", "Support", "Comment", "Transactions", "XA", "Savepoints"],
        "PLUGINS" => &["Name", "Status", "Type", "Library", "License"],
        "COLLATION" => &["Collation", "Charset", "Id", "Default", "Compiled", "Sortlen", "Pad_attribute"],
        _ => return None,
    };
    Some(Answer::table(columns, Vec::new()))
}

/// One item of a select list: its column's name and its value.
fn value(item: &str, door: &Door, id: u32) -> Option<(String, Option<String>)> {
    let (expression, alias) = match item.split_whitespace().collect::<Vec<_>>()[..] {
        [expression] => (expression, expression),
        [expression, alias] => (expression, alias),
        [expression, word, alias] if word.eq_ignore_ascii_case("AS") => (expression, alias),
        _ => return None,
    };
    let name = alias.trim_matches(|c| matches!(c, '`' | '\'' | '"')).to_string();
    let lower = expression.to_ascii_lowercase();
    let value = match lower.strip_prefix("@@") {
        Some(variable) => {
            let bare = variable.strip_prefix("session.").or_else(|| variable.strip_prefix("global."));
            let bare = bare.or_else(|| variable.strip_prefix("local.")).unwrap_or(variable);
            VARIABLES
                .iter()
                .find(|(known, _)| *known == bare)
                .map(|(_, value)| value.to_string())
                .or_else(|| (bare == "version").then(|| door.version.clone()))
        }
        None => match &*lower {
            "version()" => Some(door.version.clone()),
            "database()" | "schema()" => None,
            "user()" | "current_user()" | "current_user" | "session_user()" => Some(door.user.clone()),
            "connection_id()" => Some(id.to_string()),
            number if number.parse::<i64>().is_ok() => Some(number.to_string()),
            _ => return None,
        },
    };
    Some((name, value))
}

/// What stands behind a word at the beginning.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(word.len())?;
    (head.eq_ignore_ascii_case(word) && rest.starts_with(char::is_whitespace)).then(|| rest.trim_start())
}

/// `/* … */` becomes a space; drivers put their names into such.
fn without_comments(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, behind)) = rest.split_once("/*") {
        out.push_str(before);
        out.push(' ');
        rest = behind.split_once("*/").map_or("", |(_, behind)| behind);
    }
    out.push_str(rest);
    out
}

const SCOPES: [&str; 4] = ["GLOBAL", "SESSION", "FULL", "LOCAL"];

const VARIABLES: [(&str, &str); 31] = [
    ("version_comment", "Weir admin port"),
    ("autocommit", "1"),
    ("auto_increment_increment", "1"),
    ("character_set_client", "utf8mb4"),
    ("character_set_connection", "utf8mb4"),
    ("character_set_results", "utf8mb4"),
    ("character_set_server", "utf8mb4"),
    ("character_set_database", "utf8mb4"),
    ("collation_server", "utf8mb4_0900_ai_ci"),
    ("collation_connection", "utf8mb4_0900_ai_ci"),
    ("collation_database", "utf8mb4_0900_ai_ci"),
    ("init_connect", ""),
    ("interactive_timeout", "28800"),
    ("wait_timeout", "28800"),
    ("net_write_timeout", "60"),
    ("net_read_timeout", "30"),
    ("net_buffer_length", "16384"),
    ("lower_case_table_names", "0"),
    ("max_allowed_packet", "1048576"),
    ("performance_schema", "0"),
    ("sql_mode", ""),
    ("sql_select_limit", "18446744073709551615"),
    ("system_time_zone", "UTC"),
    ("time_zone", "SYSTEM"),
    ("transaction_isolation", "REPEATABLE-READ"),
    ("tx_isolation", "REPEATABLE-READ"),
    ("transaction_read_only", "0"),
    ("tx_read_only", "0"),
    ("read_only", "0"),
    ("have_ssl", "YES"),
    ("ssl_cipher", ""),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::desk::Desk;
    use weir_net::secret::Secret;

    fn ask(sql: &str) -> Option<Answer> {
        let (desk, _asks, _kills) = Desk::new();
        answer(sql.as_bytes(), &Door::new("ops", &Secret::from(&b"x"[..]), None, desk), 7)
    }

    fn row(sql: &str) -> (Vec<String>, Vec<Option<String>>) {
        let Some(Answer::Rows { columns, mut rows, .. }) = ask(sql) else { panic!("{sql}") };
        let cells = rows.remove(0).into_iter().map(|cell| cell.map(|cell| String::from_utf8(cell).unwrap()));
        (columns, cells.collect())
    }

    #[test]
    fn what_clients_ask_when_they_connect() {
        assert_eq!(
            row("select @@version_comment limit 1"),
            (vec!["@@version_comment".into()], vec![Some("Weir admin port".into())])
        );
        let (columns, cells) = row(
            "/* mysql-connector-j-9 (Revision: x) */SELECT  @@session.auto_increment_increment AS auto_increment_increment, \
             @@query_cache_size AS `query_cache_size`",
        );
        assert_eq!(columns, ["auto_increment_increment", "query_cache_size"]);
        assert_eq!(cells, [Some("1".into()), None], "what is unknown is NULL");
        assert_eq!(
            row("SELECT DATABASE(), USER() u, CONNECTION_ID(), 1;").1,
            [None, Some("ops".into()), Some("7".into()), Some("1".into())]
        );
        assert!(matches!(ask("SHOW FULL TABLES"), Some(Answer::Rows { rows, .. }) if rows.is_empty()));
    }

    #[test]
    fn what_is_for_mysql_is_not_answered() {
        for sql in ["SELECT * FROM t", "SELECT a", "SELECTED", "SHOW GRANTS", "SELECT 1 /* open", "SELECT '\u{e4}"] {
            let answer = ask(sql);
            assert!(answer.is_none() || sql.starts_with("SELECT 1"), "{sql}: {answer:?}");
        }
    }
}
