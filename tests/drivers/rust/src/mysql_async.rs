//! mysql_async: Tokio's driver, by texts and by prepared statements.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use mysql_async::prelude::{Protocol, Queryable, ToValue};
use mysql_async::{
    ChangeUserOpts, Conn, IsolationLevel, OptsBuilder, Params, Pool, PoolConstraints, PoolOpts, QueryResult, SslOpts,
    TxOpts, Value,
};

use crate::trace::{ERRORS, Outcome, SESSION, WRITES, bytes, cut, env, port, say, step, version};

pub async fn run() -> Outcome {
    say!("# version {}", version("mysql_async"));
    let mut c = Conn::new(opts()?).await?;
    step!("connect", connect(&mut c).await);
    step!("types-text", async { ask(&mut c, "SELECT * FROM types ORDER BY id").await }.await);
    step!("types-prepared", types(&mut c).await);
    step!("parameters", parameters(&mut c).await);
    step!("writes", writes(&mut c).await);
    step!("batches", batches(&mut c).await);
    step!("big-values", big_values(&mut c).await);
    step!("errors", errors(&mut c).await);
    step!("transactions", transactions(&mut c).await);
    step!("procedures", procedures(&mut c).await);
    step!("streaming", streaming(&mut c).await);
    step!("load-data", load_data().await);
    step!("session", all(&mut c, SESSION).await);
    step!("reset-and-change-user", reset(&mut c).await);
    step!("settings", settings().await);
    step!("encrypted", encrypted().await);
    step!("compressed", compressed().await);
    step!("locks", locks(&mut c).await);
    step!("pool", pool().await);
    step!("many-statements", many(&mut c).await);
    step!("migrations", migrations(&mut c).await);
    step!("closes", closes(c).await);
    say!("== end");
    Ok(())
}

fn opts() -> Result<OptsBuilder, Box<dyn std::error::Error>> {
    let opts = OptsBuilder::default().ip_or_hostname(env("HOST")).tcp_port(port()?).user(Some(env("USER")));
    Ok(opts.pass(Some(env("PASSWORD"))).db_name(Some(env("SCHEMA"))).prefer_socket(false))
}

fn value(v: &Value) -> String {
    match v {
        Value::Bytes(raw) => format!("bytes:{}", bytes(raw)),
        other => format!("{other:?}"),
    }
}

fn failed(why: &mysql_async::Error) {
    match why {
        mysql_async::Error::Server(e) => say!("error {} {} {}", e.code, e.state, cut(&e.message)),
        other => say!("error {}", cut(&other.to_string())),
    }
}

/// All results with their columns.
async fn show<P: Protocol>(mut result: QueryResult<'_, '_, P>) -> mysql_async::Result<()> {
    while !result.is_empty() || result.affected_rows() > 0 {
        for one in result.columns_ref() {
            let (name, table) = (one.name_str(), one.org_table_str());
            let (kind, flags, length) = (one.column_type(), one.flags(), one.column_length());
            say!("column {name} {table} {kind:?} {flags:?} {length} {} {}", one.character_set(), one.decimals());
        }
        for row in result.collect::<mysql_async::Row>().await? {
            say!("row {}", row.unwrap().iter().map(value).collect::<Vec<_>>().join(", "));
        }
        let (affected, id, warnings) = (result.affected_rows(), result.last_insert_id(), result.warnings());
        say!("affected {affected} id {id:?} warnings {warnings} info {}", result.info());
        if result.is_empty() {
            break;
        }
    }
    Ok(())
}

async fn ask(c: &mut Conn, sql: &str) -> Outcome {
    let outcome = match c.query_iter(sql).await {
        Ok(result) => show(result).await,
        Err(why) => Err(why),
    };
    if let Err(why) = outcome {
        failed(&why);
    } else {
        say!(
            "done affected {} id {:?} warnings {} info {}",
            c.affected_rows(),
            c.last_insert_id(),
            c.get_warnings(),
            c.info()
        );
    }
    Ok(())
}

