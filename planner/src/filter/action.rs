//! What a filter does: its `action` with the `action_args` that belong to it.
//!
//! ```text
//!   action_args='max_concurrency=10; max_queue_size=100'          key=value, a semicolon between
//!   action_args='pattern="…"; replacement="…"'                    a value in quotes may hold semicolons; \" and \\ are undone
//! ```

use super::expression::Expression;

#[derive(Clone, Debug)]
pub enum Action {
    /// Nothing: it counts what it matches, and the filters behind it are looked at.
    Continue,
    /// The statement is refused.
    Fail,
    Concurrency(Concurrency),
    Rewrite(Rewrite),
    Mirror(Mirror),
}

/// How many of its statements may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    pub running_max: u32,
    /// Others that may wait.
    pub waiting_max: u32,
    /// None: as long as for a connection.
    pub wait_ms_max: Option<u64>,
}

/// Another text in the place of what the client sent.
#[derive(Clone, Debug)]
pub struct Rewrite {
    pattern: Expression,
    replacement: Box<str>,
}

/// A copy is run somewhere else, and its answer thrown away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// One of the gate's `[[mirrors]]`.
    pub target: Box<str>,
    /// Of the statements that match.
    pub percent: u8,
    /// Copies under way; more are dropped.
    pub queue_max: u32,
    /// Of one copy, from its connection to the end of its answer.
    pub ms_max: u32,
}

impl Rewrite {
    /// None: the pattern is not in it.
    pub fn apply(&self, text: &[u8]) -> Option<Vec<u8>> {
        self.pattern.replaced(text, &self.replacement)
    }
}

impl Action {
    /// Err: what is wrong and what there is.
    pub(super) fn read(name: &str, args: &str) -> Result<Action, String> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("CONCURRENCY_CONTROL") {
            return concurrency(args);
        }
        if is("REWRITE") {
            return rewrite(args);
        }
        if is("MIRROR") {
            return mirror(args);
        }
        let plain = match name {
            _ if is("CONTINUE") => Action::Continue,
            _ if is("FAIL") => Action::Fail,
            "" => return Err(format!("action is missing: {KNOWN}")),
            _ if is("WASM_PLUGIN") || is("PLUGIN") => {
                return Err(format!("action='{name}' is not there: this gate runs no code of others; {KNOWN}"));
            }
            _ if is("SKIP_FILTER") => {
                return Err(format!(
                    "action='SKIP_FILTER' is not there: narrow the other filters' patterns, or set their status; {KNOWN}"
                ));
            }
            _ if is("FAIL_RETRY") || is("BUFFER") => {
                return Err(format!(
                    "action='{name}' is not there: the gate holds statements by itself while the primary moves; {KNOWN}"
                ));
            }
            _ => return Err(format!("action='{name}' is not known: {KNOWN}")),
        };
        match args.trim().is_empty() {
            true => Ok(plain),
            false => Err(format!("action='{name}' takes no action_args: leave them out")),
        }
    }
}

fn concurrency(args: &str) -> Result<Action, String> {
    let args = Args::read(args, &["max_concurrency", "max_queue_size", "max_wait_ms"])?;
    let running_max: u32 = args.number("max_concurrency")?.ok_or("max_concurrency is missing in action_args")?;
    if running_max == 0 {
        return Err("max_concurrency must be 1 or more: action='FAIL' lets none through".to_string());
    }
    let queue_max = args.number("max_queue_size")?.ok_or("max_queue_size is missing in action_args")?;
    let Some(waiting_max) = queue_max.checked_sub(running_max) else {
        let what = "it counts those that run, too";
        return Err(format!("max_queue_size={queue_max} is less than max_concurrency={running_max}: {what}"));
    };
    let wait_ms_max = args.number("max_wait_ms")?.map(u64::from);
    Ok(Action::Concurrency(Concurrency { running_max, waiting_max, wait_ms_max }))
}

