//! Kills across gates and across a gate's processes (S30): for the cores that look for another's client, and for others that look for one
//! of ours.
//!
//! ```text
//!   core: Kill ─► kin ─┬─ one has it: Killed ─► core
//!                      └─ none ─► asked ─┬─ controllers: the leader passes it on ─┬─► Killed ─► core     after KILL_LIMIT: unknown
//!                                        └─ peers: each is asked ─────────────────┘
//!   another gate, kin ─► order ─► the core that gives such ids ─┬─ its answer, by the road that the order came
//!                                                               └─ nobody here ─► the other kin ─► the same
//! ```
//! Invariant: each question of a core is answered exactly once, within a limit, and with "done" only when a gate said so. What
//! nobody answers is unknown, not unknown thread: the client may be there.

use super::kin::{Answer, Kin, Relation};
use super::upgrade::{Following, Line, Word};
use crate::config::{Config, ControllersConfig};
use crate::controller::client::Controllers;
use crate::controller::client::attend::{Heard, Said, attend};
use crate::controller::limits::{KILL_LIMIT, KILLS_MAX, LETTERS_MAX};
use crate::controller::relay::weight;
use crate::grpc;
use crate::grpc::proto::GateHello;
use crate::grpc::tls::ClientTls;
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use weir_core::mail::{self, Kill, KillOutcome, Mail};

/// Another gate's question, by its own call.
pub type Order = (Kill, oneshot::Sender<KillOutcome>);

pub struct Kills {
    /// How our clients' ids begin; the last one is that of new clients.
    tags: Vec<u8>,
    /// How those of former processes began, which may have ended.
    former: Vec<u8>,
    kin: Kin<Asker>,
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
    kill: Kill,
    until: Instant,
}

enum By {
    Controllers(u64),
    Peer(oneshot::Sender<KillOutcome>),
    /// A member, and its token.
    Kin(u32, u64),
}

/// For whom the kin are asked.
enum Asker {
    /// A core, under its own token.
    Core(usize, u64),
    Order(By),
}

/// What came, by whichever road.
pub enum News {
    Heard(Heard),
    Kin(u32, Option<Word>),
}

/// What the gate as a whole is told by its kin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KinNews {
    HeirEnded,
    FormerEnded,
    /// Whoever got our sockets has ended in order, or is followed itself.
    HeirSettled,
}