async fn prepared(c: &mut Conn, sql: &str, values: impl Into<Params> + Send) -> Outcome {
    let outcome = match c.exec_iter(sql, values.into()).await {
        Ok(result) => show(result).await,
        Err(why) => Err(why),
    };
    if let Err(why) = outcome {
        failed(&why);
    } else {
        say!("done affected {} id {:?} warnings {}", c.affected_rows(), c.last_insert_id(), c.get_warnings());
    }
    Ok(())
}

async fn all(c: &mut Conn, texts: &[&str]) -> Outcome {
    for sql in texts {
        say!("-- {sql}");
        ask(c, sql).await?;
    }
    Ok(())
}

async fn connect(c: &mut Conn) -> Outcome {
    ask(c, "SELECT DATABASE(), CURRENT_USER(), @@autocommit, @@sql_mode, @@character_set_client, @@collation_connection, @@time_zone").await?;
    let id: u32 = c.query_first("SELECT CONNECTION_ID()").await?.unwrap_or_default();
    say!("same {} {:?}", id == c.id(), c.server_version());
    for wrong in [opts()?.pass(Some("wrong")), opts()?.db_name(Some("no_such_schema"))] {
        match Conn::new(wrong).await {
            Ok(_) => say!("! it was let in"),
            Err(mysql_async::Error::Server(e)) => say!("error {} {}", e.code, e.state),
            Err(other) => failed(&other),
        }
    }
    Ok(c.ping().await?)
}

async fn types(c: &mut Conn) -> Outcome {
    for id in 1..=4 {
        prepared(c, "SELECT * FROM types WHERE id = ?", (id,)).await?;
    }
    Ok(())
}

async fn parameters(c: &mut Conn) -> Outcome {
    let date = Value::Date(2024, 2, 29, 1, 2, 3, 456_789);
    let time = Value::Time(true, 3, 4, 5, 6, 7);
    let values = [
        1.to_value(),
        (-1).to_value(),
        i64::MAX.to_value(),
        u64::MAX.to_value(),
        1.5f32.to_value(),
        1.5f64.to_value(),
        "text".to_value(),
        "it's \\ \"q\"".to_value(),
        "😀 ünï".to_value(),
        "".to_value(),
        vec![0u8, 255, 39, 92].to_value(),
        Value::NULL,
        true.to_value(),
        date,
        time,
    ];
    for (n, v) in values.into_iter().enumerate() {
        prepared(c, &format!("SELECT HEX(?) AS v, LENGTH(?) AS l /* {n} */"), vec![v.clone(), v]).await?;
    }
    let named = vec![("first", 1), ("last", 3)];
    prepared(c, "SELECT id, name FROM people WHERE id IN (:first, :last) ORDER BY id", named).await
}

async fn writes(c: &mut Conn) -> Outcome {
    prepared(c, "INSERT INTO people (name, age, balance) VALUES (?, ?, ?)", ("Barbara", 79, "99.99")).await?;
    ask(c, "SELECT LAST_INSERT_ID()").await?;
    all(c, WRITES).await
}

async fn batches(c: &mut Conn) -> Outcome {
    let rows = (0..200).map(|n| (n, format!("value {n}")));
    c.exec_batch("INSERT INTO work (k, v) VALUES (?, ?)", rows).await?;
    ask(c, "SELECT COUNT(*), MIN(id), MAX(id), SUM(k) FROM work").await
}

async fn big_values(c: &mut Conn) -> Outcome {
    let big: Vec<u8> = b"abc\x00\xff".iter().copied().cycle().take(2 << 20).collect();
    prepared(c, "INSERT INTO work (k, big) VALUES (?, ?)", (7, big)).await?;
    ask(c, "SELECT LENGTH(big), SHA2(big, 256), big FROM work WHERE id = LAST_INSERT_ID()").await?;
    ask(c, "SELECT REPEAT('a', 3000000) AS v").await
}

async fn errors(c: &mut Conn) -> Outcome {
    for sql in ERRORS {
        say!("-- {sql}");
        ask(c, sql).await?;
        prepared(c, sql, ()).await?;
    }
    Ok(())
}

