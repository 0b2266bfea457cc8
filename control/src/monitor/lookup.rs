//! A look-up: what became of transactions whose connections are gone (S72).
//!
//! ```text
//!   the primary:  executed of the source − others = candidates        none ─► absent
//!                    └─ it is the source itself, or: among these ─► the source, when it can be reached:
//!   the source:   COM_BINLOG_DUMP_GTID of the candidates ─► thread id of each
//!                    ours there ─► committed     all seen, none ours ─► absent     else ─► unknown, and why
//! ```
//! What has survived is in the primary's executed set; who wrote it only in the source's own log, since a replica logs rows under a
//! thread id of its own (`weir_net::binlog`).
//! Invariant: "absent" is said only on the word of a primary that gets nothing from another any more, and when every candidate's
//! writer is known: whatever keeps some out (purged, compressed, too many) makes it unknown. A thread id that the source may have
//! given again since a restart proves nothing.

use crate::client::asynchronous::More;
use crate::client::{AsyncClient, ClientError, Options, Outcome, Reply, Rows, ServerError};
use std::time::Duration;
use weir_core::mail::Finding;
use weir_net::binlog::{Transactions, Writer, put_dump_gtid};
use weir_net::gtid::{GtidSet, Sid};

/// With what a server is asked.
#[derive(Clone)]
pub struct Accounts {
    /// Reads `@@gtid_executed`, `SHOW REPLICA STATUS` and `performance_schema.threads`.
    pub look: Options,
    /// Has `REPLICATION SLAVE`.
    pub dump: Options,
}

/// Of connections to one server.
#[derive(Clone, Debug)]
pub struct Question {
    pub source: [u8; 16],
    pub sought: Vec<Sought>,
}

/// See [`weir_core::mail::Lost`].
#[derive(Clone, Debug)]
pub struct Sought {
    pub thread_id: u32,
    pub others: GtidSet,
    pub sent_ms: u64,
    /// The primary has these, and the source is asked whether it is one of them. None: the primary is asked.
    pub among: Option<GtidSet>,
}

/// What one server knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Found(Finding),
    /// The primary has these, and their source alone knows who wrote them.
    Among(GtidSet),
}

/// One answer for each. Err: it may be asked again.
pub async fn look_up(accounts: &Accounts, question: &Question) -> Result<Vec<Answer>, String> {
    let look = look(&accounts.look, question).await?;
    let candidates: Vec<GtidSet> = question.sought.iter().map(|sought| look.candidates(sought)).collect();
    if look.itself.is_none() {
        let answer = |set: GtidSet| if set.is_empty() { Answer::Found(Finding::Absent) } else { Answer::Among(set) };
        return Ok(candidates.into_iter().map(answer).collect());
    }
    let mut all = GtidSet::new();
    candidates.iter().for_each(|set| all.merge(set));
    let readable = minus(&all, &look.purged);
    let log = match () {
        () if readable.is_empty() => Ok(Log::default()),
        () if readable.count() > CANDIDATES_MAX => Err(format!("{} transactions may be it", readable.count())),
        () => match read(&accounts.dump, &minus(&look.executed, &readable), &readable).await {
            Ok(log) => Ok(log),
            Err(ClientError::Server(error)) => Err(format!("its server's binary log cannot be read: {error}")),
            Err(error) => return Err(format!("its server's binary log cannot be read: {error}")),
        },
    };
    let find = |(sought, candidates)| match &log {
        _ if GtidSet::is_empty(candidates) => Finding::Absent,
        Err(why) => Finding::Unknown(why.clone()),
        Ok(log) => judge(&look, log, sought, candidates),
    };
    Ok(question.sought.iter().zip(&candidates).map(find).map(Answer::Found).collect())
}

/// What the server is.
struct Look {
    executed: GtidSet,
    /// Of them, those that the source numbered.
    of_source: GtidSet,
    purged: GtidSet,
    /// It is the source itself.
    itself: Option<Life>,
}

/// Since when the source runs, and what ids it has given since.
struct Life {
    last_id: u64,
    uptime_ms: u64,
    began_s: u64,
}

impl Look {
    fn candidates(&self, sought: &Sought) -> GtidSet {
        match &sought.among {
            Some(among) => among.clone(),
            None => minus(&self.of_source, &sought.others),
        }
    }
}

