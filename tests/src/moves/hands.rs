//! The hands: a steward's deeds, statement by statement, on the model of a server.
//!
//! Invariant: a deed that is given up leaves the statement that is under way behind; a frozen server runs it when it thaws,
//! unless a later work has ended the connection. What a statement does is what MySQL does; in which order they come is what
//! `control/src/tablet/hands` does.

use super::clock::Ms;
use super::plan::Mutation;
use super::server::Channel;
use super::tablet::Doing;
use super::world::{Node, World, index, name, uuid};
use std::time::Duration;
use weir_control::client::ClientError;
use weir_control::config::tablet::SemiSyncWish;
use weir_control::monitor::facts::Receiver;
use weir_control::tablet::hands::replication::Role;
use weir_control::tablet::hands::view::{Channel as Shown, OwnGroup, SemiSync};
use weir_control::tablet::hands::{Obstacle, View, peer};
use weir_control::tablet::steward::APPLY_WAIT;
use weir_control::tablet::steward::verdict::Deed;
use weir_net::gtid::GtidSet;

/// A deed under way.
#[derive(Clone)]
pub struct Work {
    pub tablet: usize,
    pub life: u64,
    /// Its number; those of one tablet grow.
    pub number: u64,
    pub deed: Deed,
}

type Result<T> = std::result::Result<T, Obstacle>;
/// What one statement does to the server.
type Act = Box<dyn FnOnce(&mut World) -> Result<()>>;

impl World {
    pub fn view(&self, at: usize) -> View {
        let server = &self.servers[at];
        let is_read_only = server.is_read_only;
        let channels = server.channel.iter().map(|channel| Shown {
            name: String::new(),
            host: format!("db{}", channel.source),
            port: 3306,
            source_uuid: uuid(channel.source),
            receiver: channel.receiver(),
            applier_runs: channel.sql,
            received: channel.received.clone(),
            last_error: channel.error.clone(),
            is_purged: !channel.error.is_empty(),
        });
        View {
            uuid: uuid(at),
            read_only: is_read_only,
            super_read_only: is_read_only && !server.is_setting,
            is_persisted: server.is_persisted,
            executed: server.executed.clone(),
            channels: channels.collect(),
            semi_sync: SemiSync { source: Some(server.semi_source), replica: Some(server.semi_replica) },
            group: OwnGroup::No,
            missing: Vec::new(),
        }
    }

    pub fn wish(&self) -> SemiSyncWish {
        if self.plan.semi_sync { SemiSyncWish::On } else { SemiSyncWish::Keep }
    }

    pub fn carry_out(&mut self, work: Work) {
        let at = work.tablet;
        let end: Act = Box::new(|_| Ok(()));
        match work.deed.clone() {
            Deed::Fence { .. } => self.fence(work),
            Deed::Persist => {
                let act: Act = Box::new(move |w| {
                    w.servers[at].is_persisted = true;
                    Ok(())
                });
                self.statements(work, vec![act]);
            }
            Deed::StopReceiving => {
                let act: Act = Box::new(move |w| {
                    if let Some(channel) = &mut w.servers[at].channel {
                        channel.stop_io();
                    }
                    Ok(())
                });
                self.statements(work, vec![end, act]);
            }
            Deed::Receive => {
                let act: Act = Box::new(move |w| {
                    w.servers[at].channel.iter_mut().for_each(Channel::start);
                    Ok(())
                });
                self.statements(work, vec![act]);
            }
            Deed::Apply => {
                let act: Act = Box::new(move |w| {
                    w.servers[at].channel.iter_mut().for_each(|channel| channel.sql = true);
                    Ok(())
                });
                self.statements(work, vec![act, end]);
            }
            Deed::Lead => self.lead(work),
            Deed::Elect => unreachable!("there is no group here"),
            Deed::Follow(source) => self.follow(work, index(&source.name)),
            Deed::Compare(source) => {
                let of = index(&source.name);
                let act: Act = Box::new(move |w| {
                    let executed = w.primary_executed(at, of)?;
                    let extra = peer::extra(&w.servers[at].executed, &executed);
                    if extra.is_empty() { Ok(()) } else { Err(Obstacle::Diverged(extra)) }
                });
                self.statements(work, vec![act]);
            }
        }
    }

