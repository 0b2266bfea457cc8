//! What is printed: a step's name, then lines in which a value stands with its type, so that equal lines are equal values.

use std::env;
use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};

pub type Outcome = Result<(), Box<dyn Error>>;

macro_rules! say {
    ($($word:tt)*) => { println!("{}", format!($($word)*).replace('\n', "\\n")) };
}
pub(crate) use say;

/// A step that fails in a way that it did not foresee says so, and the next goes on.
macro_rules! step {
    ($name:expr, $outcome:expr) => {
        say!("== {}", $name);
        if let Err(why) = $outcome {
            say!("! {why}");
        }
    };
}
pub(crate) use step;

pub fn env(name: &str) -> String {
    env::var(format!("WEIR_{name}")).unwrap_or_default()
}

pub fn port() -> Result<u16, Box<dyn Error>> {
    Ok(env("PORT").parse()?)
}

/// A long text is its length and a digest.
pub fn cut(text: &str) -> String {
    if text.len() <= 100 {
        return text.to_owned();
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{} {:016x}", text.len(), hasher.finish())
}

/// Bytes as text where they are some, else their hex digits.
pub fn bytes(raw: &[u8]) -> String {
    match std::str::from_utf8(raw) {
        Ok(text) if !text.contains('\0') => format!("{:?}", cut(text)),
        _ => format!("x{}", cut(&raw.iter().map(|byte| format!("{byte:02x}")).collect::<String>())),
    }
}

/// The version that Cargo.lock pins.
pub fn version(name: &str) -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let begins = lock.find(&format!("name = \"{name}\"\nversion = \"")).map(|at| &lock[at..]);
    begins.and_then(|rest| rest.split('"').nth(3)).unwrap_or("unknown")
}

/// What every driver is asked that only wants a text.
pub const ERRORS: &[&str] = &[
    "SELEC 1",
    "SELECT * FROM no_such_table",
    "SELECT nope FROM people",
    "INSERT INTO people (name) VALUES ('Ada')",
    "INSERT INTO people (name) VALUES (NULL)",
    "INSERT INTO items (person_id) VALUES (99999)",
    "DELETE FROM people WHERE id = 1",
    "INSERT INTO types (id, ti) VALUES (9, 1000)",
    "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'mine', MYSQL_ERRNO = 5000",
    "CALL no_such_procedure()",
];

pub const SESSION: &[&str] = &[
    "CREATE TEMPORARY TABLE temp (id INT AUTO_INCREMENT PRIMARY KEY, v TEXT)",
    "INSERT INTO temp (v) VALUES ('a'), ('b')",
    "SELECT * FROM temp",
    "DROP TEMPORARY TABLE temp",
    "SET @a = 5, @b = 'text', @d = 1.25",
    "SELECT @a, @b, @d",
    "SET time_zone = '+05:30'",
    "SELECT @@time_zone, ts FROM types WHERE id = 1",
    "SET time_zone = DEFAULT",
    "SET SESSION sql_mode = 'ANSI_QUOTES'",
    "SELECT \"name\" FROM people WHERE id = 1",
    "SET SESSION sql_mode = DEFAULT",
    "SELECT SQL_CALC_FOUND_ROWS n FROM numbers WHERE n <= 1000 ORDER BY n LIMIT 2",
    "SELECT FOUND_ROWS() AS f",
    "SHOW TABLES",
    "EXPLAIN SELECT name FROM people WHERE id = 1",
];

pub const WRITES: &[&str] = &[
    "INSERT INTO people (name) VALUES ('x1'), ('x2'), ('x3')",
    "UPDATE people SET age = 1 WHERE name LIKE 'x%'",
    "UPDATE people SET age = 1 WHERE name LIKE 'x%'",
    "DELETE FROM people WHERE name = 'x2'",
    "INSERT INTO people (name, age) VALUES ('Ada', 1) ON DUPLICATE KEY UPDATE age = 37",
    "REPLACE INTO numbers VALUES (1), (2000)",
    "INSERT IGNORE INTO numbers VALUES (1), (2001)",
    "SHOW WARNINGS",
    "SELECT id, name, age FROM people ORDER BY id",
];
