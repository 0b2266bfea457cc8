//! What clients, drivers and graphical tools ask by themselves when they connect: `SELECT @@version_comment`, `SELECT DATABASE()`,
//! `SHOW VARIABLES`, `SELECT … FROM information_schema.SCHEMATA`.
//!
//! Invariant: a variable that is not known here is NULL, never a guess: drivers ask for some that are gone in newer servers. There are no
//! schemas, tables and accounts here, so what lists them is empty.

use super::Door;
use super::answer::Answer;
use weir_core::show::is_like;

/// None: it is something else.
pub fn answer(sql: &[u8], door: &Door, id: u32) -> Option<Answer> {
    let text = std::str::from_utf8(sql).ok()?;
    let text = without_comments(text);
    let text = text.trim().trim_end_matches(';').trim();
    if let Some(shown) = shown(text, door) {
        return Some(shown);
    }
    let list = strip_word(text, "SELECT")?;
    let list = strip_word(list, "DISTINCT").unwrap_or(list);
    if let Some((list, source)) = split_word(list, "FROM") {
        return listed(list, source);
    }
    let list = split_word(list, "LIMIT").map_or(list, |(list, _)| list);
    let items: Option<Vec<(String, Option<String>)>> =
        items(list).into_iter().map(|item| value(item, door, id)).collect();
    let (columns, cells): (Vec<_>, Vec<_>) = items?.into_iter().unzip();
    let row = cells.into_iter().map(|cell| cell.map(String::into_bytes)).collect();
    Some(Answer::Rows { columns, rows: vec![row], warnings: 0 })
}

/// `SHOW VARIABLES`, `SHOW DATABASES`, `SHOW CHARSET` and their like.
fn shown(text: &str, door: &Door) -> Option<Answer> {
    let rest = strip_word(text, "SHOW")?;
    let words: Vec<String> = rest.split_whitespace().map(str::to_ascii_uppercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| !SCOPES.contains(word)).collect();
    let rows = |rows: &[&[&str]]| -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect()
    };
    let (columns, rows): (&[&str], _) = match *words.first()? {
        "DATABASES" | "SCHEMAS" => (&["Database"], Vec::new()),
        "TABLES" => (&["Tables"], Vec::new()),
        "STATUS" => (&["Variable_name", "Value"], Vec::new()),
        "VARIABLES" => (&["Variable_name", "Value"], variables(rest, door)),
        "ENGINES" => (&["Engine", "Support", "Comment", "Transactions", "XA", "Savepoints"], Vec::new()),
        "PLUGINS" => (&["Name", "Status", "Type", "Library", "License"], Vec::new()),
        "PRIVILEGES" => (&["Privilege", "Context", "Comment"], Vec::new()),
        "CHARSET" | "CHARACTER" => (&["Charset", "Description", "Default collation", "Maxlen"], rows(&CHARSETS)),
        "COLLATION" => {
            (&["Collation", "Charset", "Id", "Default", "Compiled", "Sortlen", "Pad_attribute"], rows(&COLLATIONS))
        }
        _ => return None,
    };
    Some(Answer::table(columns, rows))
}

/// Those that are known, by the pattern behind LIKE. WHERE is not read: it only leaves out what its client would pass over.
fn variables(rest: &str, door: &Door) -> Vec<Vec<String>> {
    let pattern = split_word(rest, "LIKE").map_or("%", |(_, pattern)| pattern.trim().trim_matches(['\'', '"']));
    let own = [("version", &*door.version)];
    let all = VARIABLES.iter().copied().chain(own);
    let fitting = all.filter(|(name, _)| is_like(name.as_bytes(), pattern.as_bytes()));
    fitting.map(|(name, value)| vec![name.to_string(), value.to_string()]).collect()
}

/// A list of what is not here: the columns, and no rows. None: it is not about names of things.
fn listed(list: &str, source: &str) -> Option<Answer> {
    let source = source.split_whitespace().next()?.trim_matches(',').replace('`', "").to_ascii_lowercase();
    let (schema, table) = source.split_once('.')?;
    if !matches!(schema, "information_schema" | "performance_schema") {
        return None;
    }
    let mut columns = Vec::new();
    for item in items(list) {
        match item.rsplit('.').next()? {
            "*" => columns.extend(whole(table)),
            _ => columns.push(column(item)),
        }
    }
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    Some(Answer::table(&columns, Vec::new()))
}

/// The columns of a whole table that tools look for by name; of others its own name, since a result has a column.
fn whole(table: &str) -> Vec<String> {
    let names: &[&str] = match table {
        "schemata" => &SCHEMATA,
        "tables" => &TABLES,
        "engines" => &["ENGINE", "SUPPORT", "COMMENT", "TRANSACTIONS", "XA", "SAVEPOINTS"],
        "character_sets" => &["CHARACTER_SET_NAME", "DEFAULT_COLLATE_NAME", "DESCRIPTION", "MAXLEN"],
        "collations" => &["COLLATION_NAME", "CHARACTER_SET_NAME", "ID", "IS_DEFAULT", "IS_COMPILED", "SORTLEN"],
        table => &[table],
    };
    names.iter().map(ToString::to_string).collect()
}

/// What a column is called: its alias, or the item's last name.
fn column(item: &str) -> String {
    let alias = item.rsplit(char::is_whitespace).next().unwrap_or(item);
    let name = if alias.ends_with(')') { item } else { alias.rsplit('.').next().unwrap_or(alias) };
    name.trim_matches(QUOTES).to_string()
}

