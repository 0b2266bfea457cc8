//! The succession: another process takes this gate's sockets over, and this one stays for those who are here.
//!
//! ```text
//!   Serving ── start ─► Serving, with an heir ─┬─ ready ─► Leaving ─┬─ nobody is here any more ─► Over
//!                                              └─ failed ─► Serving └─ upgrade_drain_ms_max ─► Draining
//! ```
//! Invariant: until the heir is ready this gate does all that it did, and afterwards it accepts nobody.

use super::{Control, Life};
use crate::gate::upgrade::{Heard, Heir, Program, Sockets};
use crate::notify;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// The next gate's process id, or why there is none.
pub type Upgraded = Result<u32, String>;

pub struct Succession {
    /// None: this gate is a part of another process.
    pub program: Option<Program>,
    /// HTTP, and who accepts there.
    pub admin: Option<(TcpListener, AbortHandle)>,
    /// Who accepts at the admin port.
    pub admin_sql: Option<AbortHandle>,
    /// How ids of connections of gates before this one begin.
    pub tags: Vec<u8>,
    heir: Option<Heir>,
    asked: Vec<oneshot::Sender<Upgraded>>,
}

impl Succession {
    pub fn new(
        program: Option<Program>,
        admin: Option<(TcpListener, AbortHandle)>,
        admin_sql: Option<AbortHandle>,
        tags: Vec<u8>,
    ) -> Succession {
        Succession { program, admin, admin_sql, tags, heir: None, asked: Vec::new() }
    }

    /// For ever while there is no heir.
    pub async fn heard(&mut self) -> Heard {
        match &mut self.heir {
            Some(heir) => heir.heard().await,
            None => std::future::pending().await,
        }
    }

    fn answer(&mut self, upgraded: &Upgraded) {
        // Who asked may have left.
        self.asked.drain(..).for_each(|asked| drop(asked.send(upgraded.clone())));
    }
}

impl Control {
    /// `asked`: who is told what came of it; None: a signal.
    pub(super) fn start_upgrade(&mut self, asked: Option<oneshot::Sender<Upgraded>>) {
        self.succession.asked.extend(asked);
        if self.succession.heir.is_some() && matches!(self.life, Life::Serving) {
            // It is under way already, and its outcome is everybody's.
            return;
        }
        match self.start_heir() {
            Ok(heir) => {
                let pid = heir.pid();
                tracing::info!(event = "upgrade_started", pid, "another process is started to take over");
                self.events.note("upgrade_started", "gate", format!("process {pid} is started to take over"));
                self.succession.heir = Some(heir);
            }
            Err(why) => self.refuse_upgrade(why),
        }
    }

    fn start_heir(&self) -> Result<Heir, String> {
        if !matches!(self.life, Life::Serving) {
            return Err("this gate takes no new clients any more".to_string());
        }
        let Some(program) = &self.succession.program else {
            return Err("this gate is a part of another process: start that one anew".to_string());
        };
        let admin = self.succession.admin.as_ref().zip(self.config.admin_listen);
        let grpc = self.certificates.grpc_listener().zip(self.config.grpc_listen);
        let mut tags = self.succession.tags.clone();
        tags.extend(self.kills.tags());
        let sockets = Sockets {
            clients: self.running.listeners(),
            admin: admin.map(|((listener, _), address)| (address.to_string(), listener.as_fd())),
            grpc: grpc.map(|(listener, address)| (address.to_string(), listener.as_fd())),
            tags: &tags[tags.len().saturating_sub(TAGS_MAX)..],
        };
        Heir::start(program, &sockets, self.config.monitor.start_ms_max).map_err(|error| {
            format!("no process can be started ({error}): look at the program's file and at the limits")
        })
    }

    pub(super) fn handle_heir(&mut self, heard: Heard) {
        let Some(heir) = &mut self.succession.heir else { return };
        let pid = heir.pid();
        match heard {
            Heard::Ready => self.give_way(pid),
            Heard::Failed(why) => {
                heir.end();
                self.succession.heir = None;
                self.refuse_upgrade(why);
            }
        }
    }

    fn refuse_upgrade(&mut self, why: String) {
        tracing::error!(event = "upgrade_failed", "this gate goes on as it was: {why}");
        self.events.note("upgrade_failed", "gate", why.clone());
        self.succession.answer(&Err(why));
    }

    /// The heir accepts beside us already: from here on alone.
    fn give_way(&mut self, pid: u32) {
        self.running.hand_over();
        if let Some((_, accepting)) = self.succession.admin.take() {
            accepting.abort();
        }
        if let Some(accepting) = self.succession.admin_sql.take() {
            accepting.abort();
        }
        self.certificates.give_way();
        self.desk.set_ready(false);
        if let Some(cluster) = &self.cluster {
            cluster.leave_name(self.kills.tag());
        }
        notify::main_process(pid);
        if let Some(Err(error)) = self.succession.heir.as_ref().map(Heir::give_way) {
            tracing::warn!(event = "heir_unheard", %error, "the process that takes over is not heard of any more");
        }
        let limit_ms = self.config.upgrade_drain_ms_max;
        let now = Instant::now();
        let until = (limit_ms > 0).then(|| now + Duration::from_millis(limit_ms));
        self.life = Life::Leaving { until, look_at: now + LEAVE_MIN };
        tracing::info!(
            event = "upgrade_done",
            pid,
            limit_ms,
            "process {pid} has taken over; sessions that are here go on here"
        );
        self.succession.answer(&Ok(pid));
    }

    /// After the hand-over: whether anybody is left, and whether they have had their time.
    pub(super) fn look_who_is_left(&mut self, now: Instant) {
        let Life::Leaving { until, look_at } = &mut self.life else { return };
        if *look_at > now && until.is_none_or(|until| until > now) {
            return;
        }
        *look_at = now + LEAVE_LOOK;
        if self.running.is_deserted() {
            tracing::info!(event = "upgrade_finished", "the last session has ended");
            self.life = Life::Over;
        } else if until.is_some_and(|until| until <= now) {
            self.drain();
        }
    }

    /// The gate ends by itself: nobody is to take over.
    pub(super) fn disinherit(&mut self) {
        if matches!(self.life, Life::Serving)
            && let Some(mut heir) = self.succession.heir.take()
        {
            heir.end();
            self.refuse_upgrade("this gate was told to end meanwhile".to_string());
        }
    }
}

/// Tags of former gates that are kept from the next one's draw: many more than live at once.
const TAGS_MAX: usize = 64;

/// After the hand-over: so long at least for the last answers, and between two looks at who is left.
const LEAVE_MIN: Duration = Duration::from_millis(500);
const LEAVE_LOOK: Duration = Duration::from_millis(50);
