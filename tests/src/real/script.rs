//! The script: sessions as data, read from `corpus/*.txt`.
//!
//! ```text
//! === name-of-the-session S20 S21       the rules of semantics.md that it covers
//! caps: -DEPRECATE_EOF +FOUND_ROWS      otherwise the suite turns through several sets
//! needs: 2                              connections that it pins at the same time; 1 if not said
//! alone: it locks every table           no other session runs meanwhile, because …
//! patience: 3 MySQL says nothing        a step that has no reply within so many seconds is no mistake, because …
//! root: CREATE USER …                   on the primary, before the session begins
//! a: SELECT 1                           connection a sends a query
//!   FROM t                              … which goes on here
//! b!: SELECT SLEEP(1)                   b sends it and doesn't wait
//! b: @await                             b reads the oldest reply that it hasn't
//! a~: SHOW PROCESSLIST                  the rows are not compared, everything else is
//! a: @execute s1 i32:5 str:'x'          a protocol command
//! ```
//! Invariant: a mistake in a script is found when it is read, with file and line.

use std::time::Duration;

use weir_net::flags::Capabilities;

use super::bind::Param;
use super::text;

#[derive(Debug, Clone)]
pub struct Session {
    pub name: String,
    pub rules: Vec<String>,
    /// `file:line` of its head.
    pub place: String,
    pub file: String,
    /// Added to and taken from the usual set; `None` if the suite may choose.
    pub capabilities: Option<Change>,
    pub needs: usize,
    pub is_alone: bool,
    /// How long a reply is waited for where there may be none; otherwise each has to come, within `limits::WIRE_WAIT`.
    pub patience: Option<Duration>,
    /// It uses the database `${db}_2`.
    pub has_second: bool,
    pub root: Vec<String>,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    pub added: u64,
    pub taken: u64,
}

impl Change {
    pub fn apply(self, to: Capabilities) -> Capabilities {
        Capabilities((to.0 | self.added) & !self.taken)
    }
}

#[derive(Debug, Clone)]
pub struct Step {
    pub line: usize,
    pub label: String,
    /// Send and don't wait.
    pub is_sent_only: bool,
    /// The contents of rows are not compared.
    pub is_shape: bool,
    /// As it stands in the script.
    pub source: String,
    pub command: Command,
}

/// What a connection does. Texts are filled when they are sent.
#[derive(Debug, Clone)]
pub enum Command {
    Connect(Who),
    /// `COM_QUIT`.
    Quit,
    /// The socket is closed without a word.
    Drop,
    Await,
    Query(Vec<u8>),
    /// A query with attributes.
    With(Vec<Param>, Vec<u8>),
    /// The answer to the next request for a local file; without it the file is empty.
    File(Vec<u8>),
    Prepare(String, Vec<u8>),
    Execute {
        name: String,
        is_cursor: bool,
        keeps_types: bool,
        params: Vec<Param>,
    },
    LongData {
        name: String,
        index: u16,
        data: Vec<u8>,
    },
    Fetch(String, u32),
    ResetStatement(String),
    Close(String),
    InitDb(Vec<u8>),
    FieldList {
        table: Vec<u8>,
        wildcard: Vec<u8>,
    },
    Ping,
    Statistics,
    ResetConnection,
    ChangeUser(Who),
    SetOption(u16),
    ProcessKill(Vec<u8>),
    ProcessInfo,
    Debug,
    /// A command byte and body that nothing else here says; one OK, EOF or ERR answers it.
    Raw(Vec<u8>),
}

/// What a login says, where it differs from the usual.
#[derive(Debug, Clone, Default)]
pub struct Who {
    pub user: Option<String>,
    pub password: Option<String>,
    /// Empty: none.
    pub schema: Option<String>,
    pub charset: Option<u8>,
    pub capabilities: Change,
}

/// Reads one file of sessions.
pub fn read(file: &str, content: &str) -> Result<Vec<Session>, String> {
    let mut sessions: Vec<Session> = Vec::new();
    let mut lines = content.lines().enumerate().map(|(at, line)| (at + 1, line)).peekable();
    while let Some((number, line)) = lines.next() {
        let place = format!("{file}:{number}");
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let mut whole = line.to_owned();
        while let Some((_, next)) = lines.next_if(|(_, next)| next.starts_with("  ")) {
            whole.push('\n');
            whole.push_str(&next[2..]);
        }
        let taken = match (whole.strip_prefix("=== "), sessions.last_mut()) {
            (Some(head), _) => begin(file, &place, head).map(|session| sessions.push(session)),
            (None, None) => Err("before the first ===".to_owned()),
            (None, Some(session)) => take_line(session, number, &whole),
        };
        taken.map_err(|why| format!("{place}: {why}"))?;
    }
    for session in &sessions {
        let named = sessions.iter().filter(|other| other.name == session.name).count();
        if session.steps.is_empty() || named > 1 {
            return Err(format!("{}: {} is empty or there twice", session.place, session.name));
        }
    }
    Ok(sessions)
}

