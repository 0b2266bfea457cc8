//! Workers: ordinary clients that write, transfer, read, and expect to go on whatever happens to the primary.
//!
//! Invariant: a worker connects once, unless it renews its connection itself. An error that says that nothing ran, or that nobody knows, is written down as that and
//! the worker goes on; a lost connection, another error or a stale answer is wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use weir_control::client::request::{self, Cursor, Execute, Types};
use weir_control::client::{Client, ClientError, Options, Reply, Rows, ServerError};
use weir_net::command::Command;
use weir_net::scan::ReplyKind;

use super::Plan;
use super::books::{Books, Outcome};
use super::stage::{ACCOUNTS, CLOCK, SCHEMA, Stage};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Autocommit inserts into the ledger, and one of them moves the clock on.
    Writer,
    /// Transactions that move money, with a row in the ledger.
    Transfer,
    /// A statement that is prepared once.
    Prepared,
    /// Reads that must see every write acknowledged before them.
    Global,
}

const KINDS: [Kind; 4] = [Kind::Writer, Kind::Transfer, Kind::Prepared, Kind::Global];

pub fn start(stage: &Stage, plan: &Plan, books: &Arc<Books>, over: &Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
    let mut all = Vec::new();
    for (at, kind) in KINDS.into_iter().enumerate() {
        for number in 0..plan.workers {
            let id = (at * 100 + number) as u32;
            let (options, books, over) = (stage.client_options(), books.clone(), over.clone());
            let is_strict = stage.durability.is_strict();
            // Half of them, as a pool that renews its connections.
            let renews_after = plan.renews_after.filter(|_| number % 2 == 1);
            let think = plan.think;
            all.push(thread::spawn(move || {
                let open = || Worker::open(id, kind, &options, &books, is_strict);
                let outcome = open().and_then(|worker| worker.run(&over, think, (renews_after, &open)));
                if let Err(error) = outcome {
                    books.is_wrong(format!("{kind:?} {id} lost its connection: {error}"));
                }
            }));
        }
    }
    all
}

struct Worker<'a> {
    id: u32,
    kind: Kind,
    client: Client,
    books: &'a Books,
    /// The last entry of the ledger.
    number: u64,
    statement: u32,
    /// The highest version of the clock that it has seen.
    seen: u64,
    /// Nothing that was acknowledged may be lost.
    is_strict: bool,
}

/// After how many steps, if ever, and how.
type Renewal<'w, 'a> = (Option<u64>, &'w dyn Fn() -> Result<Worker<'a>, ClientError>);

