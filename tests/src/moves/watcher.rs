//! A watcher: looks at the server, and the stream of its executed set. The memory and the facts are the real ones.

use super::clock::Ms;
use super::tablet::TIMEOUT;
use super::world::{World, uuid};
use std::sync::Arc;
use weir_control::client::ClientError;
use weir_control::monitor::facts::Channel;
use weir_control::monitor::memory::{Order, Seen};
use weir_control::monitor::vitals::{SemiSync, Vitals};
use weir_control::monitor::{Facts, Fault, Sight};
use weir_net::gtid::GtidSet;

impl World {
    /// The watcher: looks again and again.
    pub fn watch(&mut self, at: usize) {
        self.look(at);
        self.soon(at, LOOK_MS, move |w| w.watch(at));
    }

    pub fn look(&mut self, at: usize) {
        self.tablets[at].looks += 1;
        let (looks, life) = (self.tablets[at].looks, self.tablets[at].life);
        if !self.servers[at].is_up() {
            let error = ClientError::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
            return self.soon(at, 1, move |w| w.looked(at, Err(Fault::of(error))));
        }
        if self.servers[at].frozen > 0 {
            let error = ClientError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
            return self.soon(at, TIMEOUT.as_millis() as Ms, move |w| {
                // Only if nothing was seen meanwhile.
                if w.servers[at].frozen > 0 && w.tablets[at].looks >= looks {
                    w.looked(at, Err(Fault::of(error)));
                }
            });
        }
        let pause = self.random.between(1, 3);
        self.after(pause, move |w| {
            w.on_server(at, move |w| {
                if w.tablets[at].life == life {
                    let facts = w.facts(at);
                    w.soon(at, 1, move |w| w.looked(at, Ok(facts)));
                }
            });
        });
    }

    fn facts(&mut self, at: usize) -> Box<Facts> {
        let view = self.view(at);
        let view = if self.tablets[at].guard.record().is_some_and(|record| record.former().is_some()) {
            self.lie(view)
        } else {
            view
        };
        if self.now >= self.tablets[at].vitals_at + 1_000 || self.tablets[at].vitals_at == 0 {
            let semi_sync = SemiSync {
                source_on: self.servers[at].semi_source,
                replica_on: self.servers[at].semi_replica,
                clients: self.semi_sync_clients(at),
            };
            let disk_full = self.says_disk_full(at);
            self.tablets[at].vitals = Vitals { semi_sync, disk_full, ..Vitals::default() };
            self.tablets[at].vitals_at = self.now.max(1);
        }
        let channel = |shown: weir_control::tablet::hands::view::Channel| Channel {
            name: shown.name,
            source_uuid: shown.source_uuid,
            receiver: shown.receiver,
            applier_runs: shown.applier_runs,
            received: shown.received,
            seconds_behind: Some(0),
            last_error: shown.last_error,
        };
        Box::new(Facts {
            version: "9.7.4".to_string(),
            version_number: 90_704,
            charset: 255,
            native_password: false,
            read_only: view.read_only,
            server_uuid: uuid(at),
            executed: Arc::new(view.executed),
            channels: Ok(view.channels.into_iter().map(channel).collect()),
            group: None,
            applying_ms: None,
            received_ms: None,
            vitals: self.tablets[at].vitals.clone(),
            standing: weir_control::monitor::Standing::Serving,
            lost: 0,
            restarts: 0,
        })
    }

    fn looked(&mut self, at: usize, outcome: Result<Box<Facts>, Fault>) {
        let tablet = &mut self.tablets[at];
        let outcome = outcome.map(|mut facts| {
            let executed = facts.executed.clone();
            let seen = Seen { uuid: &facts.server_uuid, started_ms: Some(0), connection: 8, executed };
            (facts.standing, facts.executed) = tablet.memory.handle_look(seen, Order::BesideStream);
            facts
        });
        if tablet.word.handle(Sight::Look { backend: at, outcome }) {
            self.changed(at);
        }
    }

    /// The server's executed set has grown: the watcher's stream tells it.
    pub fn shown(&mut self, at: usize) {
        if std::mem::replace(&mut self.tablets[at].is_streaming, true) {
            return;
        }
        let pause = self.random.between(2, 15);
        self.after(pause, move |w| {
            w.tablets[at].is_streaming = false;
            let life = w.tablets[at].life;
            if !w.servers[at].is_up() {
                return;
            }
            w.on_server(at, move |w| {
                let executed: Arc<GtidSet> = Arc::new(w.servers[at].executed.clone());
                w.on_tablet(at, life, move |w| {
                    w.tablets[at].memory.handle_executed(&executed);
                    if w.tablets[at].word.handle(Sight::Executed { backend: at, executed }) {
                        w.changed(at);
                    }
                });
            });
        });
    }
}

/// Between two looks of the watcher.
const LOOK_MS: Ms = 250;
