//! `Level`: the read-after-write levels, and what each promises (S60).
//!
//! Invariant: a level promises all that the levels below it promise.

use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Eventual,
    Session,
    Instance,
    Global,
}

/// What can be wrong with what a read saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Older than what the session itself wrote.
    StaleOwn,
    /// Older than what any session of the same gate wrote.
    StaleGate,
    /// Older than what anybody wrote, also past the gates.
    StaleAny,
    /// Older than what the same session had seen.
    Back,
    /// Older than what somebody had seen before the read began.
    Inverted,
    /// Half of a transaction.
    Torn,
    /// A version that nobody has written yet.
    Impossible,
}

impl Wrong {
    pub const ALL: [Self; 7] =
        [Self::StaleOwn, Self::StaleGate, Self::StaleAny, Self::Back, Self::Inverted, Self::Torn, Self::Impossible];

    pub fn name(self) -> &'static str {
        match self {
            Self::StaleOwn => "stale own",
            Self::StaleGate => "stale gate",
            Self::StaleAny => "stale any",
            Self::Back => "back",
            Self::Inverted => "inverted",
            Self::Torn => "torn",
            Self::Impossible => "impossible",
        }
    }

    /// The lowest level at which it must not happen.
    pub fn since(self) -> Level {
        match self {
            Self::Torn | Self::Impossible => Level::Eventual,
            Self::StaleOwn | Self::Back => Level::Session,
            Self::StaleGate => Level::Instance,
            Self::StaleAny | Self::Inverted => Level::Global,
        }
    }
}

impl Level {
    pub const ALL: [Self; 4] = [Self::Eventual, Self::Session, Self::Instance, Self::Global];

    pub fn name(self) -> &'static str {
        match self {
            Self::Eventual => "EVENTUAL",
            Self::Session => "SESSION",
            Self::Instance => "INSTANCE",
            Self::Global => "GLOBAL",
        }
    }

    pub fn excludes(self, wrong: Wrong) -> bool {
        self >= wrong.since()
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|level| level.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| format!("known are {}", Self::ALL.map(Self::name).join(", ")))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_promises_what_the_lower_ones_do() {
        let promises = |level: Level| Wrong::ALL.map(|wrong| level.excludes(wrong));
        assert_eq!(promises(Level::Eventual), [false, false, false, false, false, true, true]);
        assert_eq!(promises(Level::Session), [true, false, false, true, false, true, true]);
        assert_eq!(promises(Level::Instance), [true, true, false, true, false, true, true]);
        assert_eq!(promises(Level::Global), [true; 7]);
        assert_eq!("session".parse(), Ok(Level::Session));
        assert!("strong".parse::<Level>().is_err());
    }
}
