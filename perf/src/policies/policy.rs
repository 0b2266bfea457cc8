//! `Policy`: the ways to choose a replica, by the names that clients set.

use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Random,
    LeastOutstanding,
    LeastQps,
    LeastGlobalQps,
    LeastRt,
    LeastBehindPrimary,
    LeastConnected,
    LeastRunning,
    /// Everything goes to the primary.
    Disable,
}

impl Policy {
    pub const ALL: [Self; 9] = [
        Self::Random,
        Self::LeastOutstanding,
        Self::LeastQps,
        Self::LeastGlobalQps,
        Self::LeastRt,
        Self::LeastBehindPrimary,
        Self::LeastConnected,
        Self::LeastRunning,
        Self::Disable,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "RANDOM",
            Self::LeastOutstanding => "LEAST_OUTSTANDING",
            Self::LeastQps => "LEAST_QPS",
            Self::LeastGlobalQps => "LEAST_GLOBAL_QPS",
            Self::LeastRt => "LEAST_RT",
            Self::LeastBehindPrimary => "LEAST_BEHIND_PRIMARY",
            Self::LeastConnected => "LEAST_MYSQL_CONNECTED_CONNECTIONS",
            Self::LeastRunning => "LEAST_MYSQL_RUNNING_CONNECTIONS",
            Self::Disable => "DISABLE",
        }
    }

    /// Whether a replica that answers late must get less for it.
    pub fn avoids_the_slow(self) -> bool {
        matches!(self, Self::LeastOutstanding | Self::LeastRt)
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|policy| policy.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| format!("known are {}", Self::ALL.map(Self::name).join(", ")))
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
