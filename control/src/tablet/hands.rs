//! The hands: what a tablet does to its own server, with its admin account.
//!
//! Invariant: every work has a time limit, may be done again at any point, also after half of it was done, and says what it
//! found. A work that is given up leaves no statement behind that could make a server writable later: the one that does
//! so carries its own end ([`Hands::become_source`]), and a fence first cuts the connections of works that were given up.
//!
//! ```text
//!   Sight (a connection that stays) ─► View          what the server is, in one round trip
//!   fence, kill_process                              nobody may write
//!   stop_receiving, apply_received, become_source    a replica becomes the source
//!   elect                                            a group's primary is this one now
//!   follow                                           another one is its source now
//! ```
//! It decides nothing: that is the steward's. MySQL 8.0.26 and later, with GTIDs.

pub mod fitness;
pub mod view;

pub mod fence;
pub mod process;
pub mod sessions;

pub mod group;

pub mod peer;
pub mod replication;

pub use fence::Fenced;
pub use peer::Source;
pub use process::Identity;
pub use replication::Applied;
pub use view::{Look, View};

use super::tally::Tally;
use crate::client::{AsyncClient, ClientError, Options, Outcome, Reply, Rows};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use weir_core::snapshot::Address;
use weir_net::gtid::GtidSet;
use weir_net::secret::Secret;

#[derive(Clone)]
pub struct Hands {
    server: Address,
    /// The admin account.
    options: Options,
    /// Accounts whose agents a fence spares.
    own_users: Vec<String>,
    /// What replicas log in with.
    replication: Option<Account>,
    /// The server's process, as it was proven while the server was well. None: unknown, or on another machine.
    identity: Arc<Mutex<Option<Identity>>>,
    tally: Arc<Tally>,
}

#[derive(Clone, Debug)]
pub struct Account {
    pub user: String,
    pub password: Secret,
}

/// Why a work was not done.
#[derive(Debug)]
pub enum Obstacle {
    /// The server was not reached, was too slow, or refused.
    Client(ClientError),
    /// Not now: why.
    NotYet(String),
    /// Somebody must change something: what, and how.
    Needs(String),
    /// This server has executed what the primary has not.
    Diverged(GtidSet),
}

impl Hands {
    /// `options`: the admin account at the server. `watcher`: the account that looks at it.
    pub fn new(
        server: &Address,
        options: Options,
        watcher: &str,
        replication: Option<Account>,
        tally: &Arc<Tally>,
    ) -> Hands {
        let own_users = vec![options.user.clone(), watcher.to_string()];
        let (server, tally) = (server.clone(), tally.clone());
        Hands { server, options, own_users, replication, identity: Arc::default(), tally }
    }

    /// Where deeds are counted.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    pub fn can_replicate(&self) -> bool {
        self.replication.is_some()
    }

    pub fn identity(&self) -> Option<Identity> {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, identity: Option<Identity>) {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = identity;
    }

    /// A connection for one work.
    async fn connect(&self, program: &str) -> Result<AsyncClient, ClientError> {
        let mut client = AsyncClient::connect(&self.options.clone().attribute("program_name", program)).await?;
        // Quotes in our statements mean what they always mean, and no lock is waited for longer than a work lasts.
        ask(&mut client, "SET SESSION sql_mode='', lock_wait_timeout=60").await?;
        Ok(client)
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::Client(error) => error.fmt(f),
            Obstacle::NotYet(why) | Obstacle::Needs(why) => f.write_str(why),
            Obstacle::Diverged(extra) => write!(
                f,
                "it has executed {} transactions that the primary has not ({extra}): clone it anew from the primary, or, \
                 if they may be forgotten, run empty transactions with these GTIDs on the primary",
                extra.count()
            ),
        }
    }
}

impl From<ClientError> for Obstacle {
    fn from(error: ClientError) -> Obstacle {
        Obstacle::Client(error)
    }
}

/// A reply without an error in it.
async fn ask(client: &mut AsyncClient, sql: &str) -> Result<Reply, ClientError> {
    client.query(sql).await?.success()
}

/// The first cell of the first row of each result.
fn cells(reply: &Reply) -> Vec<String> {
    let first = |rows: &Rows| rows.rows.first().and_then(|row| row.first()).and_then(|value| value.as_text());
    let rows = reply.outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Rows(rows) => Some(rows),
        Outcome::Ok(_) | Outcome::Err(_) => None,
    });
    rows.map(|rows| first(rows).unwrap_or_default()).collect()
}

fn set(text: &str) -> Result<GtidSet, ClientError> {
    Ok(GtidSet::parse(text.as_bytes())?)
}

/// As a text in a statement; the sessions' `sql_mode` is empty.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Program names of our connections, as the server lists them.
pub const WATCHER: &str = "weir-tablet";
const LOOK: &str = "weir-steward-look";
const WORK: &str = "weir-steward";
const FENCE: &str = "weir-steward-fence";