fn begin(file: &str, place: &str, head: &str) -> Result<Session, String> {
    let mut words = head.split_whitespace().map(str::to_owned);
    let name = words.next().ok_or("a session without a name")?;
    let rules: Vec<String> = words.collect();
    let is_rule = |rule: &String| rule.len() == 3 && rule.starts_with('S') && rule[1..].parse::<u8>().is_ok();
    if rules.is_empty() || !rules.iter().all(is_rule) {
        return Err("the rules are named like S20".to_owned());
    }
    Ok(Session {
        name,
        rules,
        place: place.to_owned(),
        file: file.to_owned(),
        capabilities: None,
        needs: 1,
        is_alone: false,
        patience: None,
        has_second: false,
        root: Vec::new(),
        steps: Vec::new(),
    })
}

fn take_line(session: &mut Session, number: usize, line: &str) -> Result<(), String> {
    session.has_second |= line.contains("${db}_2");
    let (key, value) = line.split_once(':').ok_or("neither a step nor a setting")?;
    let value = value.strip_prefix(' ').unwrap_or(value);
    match key {
        "caps" => session.capabilities = Some(change(value.split_whitespace())?),
        "needs" => session.needs = value.trim().parse().map_err(|_| "needs wants a number")?,
        "alone" => session.is_alone = true,
        "patience" => {
            let seconds = value.split_once(' ').and_then(|(seconds, _)| seconds.parse().ok());
            session.patience = Some(Duration::from_secs(seconds.ok_or("patience wants seconds and a reason")?));
        }
        "root" => session.root.push(value.to_owned()),
        _ => {
            let (label, is_sent_only) = key.strip_suffix('!').map_or((key, false), |label| (label, true));
            let (label, is_shape) = label.strip_suffix('~').map_or((label, false), |label| (label, true));
            if label.len() != 1 {
                return Err(format!("{key:?} is neither a connection nor a setting"));
            }
            let command = command(value)?;
            session.steps.push(Step {
                line: number,
                label: label.to_owned(),
                is_sent_only,
                is_shape,
                source: value.to_owned(),
                command,
            });
        }
    }
    Ok(())
}

fn command(value: &str) -> Result<Command, String> {
    let Some(text) = value.strip_prefix('@') else {
        return Ok(Command::Query(value.as_bytes().to_vec()));
    };
    let (verb, rest) = text.split_once([' ', '\n']).unwrap_or((text, ""));
    let one = || rest.trim().to_owned();
    Ok(match verb {
        "connect" => Command::Connect(who(rest)?),
        "quit" => Command::Quit,
        "drop" => Command::Drop,
        "await" => Command::Await,
        "bytes" => Command::Query(text::unescape(rest)?),
        "with" => {
            let (params, sql) = rest.split_once(" | ").ok_or("@with wants parameters | statement")?;
            Command::With(params_of(&text::words(params)?)?, sql.as_bytes().to_vec())
        }
        "file" => Command::File(text::unescape(rest)?),
        "prepare" => {
            let (name, sql) = rest.split_once([' ', '\n']).unwrap_or((rest, ""));
            Command::Prepare(name.to_owned(), sql.as_bytes().to_vec())
        }
        "execute" => execute(rest)?,
        "long" => {
            let mut parts = rest.splitn(3, ' ');
            let name = parts.next().unwrap_or_default().to_owned();
            let index = parts.next().and_then(|index| index.parse().ok()).ok_or("@long wants name, index, data")?;
            Command::LongData { name, index, data: text::unescape(parts.next().unwrap_or_default())? }
        }
        "fetch" => {
            let (name, rows) = rest.split_once(' ').ok_or("@fetch wants name and number")?;
            Command::Fetch(name.to_owned(), rows.trim().parse().map_err(|_| "@fetch wants a number")?)
        }
        "reset-statement" => Command::ResetStatement(one()),
        "close" => Command::Close(one()),
        "init-db" => Command::InitDb(rest.as_bytes().to_vec()),
        "field-list" => {
            let (table, wildcard) = rest.split_once(' ').unwrap_or((rest, ""));
            Command::FieldList { table: table.as_bytes().to_vec(), wildcard: wildcard.as_bytes().to_vec() }
        }
        "ping" => Command::Ping,
        "statistics" => Command::Statistics,
        "reset" => Command::ResetConnection,
        "change-user" => Command::ChangeUser(who(rest)?),
        "set-option" => Command::SetOption(one().parse().map_err(|_| "@set-option wants a number")?),
        "process-kill" => Command::ProcessKill(rest.as_bytes().to_vec()),
        "process-info" => Command::ProcessInfo,
        "debug" => Command::Debug,
        "raw" => Command::Raw(text::unescape(rest)?),
        _ => return Err(format!("@{verb} is no command")),
    })
}