async fn transactions(c: &mut Conn) -> Outcome {
    let mut other = Conn::new(opts()?).await?;
    let mut kinds = vec![TxOpts::default()];
    for level in [IsolationLevel::ReadCommitted, IsolationLevel::Serializable] {
        kinds.push(TxOpts::default().with_isolation_level(Some(level)).clone());
    }
    kinds.push(TxOpts::default().with_consistent_snapshot(true).clone());
    for options in kinds {
        let mut tx = c.start_transaction(options).await?;
        tx.query_drop("INSERT INTO work (k) VALUES (1000)").await?;
        say!("{:?}", tx.query_first::<u32, _>("SELECT COUNT(*) FROM work WHERE k = 1000").await?);
        tx.rollback().await?;
        ask(&mut other, "SELECT COUNT(*) FROM work WHERE k = 1000").await?;
    }
    let mut tx = c.start_transaction(TxOpts::default().with_readonly(Some(true)).clone()).await?;
    say!("{:?}", tx.query_first::<u32, _>("SELECT COUNT(*) FROM numbers WHERE n <= 1000").await?);
    if let Err(why) = tx.query_drop("INSERT INTO work (k) VALUES (1)").await {
        failed(&why);
    }
    tx.rollback().await?;
    let mut tx = c.start_transaction(TxOpts::default()).await?;
    for sql in
        ["INSERT INTO work (k) VALUES (1001)", "SAVEPOINT a", "INSERT INTO work (k) VALUES (1002)", "ROLLBACK TO a"]
    {
        tx.query_drop(sql).await?;
    }
    tx.commit().await?;
    ask(&mut other, "SELECT k FROM work WHERE k IN (1001, 1002)").await?;
    // A transaction that nobody ends is rolled back before the connection's next command.
    let mut tx = c.start_transaction(TxOpts::default()).await?;
    tx.query_drop("INSERT INTO work (k) VALUES (1003)").await?;
    drop(tx);
    ask(c, "SELECT COUNT(*) FROM work WHERE k = 1003").await?;
    Ok(other.disconnect().await?)
}

async fn procedures(c: &mut Conn) -> Outcome {
    all(c, &["SET @b = 10", "CALL two_results(3, @b, @c)", "SELECT @b, @c", "CALL fails_late()"]).await?;
    prepared(c, "CALL two_results(?, @b, @c)", (2,)).await?;
    all(
        c,
        &[
            "SELECT 1 AS a; INSERT INTO work (k) VALUES (3000), (3001); SELECT NULL",
            "SELECT 1; SELECT * FROM no_such_table; SELECT 3",
            "SELECT 'after'",
        ],
    )
    .await
}

async fn streaming(c: &mut Conn) -> Outcome {
    let mut rows =
        c.query_stream::<(u32, String), _>("SELECT n, REPEAT('x', n) FROM numbers WHERE n <= 1000 ORDER BY n").await?;
    let mut sum = 0;
    while let Some((n, text)) = rows.try_next().await? {
        sum += n as usize + text.len();
    }
    drop(rows);
    say!("sum {sum}");
    let mut rows = c.exec_stream::<u32, _, _>("SELECT n FROM numbers WHERE n <= ? ORDER BY n", (1000,)).await?;
    say!("first {:?}", rows.try_next().await?);
    // The rest is thrown away before the next command.
    drop(rows);
    ask(c, "SELECT 'after'").await
}

