//! The succession: another process takes this gate's sockets over, and this one stays for those who are here.
//!
//! ```text
//!   Serving ── start ─► Serving, with an heir ─┬─ ready ─► Leaving ─┬─ nobody is here any more ─► Over
//!      ▲                                       └─ failed ─► Serving ├─ upgrade_drain_ms_max ─► Draining
//!      └─────────────────────────────────────────────────────────── └─ the heir dies
//! ```
//! Invariant: until the heir is ready this gate does all that it did, and afterwards it accepts nobody, unless the heir dies without a word:
//! then it does all of it again. Sockets of HTTP, gRPC and the admin port are closed meanwhile and bound anew; those of clients are kept
//! until the heir says that it ends, or is followed itself.

use super::{Control, Life};
use crate::gate::kills::KinNews;
use crate::gate::upgrade::{Heard, Heir, Program, Sockets};
use crate::gate::{admin_port, certificates, serve_grpc, serve_http};
use crate::notify;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// The next gate's process id, or why there is none.
pub type Upgraded = Result<u32, String>;

pub struct Succession {
    /// None: this gate is a part of another process.
    pub program: Option<Program>,
    /// HTTP, and who accepts there.
    pub admin: Option<(std::net::TcpListener, AbortHandle)>,
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
        admin: Option<(std::net::TcpListener, AbortHandle)>,
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
                // From here on it may accept beside us.
                self.running.share();
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
            kin: self.kills.former_lines(),
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
                // Whom the kernel has woken it for may still stand in a queue.
                self.running.serve_again();
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
        if let Some(heir) = &self.succession.heir {
            if let Err(error) = heir.give_way() {
                tracing::warn!(event = "heir_unheard", %error, "the process that takes over is not heard of any more");
            }
            let (line, relays) = heir.line();
            self.kills.give_way(line, relays);
            if !heir.holds_all(self.running.listeners()) {
                self.running.leave();
            }
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

    pub(super) fn handle_kin(&mut self, news: KinNews) {
        match news {
            KinNews::HeirEnded => self.take_up_again(),
            KinNews::HeirSettled if matches!(self.life, Life::Leaving { .. }) => self.running.leave(),
            KinNews::HeirSettled => {}
            KinNews::FormerEnded => tracing::info!(event = "former_ended", "a former process has ended"),
        }
    }

    /// The heir has died. While this gate is there and has the sockets, nobody is refused for long.
    fn take_up_again(&mut self) {
        if let Some(heir) = self.succession.heir.as_mut().filter(|_| matches!(self.life, Life::Leaving { .. })) {
            heir.end();
        } else {
            return;
        }
        self.succession.heir = None;
        if !self.running.serve_again() {
            tracing::warn!(event = "heir_ended", "the process that had taken over has ended; this one accepts nobody");
            return;
        }
        self.life = Life::Serving;
        self.kills.return_to_formers();
        if let Some(cluster) = &self.cluster {
            cluster.take_name_again(self.config.grpc_listen);
        }
        self.open_doors();
        notify::main_process(std::process::id());
        self.desk.set_ready(self.is_ready());
        let why = "the process that had taken over has ended without a word: this one serves again";
        tracing::error!(event = "upgrade_undone", "{why}; what the other one logged says why");
        self.events.note("upgrade_undone", "gate", why);
    }

    /// Those that were left to the heir: HTTP, gRPC, the admin port.
    fn open_doors(&mut self) {
        let listen = |address: SocketAddr| -> Result<TcpListener, String> {
            let listener = std::net::TcpListener::bind(address).map_err(|error| error.to_string())?;
            listener.set_nonblocking(true).map_err(|error| error.to_string())?;
            TcpListener::from_std(listener).map_err(|error| error.to_string())
        };
        let failed = |what: &str, why: String| tracing::error!(event = "listen_failed", "{what} is not served: {why}");
        if let Some(address) = self.config.admin_listen {
            match listen(address).and_then(|own| serve_http(own, &self.desk).map_err(|why| why.to_string())) {
                Ok(served) => self.succession.admin = Some(served),
                Err(why) => failed("admin_listen (HTTP)", why),
            }
        }
        if let Some(address) = self.config.grpc_listen {
            let served = certificates::grpc_tls(&self.config.grpc_tls).and_then(|(tls, _)| {
                let own = listen(address)?;
                serve_grpc(own, &self.config, tls.as_ref(), &self.desk).map_err(|why| why.to_string())
            });
            match served {
                Ok(served) => self.certificates.serve(served),
                Err(why) => failed("grpc_listen", why),
            }
        }
        let door = admin_port::door(&self.config, self.topology.keys(), self.desk.clone());
        self.succession.admin_sql = admin_port::open(&self.config, None, door);
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

/// After the hand-over: so long at least for the last answers and an heir that dies at once, and between two looks at who is left.
const LEAVE_MIN: Duration = Duration::from_secs(2);
const LEAVE_LOOK: Duration = Duration::from_millis(50);
