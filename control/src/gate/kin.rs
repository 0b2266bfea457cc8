//! The kin: the other processes of this gate, while an upgrade's former ones finish their sessions.
//!
//! ```text
//!   the newest ──┬── former         each former one has one line, to the newest; at the next upgrade those lines go on to its heir
//!                └── one before it
//! ```
//! Invariant: who is asked is never who asks, so no question goes in a circle; each is answered once, within [`KIN_LIMIT`], and "done" only
//! when one said so. One that relays nothing (an older program) is not asked.

use super::upgrade::{Line, Patience, Word};
use crate::controller::relay::weight;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use weir_core::mail::{Kill, KillOutcome};

/// `A`: who wants to know what came of a kill.
pub struct Kin<A> {
    members: BTreeMap<u32, Member>,
    questions: BTreeMap<u64, Question<A>>,
    last_member: u32,
    last_question: u64,
    hears: mpsc::Sender<(u32, Option<Word>)>,
    heard: mpsc::Receiver<(u32, Option<Word>)>,
}

struct Member {
    line: Arc<AsyncFd<Line>>,
    relation: Relation,
    /// It answers questions.
    relays: bool,
    /// None: its line is another's to read now.
    reader: Option<AbortHandle>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Former,
    Heir,
}

struct Question<A> {
    asker: A,
    kill: Kill,
    /// Who has not answered.
    open: BTreeSet<u32>,
    /// The word that counts, so far.
    best: KillOutcome,
    until: Instant,
}

/// A question that is over.
pub type Answer<A> = (A, Kill, KillOutcome);

impl<A> Default for Kin<A> {
    fn default() -> Self {
        let (hears, heard) = mpsc::channel(WORDS_MAX);
        let (members, questions) = (BTreeMap::new(), BTreeMap::new());
        Kin { members, questions, last_member: 0, last_question: 0, hears, heard }
    }
}

impl<A> Kin<A> {
    /// From here on its words are heard.
    pub fn adopt(&mut self, line: Arc<AsyncFd<Line>>, relation: Relation, relays: bool) {
        self.last_member += 1;
        let reader = Some(listen(self.last_member, line.clone(), self.hears.clone()));
        self.members.insert(self.last_member, Member { line, relation, relays, reader });
    }

