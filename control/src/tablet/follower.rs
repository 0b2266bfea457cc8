//! The follower: a gate's end of a tablet's stream, a source of the same sights as an agent of the gate's own.
//!
//! ```text
//!   connect ─► Watch ─► word ─► Found, Executed, Look        silent for SILENT, ended, refused ─► Stale ─► connect
//! ```
//! Invariant: a tablet that is gone changes nothing but what is known of the delay (S78, S66): its server keeps role and
//! executed set, which can only have grown, and is told of as stale until the next word.

use super::wire::Reader;
use super::word::Word;
use crate::config::address;
use crate::grpc::proto;
use crate::grpc::tls::{ClientTls, connect};
use crate::monitor::{Facts, Fault, Sight, Standing};
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::Streaming;

pub struct Follower {
    pub backend: usize,
    /// `host:port`, resolved at each attempt.
    pub tablet: String,
    pub sights: mpsc::Sender<Sight>,
    /// A tablet that says nothing for this long hangs or is cut off.
    pub silent: Duration,
    pub tls: Option<ClientTls>,
}

impl Follower {
    /// Ends when nobody wants sights any more.
    pub async fn run(self) {
        let mut pause = PAUSE_MIN;
        while !self.sights.is_closed() {
            let mut heard = false;
            let why = self.follow(&mut heard).await;
            tracing::debug!(event = "tablet_stream_ended", tablet = self.tablet, why);
            if self.sights.send(Sight::Stale { backend: self.backend }).await.is_err() {
                return;
            }
            pause = if heard { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
            tokio::time::sleep(pause).await;
        }
    }

    /// Follows one stream to its end; says why it ended.
    async fn follow(&self, heard: &mut bool) -> String {
        let mut words = match Words::open(&self.tablet, self.tls.as_ref(), self.silent).await {
            Ok(words) => words,
            Err(why) => return why,
        };
        let mut before = None;
        loop {
            let word = match words.next().await {
                Ok(word) => word,
                Err(why) => return why,
            };
            *heard = true;
            for sight in sights(self.backend, before.as_ref(), &word) {
                if self.sights.send(sight).await.is_err() {
                    return "nobody listens".to_string();
                }
            }
            before = Some(word);
        }
    }
}

/// One stream of a tablet's words.
pub struct Words {
    stream: Streaming<proto::TabletWord>,
    reader: Reader,
    silent: Duration,
}

impl Words {
    /// Err: why there is none. `silent`: see [`Follower::silent`].
    pub async fn open(tablet: &str, tls: Option<&ClientTls>, silent: Duration) -> Result<Words, String> {
        let channel = connect(tablet, tls, silent).await?;
        let mut client = proto::tablet_client::TabletClient::new(channel);
        match tokio::time::timeout(silent, client.watch(proto::TabletWatchRequest {})).await {
            Ok(Ok(response)) => Ok(Words { stream: response.into_inner(), reader: Reader::default(), silent }),
            Ok(Err(status)) => Err(status.message().to_string()),
            Err(_) => Err("it does not answer".to_string()),
        }
    }

    /// Err: why the stream has ended.
    pub async fn next(&mut self) -> Result<Word, String> {
        let word = match tokio::time::timeout(self.silent, self.stream.message()).await {
            Ok(Ok(Some(word))) => word,
            Ok(Ok(None)) => return Err("it ended the stream".to_string()),
            Ok(Err(status)) => return Err(status.message().to_string()),
            Err(_) => return Err(format!("no word for {} ms", self.silent.as_millis())),
        };
        self.reader.read(word).map_err(|unreadable| format!("it sent {}", unreadable.0))
    }
}

/// What a word says beyond the one before.
fn sights(backend: usize, before: Option<&Word>, word: &Word) -> Vec<Sight> {
    let mut sights = Vec::new();
    let is_new_address = before.is_none_or(|before| before.address != word.address);
    if is_new_address && let Ok(address) = address::backend(&word.address) {
        sights.push(Sight::Found { backend, address });
    }
    let has_same_facts = before.is_some_and(|before| match (&before.facts, &word.facts) {
        (Some(before), Some(now)) => std::sync::Arc::ptr_eq(before, now),
        _ => false,
    });
    match &word.facts {
        Some(_) if has_same_facts && before.is_some_and(|before| before.executed != word.executed) => {
            sights.push(Sight::Executed { backend, executed: word.executed.clone() });
        }
        Some(_) if has_same_facts => {}
        _ if word.standing == Standing::Connecting => {}
        Some(_) if address::backend(&word.address).is_err() => {
            let why = "its tablet does not know where gates reach the server".to_string();
            let advice = "start it with --advertise HOST:PORT, or set report_host".to_string();
            let fault = Fault { why, advice, is_lasting: true, standing: Standing::Refused };
            sights.push(Sight::Look { backend, outcome: Err(fault) });
        }
        Some(facts) => {
            let facts = Facts { executed: word.executed.clone(), ..(**facts).clone() };
            sights.push(Sight::Look { backend, outcome: Ok(Box::new(facts)) });
        }
        None => {
            let (why, advice) = (word.why.clone(), word.advice.clone());
            let fault = Fault { why, advice, is_lasting: word.is_lasting, standing: word.standing };
            sights.push(Sight::Look { backend, outcome: Err(fault) });
        }
    }
    sights
}

/// A tablet sends a word a second: three without are no chance.
pub const SILENT: Duration = Duration::from_millis(3_000);

/// Between attempts.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use weir_net::gtid::GtidSet;

    /// It takes connections and never says a word, as a stopped process does.
    #[test]
    fn a_tablet_that_hangs_is_stale() {
        let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let tablet = deaf.local_addr().unwrap().to_string();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (sender, mut sights) = mpsc::channel(4);
            let silent = Duration::from_millis(50);
            let following = tokio::spawn(Follower { backend: 7, tablet, sights: sender, silent, tls: None }.run());
            assert!(matches!(sights.recv().await, Some(Sight::Stale { backend: 7 })));
            following.abort();
        });
    }

    #[test]
    fn a_word_says_what_is_new_in_it() {
        let names = |before: Option<&Word>, word: &Word| {
            let name = |sight: &Sight| match sight {
                Sight::Found { .. } => "found",
                Sight::Executed { .. } => "executed",
                Sight::Look { outcome: Ok(_), .. } => "look",
                Sight::Look { outcome: Err(_), .. } => "fault",
                Sight::Stale { .. } | Sight::Replicas { .. } => "other",
            };
            sights(0, before, word).iter().map(name).collect::<Vec<_>>()
        };
        let connecting = Word::new("one", None);
        assert_eq!(names(None, &connecting), [""; 0]);
        let down = Word { standing: Standing::ServerStopped, ..connecting.clone() };
        assert_eq!(names(Some(&connecting), &down), ["fault"]);
        let facts = Facts { version: "9.7.4".to_string(), ..crate::monitor::facts::tests::facts() };
        // Nobody can be sent to a server that nobody can find.
        let lost = Word { standing: Standing::Serving, facts: Some(Arc::new(facts)), ..connecting.clone() };
        assert_eq!(names(None, &lost), ["fault"]);
        let up = Word { address: "127.0.0.1:3306".to_string(), ..lost };
        assert_eq!(names(None, &up), ["found", "look"]);
        assert_eq!(names(Some(&up), &up), [""; 0]);
        let executed = Arc::new(GtidSet::parse(b"3aecbfe0-e779-11f1-be4c-02fc00000001:1").unwrap());
        let further = Word { executed, ..up.clone() };
        assert_eq!(names(Some(&up), &further), ["executed"]);
    }
}
