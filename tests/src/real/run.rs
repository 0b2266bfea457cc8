//! The run: one session's steps on one target, and the trace of what came back.
//!
//! Invariant: a trace has one event per step, also when the target fails; nothing here waits without a limit.
//! It doesn't know what it talks to: MySQL and the gate get the same bytes, but for the values of `${id}`.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;

use weir_net::command::{ChangeUser, Command as Byte};
use weir_net::flags::Capabilities;
use weir_net::writer::Put;

use super::bind;
use super::noise::Noise;
use super::place::Admin;
use super::reply::{self, Kind, Reply};
use super::script::{Command, Session, Step, Who};
use super::text::{self, Context};
use super::wire::{Account, Address, Admission, Wire, is_late};

/// What one step brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Sent; the reply is read by a later step, or there is none.
    Sent,
    Reply(Reply),
    /// The payload of the OK packet that ended a login.
    LoggedIn(Vec<u8>, Capabilities),
    /// The payload of an ERR packet that ended a login.
    Refused(Vec<u8>),
    /// The other end closed the connection.
    Closed,
    /// Nothing came in time.
    Late,
    /// The other end broke the protocol, or the network did.
    Broken(String),
    /// The step needs a connection or statement that an earlier step failed to make.
    Impossible(String),
}

#[derive(Debug, Clone)]
pub struct Event {
    pub line: usize,
    pub label: String,
    pub is_shape: bool,
    pub source: String,
    pub outcome: Outcome,
}

pub type Trace = Vec<Event>;

/// The tested session's surroundings.
pub struct Stage<'a> {
    pub address: &'a Address,
    /// How connections log in unless the script says otherwise.
    pub account: Account,
    pub database: &'a str,
    /// How long connections wait for a reply, if not as long as any.
    pub patience: Option<Duration>,
    /// Who else is there, if anybody.
    pub noise: Option<&'a mut Noise>,
    /// Lets the replicas catch up whenever another connection speaks.
    pub admin: Option<&'a mut Admin>,
    /// Waits until the user locks of who has left are gone: a server lets go of them after it has closed the connection.
    pub locksmith: Option<&'a mut Admin>,
}

/// Runs all steps. Connections are made when they are first used.
pub fn run(session: &Session, stage: &mut Stage<'_>) -> Trace {
    let mut cast = Cast { connections: BTreeMap::new(), database: stage.database.to_owned() };
    let mut trace = Vec::new();
    let mut speaker = None;
    for step in &session.steps {
        if let Some(admin) = &mut stage.admin
            && speaker.replace(&step.label).is_some_and(|last| *last != step.label)
            && let Err(why) = admin.ensure_replicated()
        {
            trace.push(event(step, Outcome::Impossible(why)));
            continue;
        }
        if let Some(noise) = &mut stage.noise {
            noise.turn();
        }
        let is_new = !cast.connections.contains_key(&step.label);
        if is_new && !matches!(step.command, Command::Connect(_)) {
            let outcome = cast.connect(&step.label, stage, &Who::default());
            if !matches!(outcome, Outcome::LoggedIn(..)) {
                trace.push(event(step, outcome));
                continue;
            }
        }
        trace.push(event(step, cast.play(step, stage)));
        if let (Command::Quit | Command::Drop, Some(locksmith)) = (&step.command, &mut stage.locksmith) {
            locksmith.await_unlocked(&format!("{}_{}", stage.database, step.label));
        }
    }
    for mut connection in cast.connections.into_values().flatten() {
        // Politely, so that the server's end is over soon; it makes no difference if that fails.
        let _ = connection.wire.command(&[Byte::Quit.to_byte()]);
    }
    trace
}

fn event(step: &Step, outcome: Outcome) -> Event {
    let Step { line, label, is_shape, source, .. } = step;
    Event { line: *line, label: label.clone(), is_shape: *is_shape, source: source.clone(), outcome }
}

/// All connections of one session; `None` once one is gone.
struct Cast {
    connections: BTreeMap<String, Option<Connection>>,
    database: String,
}

struct Connection {
    wire: Wire,
    account: Account,
    statements: BTreeMap<String, (u32, u16)>,
    pending: VecDeque<Pending>,
    file: Option<Vec<u8>>,
}

/// A reply that hasn't been read.
struct Pending {
    kind: Kind,
    is_binary: bool,
    /// The statement that it prepares.
    prepares: Option<String>,
}

/// A command ready to be sent.
struct Order {
    payload: Vec<u8>,
    pending: Pending,
}