async fn load_data() -> Outcome {
    let sql =
        "LOAD DATA LOCAL INFILE 'any name' INTO TABLE loaded FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"'";
    let rows = std::fs::read(format!("{}/rows.csv", env("SCRATCH")))?;
    let pieces: Vec<_> = rows.chunks(7).map(|piece| Ok(piece.to_vec().into())).collect();
    let mut c = Conn::new(opts()?).await?;
    c.set_infile_handler(async move { Ok(stream::iter(pieces).boxed()) });
    all(&mut c, &[sql, "SHOW WARNINGS", "SELECT * FROM loaded ORDER BY id, name"]).await?;
    c.set_infile_handler(async move { Ok(stream::empty().boxed()) });
    ask(&mut c, sql).await?;
    // No handler; one that breaks off: this driver gives both connections up.
    ask(&mut c, sql).await?;
    let mut c = Conn::new(opts()?).await?;
    c.set_infile_handler(async move {
        let broken = std::io::Error::other("it breaks off");
        Ok(stream::iter([Ok(b"9,nine,9\n".to_vec().into()), Err(broken)]).boxed())
    });
    ask(&mut c, sql).await?;
    drop(c);
    let mut c = Conn::new(opts()?).await?;
    ask(&mut c, "SELECT COUNT(*) > 4 FROM loaded").await?;
    Ok(c.disconnect().await?)
}

async fn reset(c: &mut Conn) -> Outcome {
    c.query_drop("SET @a = 1, time_zone = '+01:00'").await?;
    say!("reset {}", c.reset().await?);
    ask(c, "SELECT @a, @@time_zone, DATABASE()").await?;
    let other =
        |password: &str| ChangeUserOpts::new().with_user(Some("other".to_owned())).with_pass(Some(password.to_owned()));
    c.change_user(other("other")).await?;
    ask(c, "SELECT CURRENT_USER(), DATABASE()").await?;
    let own = ChangeUserOpts::new().with_user(Some(env("USER"))).with_pass(Some(env("PASSWORD")));
    c.change_user(own.with_db_name(Some(env("SCHEMA")))).await?;
    ask(c, "SELECT CURRENT_USER(), DATABASE()").await?;
    let mut one = Conn::new(opts()?).await?;
    match one.change_user(other("wrong")).await {
        Ok(()) => say!("! it was let in"),
        Err(mysql_async::Error::Server(e)) => say!("error {} {}", e.code, e.state),
        Err(why) => failed(&why),
    }
    Ok(())
}

async fn settings() -> Outcome {
    let init = opts()?.init(vec!["SET @started = 1", "SET NAMES latin1"]);
    for (name, one) in [
        ("found-rows", opts()?.client_found_rows(true)),
        ("init", init),
        ("no-cache", opts()?.stmt_cache_size(0)),
        ("attributes", opts()?.connect_attribute("team", "tests")),
        ("packet", opts()?.max_allowed_packet(Some(2048))),
    ] {
        say!("-- {name}");
        let mut c = Conn::new(one).await?;
        ask(&mut c, "UPDATE people SET age = age WHERE id < 3").await?;
        ask(&mut c, "SELECT @started, @@character_set_client").await?;
        prepared(&mut c, "SELECT name FROM people WHERE id = ?", (1,)).await?;
        ask(&mut c, "SELECT ATTR_VALUE FROM performance_schema.session_account_connect_attrs WHERE PROCESSLIST_ID = CONNECTION_ID() AND ATTR_NAME IN ('team', '_client_name') ORDER BY ATTR_NAME").await?;
        c.disconnect().await?;
    }
    Ok(())
}

async fn encrypted() -> Outcome {
    let ssl = SslOpts::default().with_danger_accept_invalid_certs(true).with_danger_skip_domain_validation(true);
    let mut c = Conn::new(opts()?.ssl_opts(ssl)).await?;
    ask(&mut c, "SELECT name FROM people WHERE id <= 3 ORDER BY id").await?;
    prepared(&mut c, "SELECT REPEAT('z', ?) AS z", (100_000,)).await?;
    Ok(c.disconnect().await?)
}

async fn compressed() -> Outcome {
    let mut c = Conn::new(opts()?.compression(mysql_async::Compression::fast())).await?;
    prepared(&mut c, "SELECT name, ? AS y FROM people WHERE id <= 3 ORDER BY id", ("y".repeat(100_000),)).await?;
    ask(&mut c, "SELECT REPEAT('z', 2000000) AS z").await?;
    Ok(c.disconnect().await?)
}