fn execute(rest: &str) -> Result<Command, String> {
    let words = text::words(rest)?;
    let (name, mut left) = words.split_first().ok_or("@execute wants a name")?;
    let (mut is_cursor, mut keeps_types) = (false, false);
    while let Some((word, after)) = left.split_first() {
        match word.as_str() {
            "cursor" => is_cursor = true,
            "keep" => keeps_types = true,
            _ => break,
        }
        left = after;
    }
    Ok(Command::Execute { name: name.clone(), is_cursor, keeps_types, params: params_of(left)? })
}

fn params_of(words: &[String]) -> Result<Vec<Param>, String> {
    words.iter().map(|word| Param::read(word)).collect()
}

fn who(rest: &str) -> Result<Who, String> {
    let mut who = Who::default();
    for word in text::words(rest)? {
        let (key, value) = word.split_once('=').ok_or_else(|| format!("{word:?} is no setting of a login"))?;
        let value = value.to_owned();
        match key {
            "user" => who.user = Some(value),
            "password" => who.password = Some(value),
            "schema" => who.schema = Some(value),
            "charset" => who.charset = Some(value.parse().map_err(|_| "charset wants a number")?),
            "caps" => who.capabilities = change(value.split_whitespace())?,
            _ => return Err(format!("{key:?} is no setting of a login")),
        }
    }
    Ok(who)
}

fn change<'a>(words: impl Iterator<Item = &'a str>) -> Result<Change, String> {
    let mut change = Change::default();
    for word in words {
        let (sign, name) = word.split_at(1);
        let flag =
            CAPABILITIES.iter().find(|(known, _)| *known == name).ok_or_else(|| format!("no capability {name}"))?.1;
        match sign {
            "+" => change.added |= flag.0,
            "-" => change.taken |= flag.0,
            _ => return Err(format!("{word} wants + or -")),
        }
    }
    Ok(change)
}

const CAPABILITIES: [(&str, Capabilities); 14] = [
    ("LONG_PASSWORD", Capabilities::LONG_PASSWORD),
    ("FOUND_ROWS", Capabilities::FOUND_ROWS),
    ("LONG_FLAG", Capabilities::LONG_FLAG),
    ("NO_SCHEMA", Capabilities::NO_SCHEMA),
    ("LOCAL_FILES", Capabilities::LOCAL_FILES),
    ("IGNORE_SPACE", Capabilities::IGNORE_SPACE),
    ("INTERACTIVE", Capabilities::INTERACTIVE),
    ("MULTI_STATEMENTS", Capabilities::MULTI_STATEMENTS),
    ("MULTI_RESULTS", Capabilities::MULTI_RESULTS),
    ("PS_MULTI_RESULTS", Capabilities::PS_MULTI_RESULTS),
    ("SESSION_TRACK", Capabilities::SESSION_TRACK),
    ("DEPRECATE_EOF", Capabilities::DEPRECATE_EOF),
    ("QUERY_ATTRIBUTES", Capabilities::QUERY_ATTRIBUTES),
    ("TRANSACTIONS", Capabilities::TRANSACTIONS),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_read() {
        let text = "# why\n=== one S20 S21\ncaps: -DEPRECATE_EOF\nneeds: 2\nroot: CREATE USER u\na: SELECT 1,\n  2\n\n\
                    b~!: @execute s cursor i32:5 str:'x y'\n=== two S40\na: @ping\n";
        let sessions = read("f.txt", text).unwrap();
        assert_eq!(sessions.len(), 2);
        let one = &sessions[0];
        assert_eq!((one.needs, one.root.len(), one.rules.len()), (2, 1, 2));
        let usual = Capabilities::DEPRECATE_EOF | Capabilities::SESSION_TRACK;
        assert_eq!(one.capabilities.unwrap().apply(usual), Capabilities::SESSION_TRACK);
        assert!(matches!(&one.steps[0].command, Command::Query(text) if text == b"SELECT 1,\n2"));
        assert!(one.steps[1].is_sent_only && one.steps[1].is_shape && one.steps[1].label == "b");
        let Command::Execute { params, is_cursor: true, keeps_types: false, .. } = &one.steps[1].command else {
            panic!("{:?}", one.steps[1]);
        };
        assert_eq!(params.len(), 2);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, expected) in [
            ("a: SELECT 1", "f:1: before the first"),
            ("=== one\n", "f:1: the rules"),
            ("=== one S20\nab: x", "f:2: \"ab\" is neither"),
            ("=== one S20\na: @jump", "f:2: @jump is no command"),
            ("=== one S20\n", "f:1: one is empty"),
            ("=== one S20\na: 1\n=== one S20\na: 1\n", "f:1: one is empty or there twice"),
            ("=== one S20\ncaps: +FLY\na: 1", "f:2: no capability FLY"),
        ] {
            let error = read("f", text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