fn rewrite(args: &str) -> Result<Action, String> {
    let args = Args::read(args, &["pattern", "replacement"])?;
    let pattern =
        args.text("pattern").filter(|text| !text.is_empty()).ok_or("pattern=\"…\" is missing in action_args")?;
    let replacement = args.text("replacement").ok_or("replacement=\"…\" is missing in action_args")?;
    Ok(Action::Rewrite(Rewrite { pattern: Expression::part("pattern", pattern)?, replacement: replacement.into() }))
}

fn mirror(args: &str) -> Result<Action, String> {
    let args = Args::read(args, &["target", "percent", "max_queue_size", "max_ms", "writes"])?;
    if args.text("writes").is_some() {
        return Err(WRITES.to_string());
    }
    let target = args.text("target").filter(|target| !target.is_empty());
    let target = target.ok_or("target is missing in action_args: the name of one of the gate's [[mirrors]]")?;
    let within = |key: &str, usual: u32, max: u32| match args.number(key)?.unwrap_or(usual) {
        number if (1..=max).contains(&number) => Ok(number),
        number => Err(format!("{key}={number} is not from 1 to {max}")),
    };
    Ok(Action::Mirror(Mirror {
        target: target.into(),
        percent: within("percent", 100, 100)? as u8,
        queue_max: within("max_queue_size", COPIES_USUAL, COPIES_MAX)?,
        ms_max: within("max_ms", COPY_MS_USUAL, COPY_MS_MAX)?,
    }))
}

/// `key=value; key="value"`
struct Args(Vec<(&'static str, String)>);

impl Args {
    fn read(text: &str, known: &[&'static str]) -> Result<Args, String> {
        let mut args = Args(Vec::new());
        let mut left = text.trim();
        while !left.is_empty() {
            let Some((typed, rest)) = left.split_once('=') else {
                return Err(format!("'{left}' in action_args is not key=value"));
            };
            let typed = typed.trim();
            let Some(key) = known.iter().find(|key| key.eq_ignore_ascii_case(typed)) else {
                return Err(format!("action_args knows no '{typed}': use {}", known.join(", ")));
            };
            if args.text(key).is_some() {
                return Err(format!("{key} stands twice in action_args: remove one of the two"));
            }
            let (value, rest) = value(rest.trim_start());
            args.0.push((key, value));
            let rest = rest.trim_start();
            left = match rest.strip_prefix(';') {
                Some(rest) => rest.trim_start(),
                None if rest.is_empty() => rest,
                None => return Err(format!("a semicolon is missing before '{rest}' in action_args")),
            };
        }
        Ok(args)
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == key).map(|(_, value)| value.as_str())
    }

    fn number(&self, key: &str) -> Result<Option<u32>, String> {
        let read = |text: &str| text.parse().ok().filter(|number| *number <= NUMBER_MAX);
        let wrong = |text: &str| format!("{key}={text} is no whole number from 0 to {NUMBER_MAX}");
        self.text(key).map(|text| read(text).ok_or_else(|| wrong(text))).transpose()
    }
}

/// A value, and what is behind it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_at_checked(text.find(';').unwrap_or(text.len())).unwrap_or((text, ""));
        return (value.trim().to_string(), rest);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, one)) = chars.next() {
        match (one, chars.peek().map(|(_, next)| *next)) {
            ('\\', Some(next @ ('\\' | '"'))) => {
                value.push(next);
                chars.next();
            }
            ('"', _) => return (value, quoted.get(at..).and_then(|rest| rest.strip_prefix('"')).unwrap_or_default()),
            _ => value.push(one),
        }
    }
    (value, "")
}

const KNOWN: &str = "use CONTINUE, FAIL, CONCURRENCY_CONTROL, REWRITE or MIRROR";

const WRITES: &str = "writes are never mirrored, since copies have no order and some are dropped, so that the data there would be \
                      another's: leave writes out, and replicate instead";

/// Copies under way of one filter.
const COPIES_USUAL: u32 = 1_000;
const COPIES_MAX: u32 = 10_000;

/// Of a copy.
const COPY_MS_USUAL: u32 = 1_000;
const COPY_MS_MAX: u32 = 60_000;

/// Statements that run or wait, and milliseconds.
const NUMBER_MAX: u32 = 1_000_000;
