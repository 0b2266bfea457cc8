//! The shrink: the shortest case that still differs, found by leaving out.
//!
//! Invariant: what is reported has been seen to differ, and each step that is left was needed the last time it was tried.
//! Steps go first, in halves, quarters and so on; then whole sessions; then the capabilities and what was made beforehand.

use std::fmt::Write as _;

use super::Sharing;
use super::case::Case;
use super::duel::{Arena, Ending};

/// Shortens a case that has differed once, and says in words what differs.
pub fn report(arena: &mut Arena, sharing: Sharing, seed: u64, case: Case) -> String {
    let mut shrink = Shrink { arena, duels: 0, last: None };
    let mut words = format!("--- seed {seed}, {sharing:?}: MySQL and the gate differ\n");
    let repeated = (0..REPEATS).any(|_| shrink.differs(&case));
    if !repeated {
        let _ = write!(words, "It did not differ again in {REPEATS} runs. The whole case:\n{}", case.text());
        return words;
    }
    let case = shrink.shortened(case);
    let _ = write!(words, "After {} runs this is left:\n\n{}\n", shrink.duels, case.text());
    if let Some(Ending::Differs { why, direct, gate, .. }) = shrink.last {
        let _ = writeln!(words, "{why}\n  MySQL:");
        direct.iter().for_each(|shown| words.push_str(&format!("    {}\n", shown.text())));
        let _ = writeln!(words, "  the gate:");
        gate.iter().for_each(|shown| words.push_str(&format!("    {}\n", shown.text())));
    }
    words
}

struct Shrink<'a> {
    arena: &'a mut Arena,
    duels: usize,
    /// How the shortest case so far ended.
    last: Option<Ending>,
}

impl Shrink<'_> {
    fn differs(&mut self, case: &Case) -> bool {
        if case.steps.is_empty() || self.duels >= DUELS_MAX {
            return false;
        }
        self.duels += 1;
        let ending = self.arena.duel(case);
        let differs = matches!(ending, Ending::Differs { .. });
        if differs {
            self.last = Some(ending);
        }
        differs
    }

    fn shortened(&mut self, mut case: Case) -> Case {
        // Nothing behind the step that differs is needed.
        if let Some(Ending::Differs { at, .. }) = self.last {
            case.steps.truncate(at + 1);
        }
        self.leave_out_sessions(&mut case);
        loop {
            let before = case.steps.len();
            self.leave_out_steps(&mut case);
            if case.steps.len() == before {
                break;
            }
        }
        let usual = Case { capabilities: String::new(), ..case.clone() };
        if self.differs(&usual) {
            case = usual;
        }
        for at in (0..case.roots.len()).rev() {
            let mut other = case.clone();
            other.roots.remove(at);
            if self.differs(&other) {
                case = other;
            }
        }
        case
    }

    /// Pieces of ever smaller size are left out.
    fn leave_out_steps(&mut self, case: &mut Case) {
        let mut size = case.steps.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < case.steps.len() {
                let mut other = case.clone();
                other.steps.drain(from..(from + size).min(case.steps.len()));
                if self.differs(&other) {
                    *case = other;
                } else {
                    from += size;
                }
            }
            size /= 2;
        }
    }

    fn leave_out_sessions(&mut self, case: &mut Case) {
        for label in ["a", "b", "c"] {
            let mut other = case.clone();
            other.steps.retain(|step| !step.starts_with(label));
            if other.steps.len() < case.steps.len() && self.differs(&other) {
                *case = other;
            }
        }
    }
}

/// How often a case that differed is run until it differs again.
const REPEATS: usize = 4;
/// Runs for one shrink: a minute or so.
const DUELS_MAX: usize = 300;