async fn look(options: &Options, question: &Question) -> Result<Look, String> {
    let failed = |error: ClientError| format!("a server cannot be asked: {error}");
    let mut client = AsyncClient::connect(options).await.map_err(failed)?;
    let uuid = cell(&mut client, "SELECT @@server_uuid").await.map_err(failed)?;
    let is_source = set(&format!("{uuid}:1"))?.iter().any(|(sid, ..)| sid.uuid == question.source);
    let is_primary = question.sought.iter().all(|sought| sought.among.is_none());
    let mut itself = None;
    if is_source {
        let life = life(&mut client).await.map_err(failed)?;
        // What a connection has committed is executed when it has ended; so this first.
        let ids: Vec<String> = question.sought.iter().map(|sought| sought.thread_id.to_string()).collect();
        let threads =
            format!("SELECT COUNT(*) FROM performance_schema.threads WHERE PROCESSLIST_ID IN ({})", ids.join(","));
        if is_primary && cell(&mut client, &threads).await.map_err(failed)? != "0" {
            return Err("the statement may still run on the primary".to_string());
        }
        itself = Some(life);
    } else if !is_primary {
        return Err("another server stands where it was sent".to_string());
    }
    if is_primary {
        check_primary(&mut client).await?;
    }
    let executed = set(&cell(&mut client, "SELECT @@GLOBAL.gtid_executed").await.map_err(failed)?)?;
    let purged = set(&cell(&mut client, "SELECT @@GLOBAL.gtid_purged").await.map_err(failed)?)?;
    let of_source = minus(&executed, &executed.clone().without_server(question.source));
    Ok(Look { executed, of_source, purged, itself })
}

async fn check_primary(client: &mut AsyncClient) -> Result<(), String> {
    let failed = |error: ClientError| format!("the primary cannot be asked: {error}");
    if cell(client, "SELECT @@GLOBAL.read_only").await.map_err(failed)? != "0" {
        return Err("the primary is read-only still".to_string());
    }
    let replicates = client.query("SHOW REPLICA STATUS").await.and_then(Reply::success).map_err(failed)?;
    match replicates.rows().is_some_and(runs) {
        true => Err("the primary replicates from another still".to_string()),
        false => Ok(()),
    }
}

async fn life(client: &mut AsyncClient) -> Result<Life, ClientError> {
    let last_id = number(&cell(client, "SELECT CONNECTION_ID()").await?);
    let uptime = "SELECT VARIABLE_VALUE FROM performance_schema.global_status WHERE VARIABLE_NAME='Uptime'";
    let uptime_s = number(&cell(client, uptime).await?);
    let now_s = number(&cell(client, "SELECT UNIX_TIMESTAMP()").await?);
    Ok(Life { last_id, uptime_ms: uptime_s.saturating_mul(1_000), began_s: now_s.saturating_sub(uptime_s) })
}

/// A receiver or an applier.
fn runs(rows: &Rows) -> bool {
    let at = |name: &str| rows.columns.iter().position(|column| column.name == name);
    let columns = [at("Replica_IO_Running"), at("Replica_SQL_Running")];
    let texts = rows.texts();
    let is_off = |row: &[Option<String>], at: &Option<usize>| {
        at.and_then(|at| row.get(at)).is_some_and(|cell| cell.as_deref() == Some("No"))
    };
    texts.iter().any(|row| !columns.iter().all(|at| is_off(row, at)))
}

/// What the log says of the candidates.
#[derive(Debug, Default)]
struct Log {
    /// With the writer's id, and when it wrote.
    writers: Vec<(Sid, u64, u32, u32)>,
}

async fn read(options: &Options, known: &GtidSet, wanted: &GtidSet) -> Result<Log, ClientError> {
    let mut client = AsyncClient::connect(options).await?;
    // Nothing is checked, so nothing need be computed.
    let checksum =
        "SET @source_binlog_checksum=@@GLOBAL.binlog_checksum, @master_binlog_checksum=@@GLOBAL.binlog_checksum";
    client.query(checksum).await?.success()?;
    let mut command = Vec::new();
    put_dump_gtid(&mut command, known);
    let (mut log, mut transactions) = (Log::default(), Transactions::default());
    let take = |packet: &[u8]| match packet.split_first() {
        Some((0, event)) => {
            if let Some((sid, number, Writer::Thread { id, at_s })) = transactions.handle_event(event)?
                && wanted.holds(&sid, number)
            {
                log.writers.push((sid, number, id, at_s));
            }
            Ok(More::Wanted)
        }
        Some((0xfe, _)) => Ok(More::Enough),
        Some((0xff, _)) => Err(ServerError::decode(packet)?.into()),
        _ => Err(ClientError::Shape("a packet of a binary log that is none")),
    };
    client.stream(READ_LIMIT, &command, LOG_BYTES_MAX, take).await?;
    Ok(log)
}

fn judge(look: &Look, log: &Log, sought: &Sought, candidates: &GtidSet) -> Finding {
    let (mut ours, mut hidden) = (GtidSet::new(), candidates.clone());
    let mut is_of_its_life = true;
    for (sid, number, thread, at_s) in log.writers.iter().filter(|(sid, number, ..)| candidates.holds(sid, *number)) {
        let mut one = GtidSet::new();
        one.add(sid.clone(), *number, *number);
        hidden.subtract(&one);
        if *thread == sought.thread_id {
            ours.merge(&one);
            is_of_its_life &= look.itself.as_ref().is_some_and(|life| life.is_older(sought, *at_s));
        }
    }
    match (ours.is_empty(), is_of_its_life) {
        (true, _) if hidden.is_empty() => Finding::Absent,
        (true, _) => Finding::Unknown(format!(
            "its server's binary log does not show who wrote {} transactions that may be it",
            hidden.count()
        )),
        (false, false) => {
            Finding::Unknown("its server was restarted, and may have given the same id again".to_string())
        }
        (false, true) => Finding::Committed(ours),
    }
}