impl Cast {
    fn connect(&mut self, label: &str, stage: &Stage<'_>, who: &Who) -> Outcome {
        let account = match account(&stage.account, who, self) {
            Ok(account) => account,
            Err(why) => return Outcome::Impossible(why),
        };
        match Wire::open(stage.address, &account) {
            Ok(Admission::In(mut wire, payload)) => {
                if let Some(Err(error)) = stage.patience.map(|patience| wire.wait_at_most(patience)) {
                    return failure(&error);
                }
                let capabilities = wire.capabilities;
                let connection = Connection {
                    wire: *wire,
                    account,
                    statements: BTreeMap::new(),
                    pending: VecDeque::new(),
                    file: None,
                };
                self.connections.insert(label.to_owned(), Some(connection));
                Outcome::LoggedIn(payload, capabilities)
            }
            Ok(Admission::Refused(payload)) => {
                self.connections.insert(label.to_owned(), None);
                Outcome::Refused(payload)
            }
            Err(error) => {
                self.connections.insert(label.to_owned(), None);
                failure(&error)
            }
        }
    }

    fn play(&mut self, step: &Step, stage: &Stage<'_>) -> Outcome {
        if let Command::Connect(who) = &step.command {
            return self.connect(&step.label, stage, who);
        }
        // The speaker leaves the cast while it speaks, so that it can look up the others.
        let Some(Some(mut speaker)) = self.connections.insert(step.label.clone(), None) else {
            return Outcome::Impossible("the connection is gone".to_owned());
        };
        let outcome = self.speak(&mut speaker, step);
        let is_over = matches!(step.command, Command::Quit | Command::Drop)
            || matches!(outcome, Outcome::Closed | Outcome::Late | Outcome::Broken(_));
        if !is_over {
            self.connections.insert(step.label.clone(), Some(speaker));
        }
        outcome
    }

    fn speak(&self, speaker: &mut Connection, step: &Step) -> Outcome {
        match &step.command {
            Command::Drop => return Outcome::Sent,
            Command::Await => return speaker.read_one(),
            Command::File(file) => {
                let filled = text::fill(file, &Speaking { cast: self, wire: &speaker.wire });
                return match filled {
                    Ok(file) => {
                        speaker.file = Some(file);
                        Outcome::Sent
                    }
                    Err(why) => Outcome::Impossible(why),
                };
            }
            Command::ChangeUser(who) => return self.change_user(speaker, who),
            _ => {}
        }
        let order = match self.order(speaker, &step.command) {
            Ok(order) => order,
            Err(why) => return Outcome::Impossible(why),
        };
        if let Err(error) = speaker.wire.command(&order.payload) {
            return failure(&error);
        }
        if order.pending.kind == Kind::Nothing {
            return Outcome::Sent;
        }
        speaker.pending.push_back(order.pending);
        if step.is_sent_only { Outcome::Sent } else { speaker.read_one() }
    }

    fn order(&self, speaker: &Connection, command: &Command) -> Result<Order, String> {
        let context = Speaking { cast: self, wire: &speaker.wire };
        let fill = |text: &[u8]| text::fill(text, &context);
        let capabilities = speaker.wire.capabilities;
        let plain = |kind, byte: Byte, body: &[u8]| {
            let payload = [&[byte.to_byte()], body].concat();
            Order { payload, pending: Pending { kind, is_binary: false, prepares: None } }
        };
        let statement = |name: &String| {
            speaker.statements.get(name).copied().ok_or_else(|| format!("the statement {name} was not prepared"))
        };
        let about = |kind, byte, name: &String, rest: &[u8]| {
            let (id, _) = statement(name)?;
            let mut order = plain(kind, byte, &[&id.to_le_bytes(), rest].concat());
            order.pending.is_binary = true;
            Ok::<Order, String>(order)
        };
        Ok(match command {
            Command::Query(sql) => {
                let mut order = plain(Kind::Query, Byte::Query, &[]);
                order.payload = bind::query(&[], &fill(sql)?, capabilities);
                order
            }
            Command::With(params, sql) => {
                let mut order = plain(Kind::Query, Byte::Query, &[]);
                order.payload = bind::query(params, &fill(sql)?, capabilities);
                order
            }
            Command::Prepare(name, sql) => {
                let mut order = plain(Kind::Prepare, Byte::StmtPrepare, &fill(sql)?);
                order.pending.prepares = Some(name.clone());
                order
            }
            Command::Execute { name, is_cursor, keeps_types, params } => {
                let (id, _) = statement(name)?;
                let mut order = about(Kind::Query, Byte::StmtExecute, name, &[])?;
                order.payload = bind::execute(id, *is_cursor, *keeps_types, params, capabilities);
                order
            }
            Command::LongData { name, index, data } => {
                let body = [&index.to_le_bytes()[..], &fill(data)?].concat();
                about(Kind::Nothing, Byte::StmtSendLongData, name, &body)?
            }
            Command::Fetch(name, rows) => about(Kind::Fetch, Byte::StmtFetch, name, &rows.to_le_bytes())?,
            Command::ResetStatement(name) => about(Kind::Simple, Byte::StmtReset, name, &[])?,
            Command::Close(name) => about(Kind::Nothing, Byte::StmtClose, name, &[])?,
            Command::InitDb(name) => plain(Kind::Simple, Byte::InitDb, &fill(name)?),
            Command::FieldList { table, wildcard } => {
                let body = [&fill(table)?, &[0][..], wildcard].concat();
                plain(Kind::FieldList, Byte::FieldList, &body)
            }
            Command::Ping => plain(Kind::Simple, Byte::Ping, &[]),
            Command::Statistics => plain(Kind::Text, Byte::Statistics, &[]),
            Command::ResetConnection => plain(Kind::Simple, Byte::ResetConnection, &[]),
            Command::SetOption(option) => plain(Kind::Simple, Byte::SetOption, &option.to_le_bytes()),
            Command::ProcessKill(id) => {
                let id = String::from_utf8_lossy(&fill(id)?).trim().parse::<u32>().map_err(|_| "no thread id")?;
                plain(Kind::Simple, Byte::ProcessKill, &id.to_le_bytes())
            }
            Command::ProcessInfo => plain(Kind::Query, Byte::ProcessInfo, &[]),
            Command::Debug => plain(Kind::Simple, Byte::Debug, &[]),
            Command::Quit => plain(Kind::Nothing, Byte::Quit, &[]),
            Command::Raw(bytes) => {
                let mut order = plain(Kind::Simple, Byte::Ping, &[]);
                order.payload = bytes.clone();
                order
            }
            Command::Connect(_) | Command::Drop | Command::Await | Command::File(_) | Command::ChangeUser(_) => {
                return Err("not a command of the protocol".to_owned());
            }
        })
    }