/// One item of a select list: its column's name and its value.
fn value(item: &str, door: &Door, id: u32) -> Option<(String, Option<String>)> {
    if let Some(text) = item.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return (!text.contains(['\'', '\\'])).then(|| (text.to_string(), Some(text.to_string())));
    }
    let (expression, alias) = match item.split_whitespace().collect::<Vec<_>>()[..] {
        [expression] => (expression, expression),
        [expression, alias] => (expression, alias),
        [expression, word, alias] if word.eq_ignore_ascii_case("AS") => (expression, alias),
        _ => return None,
    };
    let name = alias.trim_matches(QUOTES).to_string();
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
            "database()" | "schema()" | "null" => None,
            "user()" | "current_user()" | "current_user" | "session_user()" => Some(door.user.clone()),
            "connection_id()" => Some(id.to_string()),
            number if number.parse::<i64>().is_ok() => Some(number.to_string()),
            _ => return None,
        },
    };
    Some((name, value))
}

/// A select list's items; commas in parentheses and quotes belong to an item.
fn items(list: &str) -> Vec<&str> {
    let (mut depth, mut quote, mut from, mut all) = (0_u32, None, 0, Vec::new());
    for (at, letter) in list.char_indices() {
        match (quote, letter) {
            (Some(open), letter) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(letter),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                all.push(list[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    all.push(list[from..].trim());
    all
}

/// What stands behind a word at the beginning.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(word.len())?;
    (head.eq_ignore_ascii_case(word) && rest.starts_with(char::is_whitespace)).then(|| rest.trim_start())
}

/// What stands before and behind a word, which has space around it.
fn split_word<'a>(text: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let mut at = 0;
    while let Some(space) = text[at..].find(char::is_whitespace) {
        at += space;
        let behind = text[at..].trim_start();
        if let Some(rest) = strip_word(behind, word) {
            return Some((text[..at].trim_end(), rest));
        }
        at = text.len() - behind.len();
    }
    None
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
const QUOTES: [char; 3] = ['`', '\'', '"'];

const CHARSETS: [&[&str]; 2] =
    [&["binary", "Binary pseudo charset", "binary", "1"], &["utf8mb4", "UTF-8 Unicode", "utf8mb4_0900_ai_ci", "4"]];

const COLLATIONS: [&[&str]; 3] = [
    &["binary", "binary", "63", "Yes", "Yes", "1", "NO PAD"],
    &["utf8mb4_0900_ai_ci", "utf8mb4", "255", "Yes", "Yes", "0", "NO PAD"],
    &["utf8mb4_general_ci", "utf8mb4", "45", "", "Yes", "1", "PAD SPACE"],
];

const SCHEMATA: [&str; 6] = [
    "CATALOG_NAME",
    "SCHEMA_NAME",
    "DEFAULT_CHARACTER_SET_NAME",
    "DEFAULT_COLLATION_NAME",
    "SQL_PATH",
    "DEFAULT_ENCRYPTION",
];

const TABLES: [&str; 6] = ["TABLE_CATALOG", "TABLE_SCHEMA", "TABLE_NAME", "TABLE_TYPE", "ENGINE", "TABLE_COMMENT"];

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
        assert_eq!(row("SELECT 'x, y', NULL").1, [Some("x, y".into()), None]);
        assert!(matches!(ask("SHOW FULL TABLES"), Some(Answer::Rows { rows, .. }) if rows.is_empty()));
        for (sql, first) in [
            ("SHOW VARIABLES LIKE 'lower_case_%'", "lower_case_table_names"),
            ("SHOW SESSION VARIABLES WHERE Variable_name = 'sql_mode'", "version_comment"),
            ("SHOW CHARACTER SET", "binary"),
            ("SHOW COLLATION", "binary"),
        ] {
            assert_eq!(row(sql).1[0].as_deref(), Some(first), "{sql}");
        }
    }

    /// What is listed by tools is empty, under the columns that they look for.
    #[test]
    fn schemas_are_listed_and_there_are_none() {
        let columns = |sql: &str| match ask(sql) {
            Some(Answer::Rows { columns, rows, .. }) if rows.is_empty() => columns.join(","),
            other => panic!("{sql}: {other:?}"),
        };
        assert_eq!(&columns("SELECT * FROM information_schema.SCHEMATA")[..24], "CATALOG_NAME,SCHEMA_NAME");
        assert_eq!(
            columns(
                "SELECT t.TABLE_NAME, COUNT(*) AS n, IF(a, b, 'c')\nFROM `information_schema`.`TABLES` t WHERE t.TABLE_SCHEMA='x'"
            ),
            "TABLE_NAME,n,IF(a, b, 'c')"
        );
        assert_eq!(columns("select distinct p.* from performance_schema.threads p"), "threads");
    }

    #[test]
    fn what_is_for_mysql_is_not_answered() {
        for sql in [
            "SELECT * FROM t",
            "SELECT 1 FROM t",
            "SELECT * FROM mysql.user",
            "SELECT a",
            "SELECTED",
            "SHOW GRANTS",
            "SELECT 1 /* open",
            "SELECT '\u{e4}",
        ] {
            let answer = ask(sql);
            assert!(answer.is_none() || sql.starts_with("SELECT 1 /*"), "{sql}: {answer:?}");
        }
    }
}
