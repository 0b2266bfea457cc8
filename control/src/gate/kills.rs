//! Kills across gates (S30): for the cores that look for another gate's client, and for other gates that look for one of ours.
//!
//! ```text
//!   core: Kill ─► asked ─┬─ controllers: the leader passes it on ─┬─► Killed ─► core     after KILL_LIMIT: unknown
//!                        └─ peers: each is asked ─────────────────┘
//!   another gate ─► order ─► the core that gives such ids ─► its answer, by the road that the order came
//! ```
//! Invariant: each question of a core is answered exactly once, within a limit, and with "done" only when a gate said so. What
//! nobody answers is unknown, not unknown thread: the client may be there.

use crate::config::{Config, ControllersConfig};
use crate::controller::client::Controllers;
use crate::controller::client::attend::{Heard, Said, attend};
use crate::controller::limits::{KILL_LIMIT, KILLS_MAX, LETTERS_MAX};
use crate::controller::relay::weight;
use crate::grpc;
use crate::grpc::proto::GateHello;
use crate::grpc::tls::ClientTls;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use weir_core::mail::{Asker, Kill, KillOutcome, Mail};

/// Another gate's question, by its own call.
pub type Order = (Kill, oneshot::Sender<KillOutcome>);

pub struct Kills {
    /// How our clients' ids begin; the last one is that of new clients.
    tags: Vec<u8>,
    road: Road,
    asked: BTreeMap<u64, Asked>,
    orders: BTreeMap<u64, Ordered>,
    last: u64,
}

/// How the other gates are reached.
enum Road {
    /// They are not: nothing is known of any.
    None,
    Controllers {
        said: mpsc::Sender<Said>,
        heard: mpsc::Receiver<Heard>,
        /// Why there is no stream with the leader.
        cut: Option<String>,
    },
    Peers {
        /// gRPC: `host:port`.
        addresses: Vec<String>,
        tls: Option<ClientTls>,
        answers: JoinSet<(u64, KillOutcome)>,
    },
}

struct Asked {
    core: usize,
    /// The core's own.
    token: u64,
    tag: u8,
    until: Instant,
}

struct Ordered {
    by: By,
    tag: u8,
    until: Instant,
}

enum By {
    Controllers(u64),
    Peer(oneshot::Sender<KillOutcome>),
}

/// To a core.
type Letters = Vec<(usize, Mail)>;

impl Kills {
    /// `tag` and `life` are drawn.
    pub fn start(config: &Config, tls: Option<ClientTls>, tag: u8, life: u64, tasks: &mut JoinSet<()>) -> Kills {
        let road = match &config.controllers {
            Some(ControllersConfig { addresses, .. }) => {
                let (said, says) = mpsc::channel(LETTERS_MAX);
                let (hears, heard) = mpsc::channel(LETTERS_MAX);
                let name = config.listen.first().map(crate::config::address::show_listen).unwrap_or_default();
                let hello = GateHello { life, name, tags: vec![u32::from(tag)] };
                tasks.spawn(attend(Controllers::new(addresses, tls), hello, says, hears));
                Road::Controllers { said, heard, cut: Some("no controller was reached yet".to_string()) }
            }
            None if config.peers.is_empty() => Road::None,
            None => Road::Peers { addresses: config.peers.clone(), tls, answers: JoinSet::new() },
        };
        Kills::new(tag, road)
    }

    fn new(tag: u8, road: Road) -> Kills {
        Kills { tags: vec![tag], road, asked: BTreeMap::new(), orders: BTreeMap::new(), last: 0 }
    }

    /// Before the first client: the tag that no other gate has, as far as that can be learned soon.
    /// `former`: those of this gate's former processes, whose clients may still be there.
    pub async fn settle_tag(&mut self, former: &[u8]) -> u8 {
        match &mut self.road {
            Road::None => {}
            Road::Controllers { heard, cut, .. } => {
                let mut word = tokio::time::timeout(TAG_LIMIT, heard.recv()).await.ok().flatten();
                while let Some(heard_now) = word {
                    match heard_now {
                        Heard::Tag(tag) => (self.tags, *cut) = (vec![tag], None),
                        Heard::Lost(why) => *cut = Some(why),
                        // Of nobody: no client is here yet.
                        Heard::Kill { .. } | Heard::Killed { .. } => {}
                    }
                    word = heard.try_recv().ok();
                }
            }
            Road::Peers { addresses, tls, .. } => {
                let taken = tags_of(addresses, tls.as_ref()).await;
                let is_free = |tag: &u8| !taken.contains(tag) && !former.contains(tag);
                let free = (0..u8::MAX).map(|step| self.tag().wrapping_add(step).max(1)).find(is_free);
                self.tags = vec![free.unwrap_or(self.tag())];
            }
        }
        self.tag()
    }