impl Life {
    /// The transaction is of the life in which the statement was sent: it is this one, or an id so high was not given in
    /// this one, or it was written before this one began.
    fn is_older(&self, sought: &Sought, at_s: u32) -> bool {
        self.uptime_ms > sought.sent_ms.saturating_add(CLOCKS_MS)
            || self.last_id < u64::from(sought.thread_id)
            || u64::from(at_s).saturating_add(1) < self.began_s
    }
}

async fn cell(client: &mut AsyncClient, sql: &str) -> Result<String, ClientError> {
    let reply = client.query(sql).await?.success()?;
    let rows = reply.outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Rows(rows) => rows.rows.first(),
        Outcome::Ok(_) | Outcome::Err(_) => None,
    });
    rows.and_then(|row| row.first()?.as_text()).ok_or(ClientError::Shape("a row was due"))
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

fn set(text: &str) -> Result<GtidSet, String> {
    GtidSet::parse(text.as_bytes()).map_err(|_| "the primary's GTIDs cannot be read".to_string())
}

fn minus(set: &GtidSet, other: &GtidSet) -> GtidSet {
    let mut left = set.clone();
    left.subtract(other);
    left
}

/// Transactions among which one is looked for: a minute's worth of a busy server, when a gate is told of its set every few
/// milliseconds.
const CANDIDATES_MAX: u64 = 100_000;

/// Of a binary log, that one look-up reads.
const LOG_BYTES_MAX: usize = 256 << 20;
const READ_LIMIT: Duration = Duration::from_secs(5);

/// By how much the server's own uptime and the gate's clock may disagree: it counts whole seconds.
const CLOCKS_MS: u64 = 2_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ColumnDef;

    const SOURCE: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn source(numbers: &str) -> GtidSet {
        set(&format!("{SOURCE}:{numbers}")).unwrap()
    }

    #[test]
    fn a_finding_is_what_the_log_shows() {
        let sid = source("1").iter().next().unwrap().0.clone();
        let life = |last_id, uptime_ms| Life { last_id, uptime_ms, began_s: 1_000 };
        let look = |life| Look {
            executed: GtidSet::new(),
            of_source: GtidSet::new(),
            purged: GtidSet::new(),
            itself: Some(life),
        };
        let wrote = |number, thread, at_s| (sid.clone(), number, thread, at_s);
        let log =
            Log { writers: vec![wrote(6, 40, 1_002), wrote(7, 41, 1_002), wrote(9, 41, 1_002), wrote(10, 43, 900)] };
        let find = |life, thread_id, candidates: &str| {
            let sought = Sought { thread_id, others: source("1-5"), sent_ms: 300, among: None };
            judge(&look(life), &log, &sought, &source(candidates))
        };
        let is_unknown = |finding| matches!(finding, Finding::Unknown(_));
        let old = || life(90, 60_000);
        assert_eq!(find(old(), 40, "6-7"), Finding::Committed(source("6")));
        assert_eq!(find(old(), 41, "6-7:9"), Finding::Committed(source("7:9")));
        assert_eq!(find(old(), 41, "6"), Finding::Absent);
        // 8 was not seen: it may be anybody's.
        assert!(is_unknown(find(old(), 42, "6-8")));
        assert_eq!(find(old(), 40, "6-8"), Finding::Committed(source("6")));
        // A new life of the server: one that has not got so far; one that has; and what was written before it.
        assert_eq!(find(life(40, 1_000), 41, "6-7"), Finding::Committed(source("7")));
        assert!(is_unknown(find(life(41, 1_000), 41, "6-7")));
        assert_eq!(find(life(90, 1_000), 43, "10"), Finding::Committed(source("10")));
        assert_eq!(find(life(90, 1_000), 42, "6-7"), Finding::Absent);
    }

    #[test]
    fn only_a_server_that_replicates_from_nobody_says_absent() {
        let column = |name: &str| ColumnDef { name: name.to_string(), ..ColumnDef::default() };
        let rows = |cells: [&str; 2]| Rows {
            columns: ["Replica_IO_Running", "Replica_SQL_Running"].map(column).to_vec(),
            rows: vec![cells.map(crate::client::Value::text).to_vec()],
            ..Rows::default()
        };
        assert!(!runs(&Rows::default()) && !runs(&rows(["No", "No"])));
        assert!(runs(&rows(["Connecting", "No"])) && runs(&rows(["No", "Yes"])));
    }
}
