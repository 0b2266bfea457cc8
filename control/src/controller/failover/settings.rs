//! What an operator sets about failovers: keys `failover…` of the controller's configuration.

use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Off: nothing is decided here; roles are moved by others.
    pub is_on: bool,
    /// How long a primary must be seen dead.
    pub detect: Duration,
    /// How long a primary whose disk is full may hang.
    pub disk_full: Duration,
    /// How long stewards who are seen are waited for before one of those that are ready is chosen.
    pub settle: Duration,
    /// How long a former primary that answers nobody is tried to be fenced, while its tablet lives.
    pub fence: Duration,
    /// Of a switchover: how long the heir may take to get what the former primary had.
    pub catch_up: Duration,
    /// Failovers within a minute before the next one waits: two servers that take turns in dying.
    pub most: usize,
}

impl Settings {
    /// The times that can be configured, by their keys.
    pub fn times(&mut self) -> [(&'static str, &mut Duration); 5] {
        [
            ("failover_detect_ms", &mut self.detect),
            ("failover_disk_full_ms", &mut self.disk_full),
            ("failover_settle_ms", &mut self.settle),
            ("failover_fence_ms", &mut self.fence),
            ("failover_catch_up_ms", &mut self.catch_up),
        ]
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            is_on: true,
            detect: Duration::from_millis(500),
            disk_full: Duration::from_millis(5_000),
            settle: Duration::from_millis(2_000),
            fence: Duration::from_millis(1_000),
            catch_up: Duration::from_millis(10_000),
            most: 3,
        }
    }
}