    /// One after the other; the tablet hears of the last one, and of the first that fails.
    fn statements(&mut self, work: Work, mut acts: Vec<Act>) {
        let at = work.tablet;
        let is_apply = matches!(work.deed, Deed::Apply);
        if acts.is_empty() && is_apply && !self.has_applied(at) && self.now < self.tablets[at].began + wait_ms() {
            // WAIT_FOR_EXECUTED_GTID_SET.
            return self.after(5, move |w| w.go_on(work, acts));
        }
        if acts.is_empty() {
            return self.finish(&work, Ok(()));
        }
        let act = acts.remove(0);
        let pause = self.random.between(1, 5);
        self.after(pause, move |w| {
            if !w.servers[at].is_up() {
                return w.after(1, move |w| w.finish(&work, Err(refused())));
            }
            w.on_server(at, move |w| {
                let outcome = match work.number > w.servers[at].ended_works {
                    true => act(w),
                    false => Err(ClientError::Closed.into()),
                };
                match outcome {
                    Ok(()) => w.after(1, move |w| w.go_on(work, acts)),
                    Err(obstacle) => w.after(1, move |w| w.finish(&work, Err(obstacle))),
                }
            });
        });
    }

    /// Unless the deed was given up.
    fn go_on(&mut self, work: Work, acts: Vec<Act>) {
        if self.is_at(&work) {
            self.statements(work, acts);
        }
    }

    pub fn is_at(&self, work: &Work) -> bool {
        let tablet = &self.tablets[work.tablet];
        tablet.life == work.life && matches!(&tablet.doing, Doing::Work(number) if *number == work.number)
    }

    fn has_applied(&self, at: usize) -> bool {
        self.view(at).backlog().is_empty()
    }

    /// Works up to this one end: their connections are killed.
    fn end_older(&mut self, at: usize, number: u64) {
        let server = &mut self.servers[at];
        server.ended_works = server.ended_works.max(number);
        server.is_setting = false;
    }

    /// For a look that is unsure.
    pub fn end_works(&mut self, at: usize) {
        let number = self.tablets[at].works;
        self.end_older(at, number);
    }

    fn fence(&mut self, work: Work) {
        let at = work.tablet;
        let record = self.tablets[at].guard.record().cloned();
        let Some(record) = record else { return };
        let tablet = &self.tablets[at];
        let limit = tablet.mind.fence_limit(tablet.clock.shows(self.now), &record, &tablet.lease);
        if self.makes(Mutation::FenceSkipped) {
            return self.after(3, move |w| w.finish(&work, Ok(())));
        }
        let limit = limit.as_millis() as Ms;
        let kills = self.plan.fence_kill && tablet.knows_process;
        let asked = if kills { limit / 2 } else { limit };
        let late = work.clone();
        self.after(asked, move |w| w.fence_late(&late, kills));
        self.ask_fence(work);
    }

    /// By statement: tried until it is so.
    fn ask_fence(&mut self, work: Work) {
        let at = work.tablet;
        if !self.is_at(&work) {
            return;
        }
        let pause = self.random.between(2, 6);
        self.after(pause, move |w| {
            if !w.servers[at].is_up() {
                return w.after(1, move |w| w.finish(&work, Err(refused())));
            }
            w.on_server(at, move |w| {
                if !w.is_at(&work) {
                    return;
                }
                w.end_older(at, work.number - 1);
                w.servers[at].cuts += 1;
                if w.servers[at].waiting.is_empty() {
                    w.servers[at].is_read_only = true;
                    return w.after(2, move |w| w.finish(&work, Ok(())));
                }
                // Commits wait, and nothing new begins.
                w.servers[at].is_setting = true;
                w.after(50, move |w| w.on_server(at, move |w| w.end_fence(work)));
            });
        });
    }

    fn end_fence(&mut self, work: Work) {
        let at = work.tablet;
        // Who is gone has no connection: nothing waits any more.
        let is_held = self.is_at(&work) && self.servers[at].is_setting;
        self.servers[at].is_setting = false;
        if is_held {
            self.servers[at].cuts += 1;
            self.let_commits_go(at);
            self.servers[at].is_read_only = true;
            self.after(2, move |w| w.finish(&work, Ok(())));
        }
    }

    fn fence_late(&mut self, work: &Work, kills: bool) {
        let at = work.tablet;
        if !self.is_at(work) {
            return;
        }
        if !kills {
            return self.finish(work, Err(Obstacle::NotYet("it was not read-only in time".to_string())));
        }
        if self.servers[at].is_up() {
            self.log(|| format!("{} kills its server", name(at)));
            self.kill_server(at);
            let rest = self.random.between(500, 3_000);
            // Whoever watches over services starts it again.
            self.after(rest, move |w| w.start_server(at));
        }
        let work = work.clone();
        self.after(2, move |w| w.finish(&work, Ok(())));
    }

