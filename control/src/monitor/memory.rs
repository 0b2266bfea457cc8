//! What an agent remembers of its server, so that it notices when the server is not the one that it was.
//!
//! Invariant: `executed` is the last set that the server showed; `lost` is what it once held and does not hold now, and
//! is forgotten only when the server holds all of it again.
//! Limits: the memory is the process's: an agent that starts after the wipe sees an empty server, not a wiped one. Two
//! starts within `START_MS_SLACK` of each other count as one, unless the ids of connections tell them apart.

use super::standing::Standing;
use std::sync::Arc;
use weir_net::gtid::GtidSet;

#[derive(Debug, Default)]
pub struct Memory {
    known: Option<Known>,
    lost: Option<GtidSet>,
    restarts: u64,
}

/// What a look showed.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    pub uuid: &'a str,
    /// On the agent's clock; may lie before its beginning.
    pub started_ms: Option<i64>,
    /// The server's own number of the connection that looked: a server counts them from its start.
    pub connection: u32,
    pub executed: Arc<GtidSet>,
}

#[derive(Debug)]
struct Known {
    uuid: String,
    /// The earliest that a look of this life came to: `Uptime` counts whole seconds, so each is up to one too late.
    started_ms: Option<i64>,
    connection: u32,
    executed: Arc<GtidSet>,
}

impl Known {
    fn is_before_restart(&self, seen: &Seen) -> bool {
        self.uuid != seen.uuid || seen.connection <= self.connection || is_later(self.started_ms, seen.started_ms)
    }
}

/// Whether a look may have been overtaken by the stream of executed sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The first word over a new connection, before the stream runs.
    First,
    /// Beside the stream: a smaller set is an older one. That the server was reset meanwhile, the stream tells.
    BesideStream,
}

impl Memory {
    /// A look's word. Returns the standing and the set to believe.
    pub fn handle_look(&mut self, seen: Seen, order: Order) -> (Standing, Arc<GtidSet>) {
        let known = self.known.take();
        let mut standing = Standing::Serving;
        let mut believed = seen.executed.clone();
        let mut started_ms = seen.started_ms;
        if let Some(known) = &known {
            let is_same = known.uuid == seen.uuid;
            if is_same && order == Order::BesideStream && known.executed.contains(&believed) {
                believed = known.executed.clone();
            }
            if order == Order::First && known.is_before_restart(&seen) {
                self.restarts += 1;
                standing = Standing::ServerRestarted;
            } else {
                started_ms = started_ms.into_iter().chain(known.started_ms).min();
            }
            self.compare(&known.executed, &believed);
        }
        let (uuid, connection) = (seen.uuid.to_string(), seen.connection);
        self.known = Some(Known { uuid, started_ms, connection, executed: believed.clone() });
        (if self.is_wiped() { Standing::ServerWiped } else { standing }, believed)
    }

    /// The stream's word.
    pub fn handle_executed(&mut self, executed: &Arc<GtidSet>) {
        let Some(mut known) = self.known.take() else { return };
        self.compare(&known.executed, executed);
        known.executed = executed.clone();
        self.known = Some(known);
    }

    fn compare(&mut self, before: &GtidSet, now: &GtidSet) {
        if !now.contains(before) {
            let mut missing = before.clone();
            missing.subtract(now);
            self.lost.get_or_insert_default().merge(&missing);
        }
        if self.lost.as_ref().is_some_and(|lost| now.contains(lost)) {
            self.lost = None;
        }
    }

    pub fn is_wiped(&self) -> bool {
        self.lost.is_some()
    }

    /// Transactions that it once had and has not.
    pub fn lost_count(&self) -> u64 {
        self.lost.as_ref().map_or(0, GtidSet::count)
    }

    pub fn restarts(&self) -> u64 {
        self.restarts
    }
}

/// `Uptime` counts whole seconds, and the answer takes a while.
fn is_later(before: Option<i64>, now: Option<i64>) -> bool {
    matches!((before, now), (Some(before), Some(now)) if now > before + START_MS_SLACK)
}