    /// The lines to former processes, for the next one.
    pub fn former_lines(&self) -> Vec<BorrowedFd<'_>> {
        let is_former = |member: &&Member| member.relation == Relation::Former && member.relays;
        self.members.values().filter(is_former).map(|member| member.line.get_ref().as_fd()).collect()
    }

    /// The heir reads what they say from now on. They need not come back: this process would first.
    pub fn part_with_formers(&mut self) {
        self.say_over();
        for member in self.members.values_mut().filter(|member| member.relation == Relation::Former) {
            member.reader.take().iter().for_each(AbortHandle::abort);
        }
    }

    /// The heir is gone.
    pub fn rejoin_formers(&mut self) {
        for (id, member) in self.members.iter_mut().filter(|(_, member)| member.reader.is_none()) {
            member.reader = Some(listen(*id, member.line.clone(), self.hears.clone()));
        }
    }

    /// This gate ends in order: nobody is to take up again what it leaves.
    pub fn say_over(&self) {
        for member in self.members.values().filter(|member| member.relation == Relation::Former) {
            // One that cannot hear it has ended.
            let _ = say(member, &Word::Over);
        }
    }

    pub fn relation(&self, member: u32) -> Option<Relation> {
        self.members.get(&member).map(|member| member.relation)
    }

    /// For ever while nobody says anything. None: its process has ended, or has gone on to say nothing.
    pub async fn heard(&mut self) -> (u32, Option<Word>) {
        match self.heard.recv().await {
            Some(heard) => heard,
            None => std::future::pending().await,
        }
    }

    /// Err: there is nobody to ask.
    pub fn ask(&mut self, now: Instant, kill: &Kill, asker: A, except: Option<u32>) -> Result<(), A> {
        self.last_question += 1;
        let token = self.last_question;
        let word = Word::Kill { token, kill: kill.clone() };
        let is_asked = |(id, member): &(&u32, &Member)| {
            member.relays && member.reader.is_some() && Some(**id) != except && say(member, &word)
        };
        let open: BTreeSet<u32> = self.members.iter().filter(is_asked).map(|(id, _)| *id).collect();
        if open.is_empty() {
            return Err(asker);
        }
        let question =
            Question { asker, kill: kill.clone(), open, best: KillOutcome::NotOfAGate, until: now + KIN_LIMIT };
        self.questions.insert(token, question);
        Ok(())
    }

    pub fn handle_killed(&mut self, from: u32, token: u64, outcome: KillOutcome) -> Option<Answer<A>> {
        let question = self.questions.get_mut(&token)?;
        if !question.open.remove(&from) {
            return None;
        }
        if weight(&outcome) > weight(&question.best) {
            question.best = outcome;
        }
        let is_over = question.open.is_empty() || question.best == KillOutcome::Done;
        let over = is_over.then(|| self.questions.remove(&token)).flatten();
        over.map(|question| (question.asker, question.kill, question.best))
    }

    /// Its process has ended, and its clients with it. What it was to us.
    pub fn handle_end(&mut self, from: u32) -> (Option<Relation>, Vec<Answer<A>>) {
        let relation = self.members.remove(&from).map(|member| member.relation);
        let asked: Vec<u64> = self.questions.keys().copied().collect();
        let nobody = |token| self.handle_killed(from, token, KillOutcome::NotOfAGate);
        (relation, asked.into_iter().filter_map(nobody).collect())
    }

    pub fn answer(&self, to: u32, token: u64, outcome: KillOutcome) {
        if let Some(member) = self.members.get(&to) {
            say(member, &Word::Killed { token, outcome });
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.questions.values().map(|question| question.until).min()
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Answer<A>> {
        let late = self.questions.extract_if(.., |_, question| question.until <= now);
        let silent = || KillOutcome::Unknown("another process of its gate does not answer".into());
        late.map(|(_, question)| (question.asker, question.kill, silent())).collect()
    }
}

/// False: it does not read, or has ended.
fn say(member: &Member, word: &Word) -> bool {
    member.line.get_ref().send(&word.encode(), &[]).is_ok()
}

fn listen(id: u32, line: Arc<AsyncFd<Line>>, hears: mpsc::Sender<(u32, Option<Word>)>) -> AbortHandle {
    let task = tokio::spawn(async move {
        loop {
            let Ok(mut ready) = line.readable().await else { break };
            match ready.get_inner().receive(Patience::None) {
                Ok(Some(message)) => {
                    // What is no word is of a newer version.
                    let Some(word) = Word::decode(&message.text) else { continue };
                    if hears.send((id, Some(word))).await.is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Ok(None) | Err(_) => break,
            }
        }
        // Whoever would hear it has ended, too.
        let _ = hears.send((id, None)).await;
    });
    task.abort_handle()
}

/// Words that wait for the control loop.
const WORDS_MAX: usize = 64;

/// On the same machine: less than what other gates have, so that there is time left for those.
const KIN_LIMIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Arc<AsyncFd<Line>>, Line) {
        let (ours, theirs) = Line::pair().unwrap();
        (Arc::new(ours.polled().unwrap()), Line::new(theirs))
    }

    fn kill() -> Kill {
        Kill { connection_id: 0x0900_0001, query_only: false, asker: None }
    }

    fn asked(line: &Line) -> Option<u64> {
        match Word::decode(&line.receive(Patience::None).ok()??.text)? {
            Word::Kill { token, .. } => Some(token),
            _ => None,
        }
    }

    #[tokio::test]
    async fn all_but_the_asker_are_asked_and_the_best_word_counts() {
        let mut kin = Kin::default();
        let now = Instant::now();
        assert_eq!(kin.ask(now, &kill(), "a", None), Err("a"), "nobody is there");
        let lines: Vec<Line> = (0..3)
            .map(|at| {
                let (ours, theirs) = pair();
                kin.adopt(ours, Relation::Former, at < 2);
                theirs
            })
            .collect();
        assert_eq!(kin.former_lines().len(), 2, "an older program's line stays here");
        kin.ask(now, &kill(), "b", None).unwrap();
        let token = asked(&lines[0]).unwrap();
        assert_eq!((asked(&lines[1]), asked(&lines[2])), (Some(token), None));
        assert_eq!(kin.handle_killed(1, token, KillOutcome::NoSuchThread), None);
        assert_eq!(kin.handle_killed(1, token, KillOutcome::Done), None, "it has answered");
        let (asker, _, outcome) = kin.handle_killed(2, token, KillOutcome::NotOfAGate).unwrap();
        assert_eq!((asker, outcome), ("b", KillOutcome::NoSuchThread));
        kin.ask(now, &kill(), "c", Some(1)).unwrap();
        assert!(asked(&lines[0]).is_none() && asked(&lines[1]).is_some());
        assert!(kin.handle_timeout(now).is_empty());
        let late = kin.handle_timeout(kin.poll_timeout().unwrap());
        assert!(matches!(late[..], [("c", _, KillOutcome::Unknown(_))]), "{late:?}");
        // One ends while it is asked.
        kin.ask(now, &kill(), "d", Some(1)).unwrap();
        let mut lines = lines.into_iter();
        let (first, second) = (lines.next().unwrap(), lines.next().unwrap());
        drop(second);
        assert_eq!(kin.heard().await, (2, None));
        let (relation, over) = kin.handle_end(2);
        assert!(relation == Some(Relation::Former) && matches!(over[..], [("d", _, KillOutcome::NotOfAGate)]));
        first.send(&Word::Over.encode(), &[]).unwrap();
        assert_eq!(kin.heard().await, (1, Some(Word::Over)));
    }

    #[tokio::test]
    async fn lines_that_went_on_to_an_heir_are_read_by_it() {
        let mut kin: Kin<()> = Kin::default();
        let (ours, former) = pair();
        kin.adopt(ours, Relation::Former, true);
        kin.part_with_formers();
        assert_eq!(Word::decode(&former.receive(Patience::None).unwrap().unwrap().text), Some(Word::Over));
        assert_eq!(kin.ask(Instant::now(), &kill(), (), None), Err(()));
        let word = Word::Kill { token: 4, kill: kill() };
        former.send(&word.encode(), &[]).unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(50), kin.heard()).await.is_err());
        kin.rejoin_formers();
        assert_eq!(kin.heard().await, (1, Some(word)));
    }
}