    fn change_user(&self, speaker: &mut Connection, who: &Who) -> Outcome {
        let account = match account(&speaker.account, who, self) {
            Ok(account) => account,
            Err(why) => return Outcome::Impossible(why),
        };
        let wire = &mut speaker.wire;
        let mut auth = wire.auth(&account);
        let response = wire.first_response(&mut auth);
        let mut attributes = Vec::new();
        attributes.put_lenenc_bytes(b"program_name");
        attributes.put_lenenc_bytes(b"weir-tests");
        let request = ChangeUser {
            user: account.user.as_bytes(),
            auth: &response,
            schema: account.schema.as_deref().unwrap_or_default().as_bytes(),
            charset: u16::from(account.charset),
            plugin: Some(auth.plugin()),
            attributes: &attributes,
        };
        let mut payload = Vec::new();
        if let Err(malformed) = request.encode(&mut payload, wire.capabilities) {
            return Outcome::Impossible(malformed.0.to_owned());
        }
        let verdict = wire.command(&payload).and_then(|()| wire.authenticate(&mut auth));
        match verdict {
            Ok(payload) if payload.first() == Some(&0xff) => Outcome::Refused(payload),
            Ok(payload) => {
                speaker.statements.clear();
                speaker.account = account;
                Outcome::LoggedIn(payload, speaker.wire.capabilities)
            }
            Err(error) => failure(&error),
        }
    }
}

impl Connection {
    fn read_one(&mut self) -> Outcome {
        let Some(pending) = self.pending.pop_front() else {
            return Outcome::Impossible("no reply is due".to_owned());
        };
        match reply::read(&mut self.wire, pending.kind, pending.is_binary, self.file.as_deref()) {
            Ok(reply) => {
                if reply.all(reply::What::Infile).next().is_some() {
                    self.file = None;
                }
                if let (Some(name), Some(prepared)) = (pending.prepares, reply.prepared()) {
                    self.statements.insert(name, prepared);
                }
                Outcome::Reply(reply)
            }
            Err(error) => failure(&error),
        }
    }
}

/// The cast as the speaker's text sees it.
struct Speaking<'a> {
    cast: &'a Cast,
    wire: &'a Wire,
}

impl Context for Speaking<'_> {
    fn database(&self) -> &str {
        &self.cast.database
    }

    fn connection_id(&self, label: &str) -> Result<u32, String> {
        match label {
            "" => Ok(self.wire.connection_id),
            _ => self.cast.connection_id(label),
        }
    }
}

impl Context for Cast {
    fn database(&self) -> &str {
        &self.database
    }

    fn connection_id(&self, label: &str) -> Result<u32, String> {
        let connection = self.connections.get(label).and_then(Option::as_ref);
        connection.map(|connection| connection.wire.connection_id).ok_or_else(|| format!("{label} is not connected"))
    }
}

fn account(usual: &Account, who: &Who, context: &dyn Context) -> Result<Account, String> {
    let fill =
        |text: &String| text::fill(text.as_bytes(), context).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let mut account = usual.clone();
    if let Some(user) = &who.user {
        account.user = fill(user)?;
    }
    if let Some(password) = &who.password {
        account.password = fill(password)?;
    }
    if let Some(schema) = &who.schema {
        account.schema = Some(fill(schema)?).filter(|name| !name.is_empty());
    }
    account.charset = who.charset.unwrap_or(account.charset);
    account.capabilities = who.capabilities.apply(account.capabilities);
    Ok(account)
}

fn failure(error: &io::Error) -> Outcome {
    match error.kind() {
        _ if is_late(error) => Outcome::Late,
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Outcome::Closed,
        _ => Outcome::Broken(error.to_string()),
    }
}