async fn locks(c: &mut Conn) -> Outcome {
    let mut other = Conn::new(opts()?).await?;
    ask(&mut other, "SET SESSION innodb_lock_wait_timeout = 1").await?;
    ask(c, "BEGIN").await?;
    ask(c, "UPDATE locks SET n = n + 1 WHERE id = 1").await?;
    all(
        &mut other,
        &[
            "SELECT * FROM locks WHERE id = 1 FOR UPDATE NOWAIT",
            "SELECT * FROM locks ORDER BY id FOR UPDATE SKIP LOCKED",
            "UPDATE locks SET n = n + 1 WHERE id = 1",
        ],
    )
    .await?;
    ask(c, "ROLLBACK").await?;
    // A wait that its future's end gives up: the driver closes that connection.
    let mut third = Conn::new(opts()?).await?;
    let cut_off = tokio::time::timeout(Duration::from_millis(200), third.query_drop("DO SLEEP(3)")).await;
    say!("given up {}", cut_off.is_err());
    Ok(other.disconnect().await?)
}

async fn pool() -> Outcome {
    let constraints = PoolConstraints::new(1, 4).ok_or("no such pool")?;
    let pool = Pool::new(opts()?.pool_opts(PoolOpts::default().with_constraints(constraints)));
    let worker = async |worker: u32| -> mysql_async::Result<()> {
        for n in 0..20 {
            let (k, mut c) = (worker * 20 + n, pool.get_conn().await?);
            c.exec_drop("INSERT INTO work (k, v) VALUES (?, 'pool')", (k,)).await?;
            let back: Option<u32> = c.exec_first("SELECT COUNT(*) FROM work WHERE v = 'pool' AND k = ?", (k,)).await?;
            if back != Some(1) {
                say!("! {k} is there {back:?} times");
            }
            c.query_drop("SET @left_behind = 1").await?;
        }
        Ok(())
    };
    for one in futures_util::future::join_all((0..8).map(worker)).await {
        one?;
    }
    let mut c = pool.get_conn().await?;
    // A pool resets what it hands out.
    ask(&mut c, "SELECT COUNT(*), SUM(k), @left_behind FROM work WHERE v = 'pool'").await?;
    drop(c);
    Ok(pool.disconnect().await?)
}

async fn many(c: &mut Conn) -> Outcome {
    let mut total = 0;
    for n in 0..300 {
        total += c
            .exec_first::<u32, _, _>(format!("SELECT n + {n} FROM numbers WHERE n = ?"), (n + 3,))
            .await?
            .unwrap_or_default();
    }
    say!("sum {total}");
    Ok(())
}

async fn migrations(c: &mut Conn) -> Outcome {
    all(c, &["CREATE TABLE m (id INT PRIMARY KEY)", "INSERT INTO m VALUES (1), (2)"]).await?;
    let statement = c.prep("SELECT * FROM m ORDER BY id").await?;
    say!("{:?}", c.exec_first::<mysql_async::Row, _, _>(&statement, ()).await?.map(mysql_async::Row::unwrap));
    ask(c, "ALTER TABLE m ADD COLUMN v VARCHAR(20) NOT NULL DEFAULT 'new' FIRST, ADD INDEX (v)").await?;
    say!("{:?}", c.exec_first::<mysql_async::Row, _, _>(&statement, ()).await?.map(mysql_async::Row::unwrap));
    c.close(statement).await?;
    all(c, &["RENAME TABLE m TO m2", "SHOW CREATE TABLE m2", "DROP TABLE m2", "DROP TABLE m2"]).await
}

async fn closes(c: Conn) -> Outcome {
    let id = c.id();
    c.disconnect().await?;
    let mut other = Conn::new(opts()?).await?;
    // The server may still be at it.
    for _ in 0..100 {
        let left: Option<u32> =
            other.query_first(format!("SELECT COUNT(*) FROM performance_schema.processlist WHERE ID = {id}")).await?;
        if left == Some(0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    match other.query_drop(format!("KILL {id}")).await {
        Ok(()) => say!("! who has gone can still be killed"),
        Err(mysql_async::Error::Server(e)) => say!("error {} {}", e.code, e.state),
        Err(why) => failed(&why),
    }
    Ok(other.disconnect().await?)
}