impl<'a> Worker<'a> {
    fn open(
        id: u32,
        kind: Kind,
        options: &Options,
        books: &'a Books,
        is_strict: bool,
    ) -> Result<Worker<'a>, ClientError> {
        let mut client = Client::connect(options)?;
        // What a session has set must hold wherever its statements run.
        client.run("SET time_zone='+03:00'")?;
        let mut worker = Worker { id, kind, client, books, number: 0, statement: 0, seen: 0, is_strict };
        match kind {
            Kind::Prepared => {
                let text = format!("SELECT v, @@time_zone, DATABASE() FROM {SCHEMA}.clock WHERE id=1");
                let reply =
                    worker.client.command(Command::StmtPrepare, text.as_bytes(), ReplyKind::Prepare)?.success()?;
                worker.statement = reply.prepared.map_or(0, |prepared| prepared.ok.statement_id);
            }
            Kind::Global => drop(worker.client.run("SET read_after_write_consistency='GLOBAL'")?),
            // It lives on a connection, and is to live on when that one is lost.
            Kind::Transfer => drop(worker.client.run(format!("SET @worker={id}"))?),
            Kind::Writer => {}
        }
        Ok(worker)
    }

    fn run(
        mut self,
        over: &AtomicBool,
        think: Duration,
        (renews_after, open): Renewal<'_, 'a>,
    ) -> Result<(), ClientError> {
        let mut since = 0;
        while !over.load(Ordering::Relaxed) {
            since += 1;
            if renews_after.is_some_and(|steps| since > steps) {
                // What its former session has seen, a new one need not see.
                let number = self.number;
                self = Worker { number, ..open()? };
                since = 0;
            }
            match self.kind {
                Kind::Writer if self.id == 0 => self.tick()?,
                Kind::Writer => self.write()?,
                Kind::Transfer => self.transfer()?,
                Kind::Prepared => self.read_prepared()?,
                Kind::Global => self.read_globally()?,
            }
            thread::sleep(think);
        }
        Ok(())
    }

    fn count(&self) {
        self.books.done[self.kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn write(&mut self) -> Result<(), ClientError> {
        self.number += 1;
        let entry = (self.id, self.number);
        self.books.begin(entry);
        let begun = Instant::now();
        let reply =
            self.client.query(format!("INSERT INTO ledger (client, n) VALUES ({}, {})", self.id, self.number))?;
        match refusal(&reply) {
            None => {
                self.books.end(entry, Outcome::Acknowledged);
                self.books.wrote(begun);
                self.count();
            }
            Some(error) => {
                let outcome = self.judge(error, "a write");
                self.books.end(entry, outcome);
            }
        }
        Ok(())
    }

    /// Moves the clock on; an answer that nobody knows is found out before the next tick.
    fn tick(&mut self) -> Result<(), ClientError> {
        let version = self.number + 1;
        let begun = Instant::now();
        let reply = self.client.query(format!("UPDATE clock SET v={version} WHERE id=1"))?;
        match refusal(&reply) {
            None => {
                self.number = version;
                self.books.clock_is(version);
                self.books.wrote(begun);
                self.count();
            }
            Some(error) => {
                self.judge(error, "a tick");
                // Whether it ran or not: the next one is beyond it.
                self.number = version;
            }
        }
        Ok(())
    }

    fn transfer(&mut self) -> Result<(), ClientError> {
        self.number += 1;
        let entry = (self.id, self.number);
        let (from, to) = (self.number % ACCOUNTS, (self.number * 7 + u64::from(self.id)) % ACCOUNTS);
        let (low, high) = (from.min(to), from.max(to));
        if low == high {
            return Ok(());
        }
        self.books.begin(entry);
        let begun = Instant::now();
        let statements = [
            "BEGIN".to_owned(),
            // In one order: deadlocks are not what is looked for.
            format!("UPDATE accounts SET n=n-5 WHERE id={low}"),
            format!("UPDATE accounts SET n=n+5 WHERE id={high}"),
            format!("INSERT INTO ledger (client, n) VALUES ({}, {})", self.id, self.number),
            "COMMIT".to_owned(),
        ];
        for statement in statements {
            let reply = self.client.query(&statement)?;
            if let Some(error) = refusal(&reply) {
                let outcome = self.judge(error, "a transfer");
                self.books.end(entry, outcome);
                // Whatever is left of the transaction.
                let rolled_back = self.client.query("ROLLBACK")?;
                if let Some(error) = refusal(&rolled_back) {
                    self.judge(error, "a rollback");
                }
                return Ok(());
            }
        }
        self.books.end(entry, Outcome::Acknowledged);
        self.books.wrote(begun);
        self.count();
        if self.number.is_multiple_of(8) {
            self.check_user_variable()?;
        }
        Ok(())
    }

    fn check_user_variable(&mut self) -> Result<(), ClientError> {
        let reply = self.client.query("SELECT @worker")?;
        if let Some(error) = refusal(&reply) {
            self.judge(error, "a read of a user variable");
            return Ok(());
        }
        let texts = reply.rows().map(Rows::texts).unwrap_or_default();
        let value = texts.first().and_then(|row| row.first().cloned().flatten());
        if value != Some(self.id.to_string()) {
            self.books.is_wrong(format!("the user variable of {} is {value:?}", self.id));
        }
        Ok(())
    }

    fn read_prepared(&mut self) -> Result<(), ClientError> {
        let execute = Execute {
            statement_id: self.statement,
            params: &[],
            long_data: &[],
            types: Types::Send,
            cursor: Cursor::None,
        };
        self.client.send_payload(&request::execute(self.client.capabilities(), &execute))?;
        let reply = self.client.read_reply(ReplyKind::Execute, None)?;
        if let Some(error) = refusal(&reply) {
            self.judge(error, "a prepared read");
            return Ok(());
        }
        let texts = reply.rows().map(Rows::texts).unwrap_or_default();
        let cell = |at: usize| texts.first().and_then(|row| row.get(at).cloned().flatten()).unwrap_or_default();
        if cell(1) != "+03:00" || cell(2) != SCHEMA {
            self.books.is_wrong(format!("the session has time zone {} and schema {}", cell(1), cell(2)));
        }
        self.look(cell(0).parse().unwrap_or(0), 0, "a prepared read");
        Ok(())
    }

    fn read_globally(&mut self) -> Result<(), ClientError> {
        let least = self.books.clock();
        let reply = self.client.query(CLOCK)?;
        if let Some(error) = refusal(&reply) {
            self.judge(error, "a GLOBAL read");
            return Ok(());
        }
        let texts = reply.rows().map(Rows::texts).unwrap_or_default();
        let version = texts.first().and_then(|row| row.first().cloned().flatten()).and_then(|text| text.parse().ok());
        self.look(version.unwrap_or(0), least, "a GLOBAL read");
        Ok(())
    }

    /// What was read may not be older than what was acknowledged before (`least`), nor than what was seen.
    fn look(&mut self, version: u64, least: u64, what: &str) {
        if version < least && self.is_strict {
            self.books.is_wrong(format!("stale: {what} shows {version}, and {least} was acknowledged before"));
        }
        if version < self.seen && self.is_strict {
            self.books.is_wrong(format!("back: {what} of {} shows {version} after {}", self.id, self.seen));
        }
        self.seen = self.seen.max(version);
        self.count();
    }

    /// What an error says of whether the statement ran.
    fn judge(&self, error: &ServerError, what: &str) -> Outcome {
        let ServerError { code, message, .. } = error;
        self.books.error(&format!("{what}: {code} {message}"));
        match code {
            // The transaction is gone, and everybody knows it.
            1213 => Outcome::NotRun,
            2013 if message.contains("It committed as") => Outcome::Found,
            2013 if message.contains("Nothing of it is on the primary") => Outcome::NotRun,
            2013 if message.contains("unknown") => Outcome::Unknown,
            2013 if what.contains("read") || what == "a rollback" => Outcome::NotRun,
            // No primary within the window, or none that a connection can be made to.
            1290 | 1040 if self.books.may_windows_end() && message.contains("nothing was sent") => Outcome::NotRun,
            _ => {
                self.books.is_wrong(format!("{what} got an error that it should not have got: {code} {message}"));
                if message.contains("nothing was sent") { Outcome::NotRun } else { Outcome::Unknown }
            }
        }
    }
}

fn refusal(reply: &Reply) -> Option<&ServerError> {
    reply.error()
}
