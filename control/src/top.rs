//! `weir top`: a gate's live figures in a terminal, asked over the HTTP port that `/status` is on.
//!
//! ```text
//!   ask (HTTP, JSON) ──► since (what happened between two answers) ──► screen (lines of text) ──► terminal (size, keys, colours)
//! ```
//! Invariant: whatever ends it, the terminal is as it was. What comes from outside cannot move the cursor.

pub mod ask;
pub mod screen;
pub mod since;
pub mod terminal;

use ask::Answer;
use screen::{Order, View};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};
use terminal::{Input, Terminal};

#[derive(Clone, Debug, PartialEq)]
pub struct TopOptions {
    /// The gate's `admin_listen`, `host:port`.
    pub http: String,
    /// One screen as plain text, after one interval.
    pub is_once: bool,
    pub interval: Duration,
}

/// Why it ended before it was asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopError {
    /// No gate answers there.
    Unreachable(String),
    Terminal(String),
}

pub fn run(options: &TopOptions) -> Result<(), TopError> {
    let first = Answer::ask(&options.http, true).map_err(TopError::Unreachable)?;
    if options.is_once {
        std::thread::sleep(options.interval);
        let second = Answer::ask(&options.http, true).map_err(TopError::Unreachable)?;
        let view =
            View { address: &options.http, before: &first, now: &second, trouble: None, order: Order::default() };
        let lines = view.lines();
        let text: String = lines.iter().map(|line| line.text.trim_end().to_string() + "\n").collect();
        // A reader that has gone wants no more.
        let _ = std::io::stdout().write_all(text.as_bytes());
        return Ok(());
    }
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(TopError::Terminal("this is no terminal: use weir top --once".to_string()));
    }
    let mut terminal =
        Terminal::enter().map_err(|why| TopError::Terminal(format!("the terminal cannot be set: {why}")))?;
    live(options, first, &mut terminal).map_err(|why| TopError::Terminal(format!("the terminal cannot be used: {why}")))
}

fn live(options: &TopOptions, first: Answer, terminal: &mut Terminal) -> std::io::Result<()> {
    let (mut before, mut now, mut trouble) = (first.clone(), first, None);
    let (mut order, mut is_paused, mut rounds) = (Order::default(), false, 0_u32);
    let mut due = Instant::now() + options.interval.min(FIRST_INTERVAL);
    loop {
        let view = View { address: &options.http, before: &before, now: &now, trouble: trouble.as_deref(), order };
        let (width, height) = terminal.size();
        terminal.draw(&screen::fitted(view.lines(), width, height, is_paused))?;
        match terminal.wait(due.saturating_duration_since(Instant::now())) {
            Input::Key(b'q' | b'Q' | CTRL_C) | Input::End => return Ok(()),
            Input::Key(b'p' | b' ') => is_paused = !is_paused,
            Input::Key(CTRL_Z) => terminal.suspend()?,
            Input::Key(key) => order = order.with_key(key),
            Input::Resized | Input::Nothing => {}
        }
        if Instant::now() < due {
            continue;
        }
        due = Instant::now() + options.interval;
        if is_paused {
            continue;
        }
        rounds = rounds.wrapping_add(1);
        match Answer::ask(&options.http, rounds.is_multiple_of(SLOW_EVERY)) {
            Ok(mut answer) => {
                answer.keep_slow_of(&now);
                (before, trouble) = (std::mem::replace(&mut now, answer), None);
            }
            Err(why) => trouble = Some(format!("what is shown is old: {why}")),
        }
    }
}

/// Rates are wanted soon after the start.
const FIRST_INTERVAL: Duration = Duration::from_millis(500);

/// Digests cost the cores more than figures do: they come with every fifth answer.
const SLOW_EVERY: u32 = 5;

const CTRL_C: u8 = 3;
const CTRL_Z: u8 = 26;