    /// Of all clients that are here.
    pub fn tags(&self) -> &[u8] {
        &self.tags
    }

    /// Of new clients.
    pub fn tag(&self) -> u8 {
        self.tags.last().copied().unwrap_or_default()
    }

    /// A core has no client of this id.
    pub fn handle_kill(&mut self, now: Instant, core: usize, token: u64, kill: Kill) -> Letters {
        let tag = tag(&kill);
        let unknown = |why: &str| KillOutcome::Unknown(why.into());
        let is_full = self.asked.len() >= KILLS_MAX;
        let number = self.last + 1;
        let at_once = match &mut self.road {
            Road::None => Some(KillOutcome::NotOfAGate),
            _ if is_full => Some(unknown("too many kills are under way")),
            Road::Controllers { cut: Some(why), .. } => {
                Some(unknown(&format!("the controllers that know its gate are not reached ({why})")))
            }
            Road::Controllers { said, .. } => match said.try_send(Said::Kill { token: number, kill }) {
                Ok(()) => None,
                Err(_) => Some(unknown("the controller takes no words")),
            },
            Road::Peers { addresses, tls, answers } => {
                answers.spawn(ask_peers(addresses.clone(), tls.clone(), number, kill));
                None
            }
        };
        self.last = number;
        let asked = Asked { core, token, tag, until: now + KILL_LIMIT };
        match at_once {
            Some(outcome) => vec![self.tell(&asked, outcome)],
            None => {
                self.asked.insert(number, asked);
                Vec::new()
            }
        }
    }

    /// A core's word on another gate's question.
    pub fn handle_killed(&mut self, number: u64, outcome: KillOutcome) {
        let Some(Ordered { by, tag, .. }) = self.orders.remove(&number) else { return };
        let outcome = match outcome {
            KillOutcome::NoSuchThread if !self.tags.contains(&tag) => KillOutcome::NotOfAGate,
            outcome => outcome,
        };
        self.reply(by, outcome);
    }

    /// For ever while nobody says anything.
    pub async fn heard(&mut self) -> Heard {
        match &mut self.road {
            Road::None => std::future::pending().await,
            Road::Controllers { heard, .. } => match heard.recv().await {
                Some(heard) => heard,
                None => std::future::pending().await,
            },
            Road::Peers { answers, .. } => loop {
                match answers.join_next().await {
                    Some(Ok((token, outcome))) => return Heard::Killed { token, outcome },
                    // It panicked: its time limit answers.
                    Some(Err(_)) => {}
                    None => std::future::pending().await,
                }
            },
        }
    }

    pub fn handle_heard(&mut self, now: Instant, heard: Heard, cores: usize) -> Letters {
        match heard {
            Heard::Tag(tag) => {
                self.cut(None);
                if self.tag() == tag {
                    return Vec::new();
                }
                tracing::info!(event = "tag_given", tag, "connection ids of new clients begin with {tag}");
                self.tags.retain(|known| *known != tag);
                self.tags.push(tag);
                (0..cores).map(|core| (core, Mail::Tag(tag))).collect()
            }
            Heard::Kill { token, kill } => self.handle_order(now, By::Controllers(token), kill, cores),
            Heard::Killed { token, outcome } => {
                let asked = self.asked.remove(&token);
                asked.map(|asked| self.tell(&asked, outcome)).into_iter().collect()
            }
            Heard::Lost(why) => {
                let lost = KillOutcome::Unknown(format!("the controller was lost ({why})").into());
                self.cut(Some(why));
                let all = std::mem::take(&mut self.asked);
                all.into_values().map(|asked| self.tell(&asked, lost.clone())).collect()
            }
        }
    }

    /// By another gate's own call.
    pub fn handle_peer(&mut self, now: Instant, (kill, answer): Order, cores: usize) -> Letters {
        self.handle_order(now, By::Peer(answer), kill, cores)
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let asked = self.asked.values().map(|asked| asked.until);
        asked.chain(self.orders.values().map(|order| order.until)).min()
    }