const START_MS_SLACK: i64 = 1_500;

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3aecbfe0-e779-11f1-be4c-02fc00000001";
    const B: &str = "3aecbfe0-e779-11f1-be4c-02fc00000002";

    fn set(text: &str) -> Arc<GtidSet> {
        Arc::new(GtidSet::parse(text.as_bytes()).unwrap())
    }

    fn seen<'a>(uuid: &'a str, started_ms: i64, connection: u32, executed: &str) -> Seen<'a> {
        Seen { uuid, started_ms: Some(started_ms), connection, executed: set(executed) }
    }

    /// By a connection with a greater id than the one before.
    fn first(memory: &mut Memory, uuid: &str, started_ms: i64, executed: &str) -> Standing {
        let connection = memory.known.as_ref().map_or(8, |known| known.connection + 1);
        memory.handle_look(seen(uuid, started_ms, connection, executed), Order::First).0
    }

    #[test]
    fn a_restart_is_a_later_start_and_lasts_one_look() {
        let mut memory = Memory::default();
        let had = format!("{A}:1-9");
        assert_eq!(first(&mut memory, A, -50_000, &had), Standing::Serving);
        assert_eq!(first(&mut memory, A, -49_200, &had), Standing::Serving, "a cut connection is no restart");
        assert_eq!(first(&mut memory, A, 4_000, &had), Standing::ServerRestarted);
        assert_eq!(first(&mut memory, A, 4_000, &had), Standing::Serving);
        assert_eq!(memory.restarts(), 1);
    }

    #[test]
    fn a_quick_restart_is_seen_by_the_ids_of_connections() {
        let mut memory = Memory::default();
        let look = |memory: &mut Memory, started_ms, connection, order| {
            memory.handle_look(seen(A, started_ms, connection, &format!("{A}:1-9")), order).0
        };
        assert_eq!(look(&mut memory, 0, 12, Order::First), Standing::Serving);
        // Each look's start is up to a second late: the earliest counts.
        assert_eq!(look(&mut memory, 990, 12, Order::BesideStream), Standing::Serving);
        assert_eq!(look(&mut memory, 990, 13, Order::First), Standing::Serving);
        assert_eq!(look(&mut memory, 1_200, 13, Order::First), Standing::ServerRestarted);
        assert_eq!(look(&mut memory, 2_500, 20, Order::First), Standing::Serving);
        assert_eq!(look(&mut memory, 2_800, 30, Order::First), Standing::ServerRestarted);
        assert_eq!(memory.restarts(), 2);
    }

    #[test]
    fn a_wiped_server_is_so_until_it_holds_again_what_it_held() {
        let mut memory = Memory::default();
        first(&mut memory, A, 0, &format!("{A}:1-9"));
        assert_eq!(first(&mut memory, B, 9_000, ""), Standing::ServerWiped);
        assert_eq!(memory.lost_count(), 9);
        // Writes of its own make it no better.
        assert_eq!(first(&mut memory, B, 9_000, &format!("{B}:1-40")), Standing::ServerWiped);
        memory.handle_executed(&set(&format!("{A}:1-5,{B}:1-40")));
        assert!(memory.is_wiped());
        memory.handle_executed(&set(&format!("{A}:1-9,{B}:1-40")));
        assert!(!memory.is_wiped());
        assert_eq!(first(&mut memory, B, 9_000, &format!("{A}:1-9,{B}:1-40")), Standing::Serving);
    }

    #[test]
    fn a_new_uuid_over_the_same_data_is_a_restart() {
        let mut memory = Memory::default();
        first(&mut memory, A, 0, &format!("{A}:1-9"));
        assert_eq!(first(&mut memory, B, 500, &format!("{A}:1-9")), Standing::ServerRestarted);
    }

    #[test]
    fn a_look_that_was_overtaken_is_not_a_loss_and_a_reset_is() {
        let mut memory = Memory::default();
        first(&mut memory, A, 0, &format!("{A}:1-9"));
        memory.handle_executed(&set(&format!("{A}:1-12")));
        let (standing, believed) = memory.handle_look(seen(A, 0, 8, &format!("{A}:1-10")), Order::BesideStream);
        assert_eq!((standing, believed), (Standing::Serving, set(&format!("{A}:1-12"))));
        // RESET BINARY LOGS AND GTIDS: the stream reads the smaller set.
        memory.handle_executed(&set(""));
        assert_eq!(memory.lost_count(), 12);
    }
}