    fn lead(&mut self, work: Work) {
        let at = work.tablet;
        let tablet = &self.tablets[at];
        let now = tablet.clock.shows(self.now);
        let Some(record) = tablet.guard.record().cloned() else { return };
        let until = tablet.clock.when(tablet.mind.fence_at(now, &record, &tablet.lease));
        let wish = self.wish();
        let epoch = record.epoch.number();
        let stop: Act = Box::new(move |w| {
            let view = w.view(at);
            match () {
                () if view.is_receiving() => Err(Obstacle::NotYet("it still receives".to_string())),
                () if !view.backlog().is_empty() => {
                    Err(Obstacle::NotYet("received transactions are not executed".to_string()))
                }
                () => {
                    w.servers[at].channel.iter_mut().for_each(|channel| channel.sql = false);
                    Ok(())
                }
            }
        });
        let reset: Act = Box::new(move |w| {
            if !w.has_applied(at) {
                return Err(Obstacle::NotYet("received transactions are not executed".to_string()));
            }
            w.servers[at].channel = None;
            Ok(())
        });
        let semi_sync: Act = Box::new(move |w| {
            w.set_semi_sync(at, SemiSync::wanted(wish, Role::Source));
            Ok(())
        });
        let open: Act = Box::new(move |w| {
            if w.now >= until {
                return Err(Obstacle::NotYet("its lease ended meanwhile".to_string()));
            }
            w.log(|| format!("{} is writable by epoch {epoch}", name(at)));
            w.servers[at].is_read_only = false;
            w.servers[at].reign = epoch;
            let executed = w.servers[at].executed.clone();
            w.oracle.check_open(&executed, at, epoch);
            w.shown(at);
            Ok(())
        });
        self.statements(work, vec![stop, reset, semi_sync, open]);
    }

    fn set_semi_sync(&mut self, at: usize, wanted: SemiSync) {
        let server = &mut self.servers[at];
        server.semi_source = wanted.source.unwrap_or(server.semi_source);
        server.semi_replica = wanted.replica.unwrap_or(server.semi_replica);
        if !server.semi_source {
            self.let_commits_go(at);
        }
    }

    fn follow(&mut self, work: Work, of: usize) {
        let at = work.tablet;
        let wish = self.wish();
        let follows = self.servers[at].channel.as_ref().is_some_and(|channel| channel.source == of);
        let mut acts: Vec<Act> = Vec::new();
        if !follows {
            acts.push(Box::new(move |w| {
                if let Some(channel) = &mut w.servers[at].channel {
                    channel.stop_io();
                    channel.sql = false;
                }
                Ok(())
            }));
            acts.push(Box::new(move |w| {
                let executed = w.primary_executed(at, of)?;
                let extra = peer::extra(&w.servers[at].executed, &executed);
                if extra.is_empty() { Ok(()) } else { Err(Obstacle::Diverged(extra)) }
            }));
            // The relay log goes with the old source.
            acts.push(Box::new(move |w| {
                w.servers[at].channel = Some(Channel::new(of));
                Ok(())
            }));
        }
        acts.push(Box::new(move |w| {
            let before = w.servers[at].semi_replica;
            w.set_semi_sync(at, SemiSync::wanted(wish, Role::Replica));
            let is_new = before != w.servers[at].semi_replica;
            if let Some(channel) = w.servers[at].channel.as_mut().filter(|channel| is_new && channel.io) {
                channel.stop_io();
            }
            Ok(())
        }));
        acts.push(Box::new(move |w| {
            w.servers[at].channel.iter_mut().for_each(Channel::start);
            Ok(())
        }));
        self.statements(work, acts);
    }

    /// What the primary has, asked over the way of replication.
    fn primary_executed(&self, at: usize, of: usize) -> Result<GtidSet> {
        let source = &self.servers[of];
        if self.is_cut(Node::Server(at), Node::Server(of)) || !source.runs() {
            return Err(Obstacle::NotYet("it cannot be asked what it has executed".to_string()));
        }
        match source.is_read_only {
            true => Err(Obstacle::NotYet("it is not writable yet".to_string())),
            false => Ok(source.executed.clone()),
        }
    }

    /// For the mutation: what the server shows though it is not so.
    pub fn lie(&self, mut view: View) -> View {
        if self.makes(Mutation::ReceiversRun) {
            view.channels.iter_mut().for_each(|channel| channel.receiver = Receiver::Stopped);
        }
        view
    }
}

pub fn refused() -> Obstacle {
    ClientError::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)).into()
}

pub fn too_late() -> Obstacle {
    ClientError::from(std::io::Error::from(std::io::ErrorKind::TimedOut)).into()
}

fn wait_ms() -> Ms {
    let wait: Duration = APPLY_WAIT;
    wait.as_millis() as Ms
}