    /// Gives up what has waited too long.
    pub fn handle_timeout(&mut self, now: Instant) -> Letters {
        for (_, order) in self.orders.extract_if(.., |_, order| order.until <= now).collect::<Vec<_>>() {
            self.reply(order.by, KillOutcome::Unknown("a core of its gate does not answer".into()));
        }
        let late: Vec<_> = self.asked.extract_if(.., |_, asked| asked.until <= now).collect();
        let silent = || KillOutcome::Unknown("its gate did not answer in time".into());
        late.into_iter().map(|(_, asked)| self.tell(&asked, silent())).collect()
    }

    fn handle_order(&mut self, now: Instant, by: By, kill: Kill, cores: usize) -> Letters {
        if self.orders.len() >= ORDERS_MAX {
            self.reply(by, KillOutcome::Unknown("too many kills are under way at its gate".into()));
            return Vec::new();
        }
        self.last += 1;
        let (token, core) = (self.last, (kill.connection_id & 0xff_ffff) as usize % cores.max(1));
        self.orders.insert(token, Ordered { by, tag: tag(&kill), until: now + KILL_LIMIT });
        vec![(core, Mail::Kill { from: Asker::Control, token, kill })]
    }

    fn reply(&mut self, by: By, outcome: KillOutcome) {
        // Who asked may have left, or has its own limit.
        match (by, &self.road) {
            (By::Controllers(token), Road::Controllers { said, .. }) => {
                let _ = said.try_send(Said::Killed { token, outcome });
            }
            (By::Controllers(_), _) => {}
            (By::Peer(answer), _) => drop(answer.send(outcome)),
        }
    }

    fn tell(&self, asked: &Asked, outcome: KillOutcome) -> (usize, Mail) {
        let outcome = match outcome {
            // Of one of our clients that is gone: a server's thread of the same number is not meant.
            KillOutcome::NotOfAGate if self.tags.contains(&asked.tag) => KillOutcome::NoSuchThread,
            outcome => outcome,
        };
        (asked.core, Mail::Killed { token: asked.token, outcome })
    }

    fn cut(&mut self, why: Option<String>) {
        if let Road::Controllers { cut, .. } = &mut self.road {
            *cut = why;
        }
    }
}

fn tag(kill: &Kill) -> u8 {
    (kill.connection_id >> 24) as u8
}

/// All of them at once; whoever has the client says so.
async fn ask_peers(addresses: Vec<String>, tls: Option<ClientTls>, number: u64, kill: Kill) -> (u64, KillOutcome) {
    let mut calls = JoinSet::new();
    for address in addresses {
        let (tls, kill) = (tls.clone(), kill.clone());
        calls.spawn(async move {
            let call = grpc::kill_at(&address, tls.as_ref(), kill);
            let late = || Err(format!("the gate at {address} does not answer"));
            tokio::time::timeout(PEER_LIMIT, call).await.unwrap_or_else(|_| late())
        });
    }
    let mut outcome = KillOutcome::NotOfAGate;
    while let Some(answer) = calls.join_next().await {
        let answer = answer.unwrap_or_else(|_| Err("a gate could not be asked".to_string()));
        let answer = answer.unwrap_or_else(|why| KillOutcome::Unknown(why.into()));
        if answer == KillOutcome::Done {
            return (number, answer);
        }
        if weight(&answer) > weight(&outcome) {
            outcome = answer;
        }
    }
    (number, outcome)
}

/// Of the peers that answer now.
async fn tags_of(addresses: &[String], tls: Option<&ClientTls>) -> Vec<u8> {
    let mut calls = JoinSet::new();
    for address in addresses {
        let (address, tls) = (address.clone(), tls.cloned());
        calls.spawn(async move { tokio::time::timeout(TAG_LIMIT, grpc::ask(&address, tls.as_ref())).await });
    }
    let mut tags = Vec::new();
    while let Some(answer) = calls.join_next().await {
        if let Ok(Ok(Ok(status))) = answer {
            tags.extend(u8::try_from(status.tag));
        }
    }
    tags
}

/// How long a start waits for a tag of its own: one of the drawn ones will do, and the controllers correct it later.
const TAG_LIMIT: Duration = Duration::from_millis(500);

/// A little less than the core's patience, so that its answer says which gate is silent.
const PEER_LIMIT: Duration = Duration::from_millis(2_500);

/// Other gates' questions under way: of a few gates that each have as many as they may.
const ORDERS_MAX: usize = 4 * KILLS_MAX;

#[cfg(test)]
mod tests;