impl Road {
    /// For ever while nobody says anything.
    async fn heard(&mut self) -> Heard {
        match self {
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
        let (asked, orders) = (BTreeMap::new(), BTreeMap::new());
        Kills { tags: vec![tag], former: Vec::new(), kin: Kin::default(), road, asked, orders, last: 0 }
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

    /// Who is still there of the processes before this one, and how their ids begin.
    pub fn follow(&mut self, following: Following, tags: &[u8]) {
        self.former = tags.to_vec();
        for (line, relays) in following {
            self.kin.adopt(line, Relation::Former, relays);
        }
    }

    /// It has taken over: what the former processes say from now on, it hears.
    pub fn give_way(&mut self, line: Arc<AsyncFd<Line>>, relays: bool) {
        self.kin.part_with_formers();
        self.kin.adopt(line, Relation::Heir, relays);
    }

    /// The one that had taken over is gone.
    pub fn return_to_formers(&mut self) {
        self.kin.rejoin_formers();
    }

    /// This gate ends in order.
    pub fn say_over(&self) {
        self.kin.say_over();
    }

    pub fn former_lines(&self) -> Vec<BorrowedFd<'_>> {
        self.kin.former_lines()
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
        match self.kin.ask(now, &kill, Asker::Core(core, token), None) {
            Ok(()) => Vec::new(),
            Err(_) => self.ask_others(now, core, token, kill),
        }
    }

    /// Nor has another process of this gate.
    fn ask_others(&mut self, now: Instant, core: usize, token: u64, kill: Kill) -> Letters {
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

    /// A core's word on another's question.
    pub fn handle_killed(&mut self, now: Instant, number: u64, outcome: KillOutcome) {
        let Some(Ordered { by, kill, .. }) = self.orders.remove(&number) else { return };
        if outcome != KillOutcome::NoSuchThread {
            return self.reply(by, outcome);
        }
        let asker = if let By::Kin(member, _) = by { Some(member) } else { None };
        if let Err(Asker::Order(by)) = self.kin.ask(now, &kill, Asker::Order(by), asker) {
            self.reply(by, self.named(&kill, KillOutcome::NotOfAGate));
        }
    }

    /// For ever while nobody says anything.
    pub async fn heard(&mut self) -> News {
        tokio::select! {
            heard = self.road.heard() => News::Heard(heard),
            (member, word) = self.kin.heard() => News::Kin(member, word),
        }
    }

    pub fn handle_news(&mut self, now: Instant, news: News, cores: usize) -> (Letters, Option<KinNews>) {
        let (member, word) = match news {
            News::Heard(heard) => return (self.handle_heard(now, heard, cores), None),
            News::Kin(member, word) => (member, word),
        };
        match word {
            Some(Word::Kill { token, kill }) => (self.handle_order(now, By::Kin(member, token), kill, cores), None),
            Some(Word::Killed { token, outcome }) => {
                let over = self.kin.handle_killed(member, token, outcome);
                (self.handle_answers(now, over), None)
            }
            Some(Word::Over) => {
                let is_heirs = self.kin.relation(member) == Some(Relation::Heir);
                (Vec::new(), is_heirs.then_some(KinNews::HeirSettled))
            }
            None => {
                let (relation, over) = self.kin.handle_end(member);
                let news = relation.map(|relation| match relation {
                    Relation::Heir => KinNews::HeirEnded,
                    Relation::Former => KinNews::FormerEnded,
                });
                (self.handle_answers(now, over), news)
            }
        }
    }

    /// What the kin said, all of them.
    fn handle_answers(&mut self, now: Instant, answers: impl IntoIterator<Item = Answer<Asker>>) -> Letters {
        let mut letters = Vec::new();
        for (asker, kill, outcome) in answers {
            match asker {
                Asker::Core(core, token) if outcome == KillOutcome::NotOfAGate => {
                    letters.extend(self.ask_others(now, core, token, kill));
                }
                Asker::Core(core, token) => letters.push((core, Mail::Killed { token, outcome })),
                Asker::Order(by) => self.reply(by, self.named(&kill, outcome)),
            }
        }
        letters
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
        let asked = self.asked.values().map(|asked| asked.until).chain(self.kin.poll_timeout());
        asked.chain(self.orders.values().map(|order| order.until)).min()
    }

    /// Gives up what has waited too long.
    pub fn handle_timeout(&mut self, now: Instant) -> Letters {
        for (_, order) in self.orders.extract_if(.., |_, order| order.until <= now).collect::<Vec<_>>() {
            self.reply(order.by, KillOutcome::Unknown("a core of its gate does not answer".into()));
        }
        let unanswered = self.kin.handle_timeout(now);
        let mut letters = self.handle_answers(now, unanswered);
        let late: Vec<_> = self.asked.extract_if(.., |_, asked| asked.until <= now).collect();
        let silent = || KillOutcome::Unknown("its gate did not answer in time".into());
        letters.extend(late.into_iter().map(|(_, asked)| self.tell(&asked, silent())));
        letters
    }

    fn handle_order(&mut self, now: Instant, by: By, kill: Kill, cores: usize) -> Letters {
        if self.orders.len() >= ORDERS_MAX {
            self.reply(by, KillOutcome::Unknown("too many kills are under way at its gate".into()));
            return Vec::new();
        }
        self.last += 1;
        let (token, core) = (self.last, (kill.connection_id & 0xff_ffff) as usize % cores.max(1));
        self.orders.insert(token, Ordered { by, kill: kill.clone(), until: now + KILL_LIMIT });
        vec![(core, Mail::Kill { from: mail::Asker::Control, token, kill })]
    }

    fn reply(&mut self, by: By, outcome: KillOutcome) {
        // Who asked may have left, or has its own limit.
        match (by, &self.road) {
            (By::Controllers(token), Road::Controllers { said, .. }) => {
                let _ = said.try_send(Said::Killed { token, outcome });
            }
            (By::Controllers(_), _) => {}
            (By::Peer(answer), _) => drop(answer.send(outcome)),
            (By::Kin(member, token), _) => self.kin.answer(member, token, outcome),
        }
    }

    fn tell(&self, asked: &Asked, outcome: KillOutcome) -> (usize, Mail) {
        let outcome = match outcome {
            KillOutcome::NotOfAGate => self.unless_ours(asked.tag),
            outcome => outcome,
        };
        (asked.core, Mail::Killed { token: asked.token, outcome })
    }

    fn named(&self, kill: &Kill, outcome: KillOutcome) -> KillOutcome {
        if outcome == KillOutcome::NotOfAGate { self.unless_ours(tag(kill)) } else { outcome }
    }

    /// Of one of this gate's clients that is gone: a server's thread of the same number is not meant.
    fn unless_ours(&self, tag: u8) -> KillOutcome {
        let is_ours = self.tags.contains(&tag) || self.former.contains(&tag);
        if is_ours { KillOutcome::NoSuchThread } else { KillOutcome::NotOfAGate }
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
