//! sqlx: texts (`raw_sql`), prepared statements (`query`), its pool, its transactions and its migrations.

use std::borrow::Cow;
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlPoolOptions, MySqlRow, MySqlSslMode};
use sqlx::types::{BigDecimal, JsonValue, chrono};
use sqlx::{AssertSqlSafe, Column, ConnectOptions, Connection, Either, Executor, Row, TypeInfo, ValueRef};

use crate::trace::{ERRORS, Outcome, SESSION, WRITES, bytes, cut, env, port, say, step, version};

pub async fn run() -> Outcome {
    say!("# version {}", version("sqlx"));
    let mut c = opts()?.connect().await?;
    step!("connect", connect(&mut c).await);
    step!("types-text", ask(&mut c, "SELECT * FROM types ORDER BY id").await);
    step!("types-prepared", types(&mut c).await);
    step!("values", values(&mut c).await);
    step!("parameters", parameters(&mut c).await);
    step!("describe", describe(&mut c).await);
    step!("writes", writes(&mut c).await);
    step!("big-values", big_values(&mut c).await);
    step!("errors", errors(&mut c).await);
    step!("transactions", transactions(&mut c).await);
    step!("procedures", procedures(&mut c).await);
    step!("streaming", streaming(&mut c).await);
    step!("session", all(&mut c, SESSION).await);
    step!("settings", settings().await);
    step!("encrypted", encrypted().await);
    step!("pool", pool().await);
    step!("many-statements", many(&mut c).await);
    step!("migrations", migrations(&mut c).await);
    step!("closes", closes(c).await);
    say!("== end");
    Ok(())
}

fn opts() -> Result<MySqlConnectOptions, Box<dyn std::error::Error>> {
    let opts = MySqlConnectOptions::new().host(&env("HOST")).port(port()?).username(&env("USER"));
    Ok(opts.password(&env("PASSWORD")).database(&env("SCHEMA")).ssl_mode(MySqlSslMode::Preferred))
}

fn failed(why: &sqlx::Error) {
    match why.as_database_error().and_then(|e| e.try_downcast_ref::<MySqlDatabaseError>()) {
        Some(e) => say!("error {} {} {}", e.number(), e.code().unwrap_or("-"), cut(e.message())),
        None => say!("error {}", cut(&why.to_string())),
    }
}

fn show(row: &MySqlRow) -> sqlx::Result<()> {
    let mut words = Vec::new();
    for column in row.columns() {
        let raw = row.try_get_raw(column.ordinal())?;
        let kind = raw.type_info().name().to_owned();
        let value: Option<Vec<u8>> = row.try_get_unchecked(column.ordinal())?;
        words.push(format!("{}:{kind}:{}", column.name(), value.map_or("NULL".to_owned(), |raw| bytes(&raw))));
    }
    say!("row {}", words.join(", "));
    Ok(())
}

/// Prints all results of what is fetched.
macro_rules! show_all {
    ($stream:expr) => {{
        let mut stream = $stream;
        loop {
            match stream.try_next().await {
                Ok(None) => break,
                Ok(Some(Either::Left(done))) => say!("affected {} id {}", done.rows_affected(), done.last_insert_id()),
                Ok(Some(Either::Right(row))) => show(&row)?,
                Err(why) => {
                    failed(&why);
                    break;
                }
            }
        }
    }};
}

async fn ask(c: &mut MySqlConnection, sql: &str) -> Outcome {
    show_all!(c.fetch_many(sqlx::raw_sql(AssertSqlSafe(sql))));
    Ok(())
}

async fn all(c: &mut MySqlConnection, texts: &[&str]) -> Outcome {
    for sql in texts {
        say!("-- {sql}");
        ask(c, sql).await?;
    }
    Ok(())
}

/// One statement with its parameters, prepared.
macro_rules! prepared {
    ($c:expr, $sql:expr $(, $value:expr)*) => {
        show_all!((&mut *$c).fetch_many(sqlx::query(AssertSqlSafe($sql.to_owned()))$(.bind($value))*))
    };
}

async fn connect(c: &mut MySqlConnection) -> Outcome {
    ask(c, "SELECT DATABASE(), CURRENT_USER(), @@autocommit, @@sql_mode, @@character_set_client, @@collation_connection, @@time_zone").await?;
    for wrong in [opts()?.password("wrong"), opts()?.database("no_such_schema")] {
        match wrong.connect().await {
            Ok(_) => say!("! it was let in"),
            Err(why) => say!("error {:?}", why.as_database_error().map(|e| e.code().map(Cow::into_owned))),
        }
    }
    Ok(c.ping().await?)
}

async fn types(c: &mut MySqlConnection) -> Outcome {
    for id in 1..=4 {
        prepared!(c, "SELECT * FROM types WHERE id = ?", id);
    }
    Ok(())
}

/// As Rust's own types.
async fn values(c: &mut MySqlConnection) -> Outcome {
    type One = (
        Option<i8>,
        Option<u64>,
        Option<f64>,
        Option<BigDecimal>,
        Option<chrono::NaiveDateTime>,
        Option<chrono::DateTime<chrono::Utc>>,
        Option<String>,
        Option<Vec<u8>>,
        Option<JsonValue>,
        Option<bool>,
    );
    let rows: Vec<One> = sqlx::query_as("SELECT ti, bu, d, de, dt, ts, vc, vb, js, bo FROM types ORDER BY id")
        .fetch_all(&mut *c)
        .await?;
    rows.iter().for_each(|row| say!("{row:?}"));
    let count: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM people WHERE age > ?").bind(40).fetch_one(&mut *c).await?;
    say!("{count}");
    let none: Option<(i32,)> =
        sqlx::query_as("SELECT id FROM work WHERE id = ?").bind(-1).fetch_optional(&mut *c).await?;
    say!("{none:?}");
    Ok(())
}

async fn parameters(c: &mut MySqlConnection) -> Outcome {
    let sql = |n: u32| format!("SELECT HEX(?) AS v /* {n} */");
    prepared!(c, sql(1), 1i8);
    prepared!(c, sql(2), -1i64);
    prepared!(c, sql(3), u64::MAX);
    prepared!(c, sql(4), 1.5f32);
    prepared!(c, sql(5), 1.5f64);
    prepared!(c, sql(6), "it's \\ \"q\" 😀 ünï");
    prepared!(c, sql(7), "");
    prepared!(c, sql(8), vec![0u8, 255, 39, 92]);
    prepared!(c, sql(9), None::<String>);
    prepared!(c, sql(10), true);
    prepared!(c, sql(11), "1.25".parse::<BigDecimal>()?);
    prepared!(
        c,
        sql(12),
        chrono::NaiveDate::from_ymd_opt(2024, 2, 29).and_then(|day| day.and_hms_micro_opt(1, 2, 3, 456_789))
    );
    prepared!(c, sql(13), chrono::NaiveDate::from_ymd_opt(2024, 2, 29));
    prepared!(c, sql(14), chrono::NaiveTime::from_hms_micro_opt(1, 2, 3, 4));
    prepared!(c, sql(15), sqlx::types::Json(vec![1, 2]));
    prepared!(c, "SELECT id, name FROM people WHERE id IN (?, ?) AND age > ? ORDER BY id", 1, 3, 40);
    Ok(())
}

/// What `query!` asks for when a program is compiled.
async fn describe(c: &mut MySqlConnection) -> Outcome {
    use sqlx::{SqlSafeStr, Statement};
    for sql in [
        "SELECT id, name, age, born FROM people WHERE id = ? AND name LIKE ?",
        "INSERT INTO work (k) VALUES (?)",
        "SELECT * FROM types",
        "SELECT nope FROM people",
    ] {
        match c.prepare(sql.into_sql_str()).await {
            Ok(statement) => {
                let parameters = statement.parameters().map(|one| one.map_left(|all| all.len()));
                let columns: Vec<String> = statement
                    .columns()
                    .iter()
                    .map(|one| format!("{}:{}", one.name(), one.type_info().name()))
                    .collect();
                say!("{parameters:?} {}", columns.join(", "));
            }
            Err(why) => failed(&why),
        }
    }
    Ok(())
}

async fn writes(c: &mut MySqlConnection) -> Outcome {
    prepared!(c, "INSERT INTO people (name, age, balance) VALUES (?, ?, ?)", "Barbara", 79, "99.99");
    all(c, WRITES).await?;
    let mut many = sqlx::QueryBuilder::new("INSERT INTO work (k, v) ");
    many.push_values(0..500, |mut row, n| {
        row.push_bind(n).push_bind(format!("value {n}"));
    });
    say!("affected {}", many.build().execute(&mut *c).await?.rows_affected());
    ask(c, "SELECT COUNT(*), SUM(k), MAX(id) FROM work").await
}

async fn big_values(c: &mut MySqlConnection) -> Outcome {
    let big: Vec<u8> = b"abc\x00\xff".iter().copied().cycle().take(2 << 20).collect();
    prepared!(c, "INSERT INTO work (k, big) VALUES (?, ?)", 7, big);
    ask(c, "SELECT LENGTH(big), SHA2(big, 256), big FROM work WHERE id = LAST_INSERT_ID()").await?;
    ask(c, "SELECT REPEAT('a', 3000000) AS v").await
}

async fn errors(c: &mut MySqlConnection) -> Outcome {
    for sql in ERRORS {
        say!("-- {sql}");
        ask(c, sql).await?;
        prepared!(c, sql);
    }
    if let Err(why) = sqlx::query("INSERT INTO people (name) VALUES ('Ada')").execute(&mut *c).await {
        say!("{:?}", why.as_database_error().map(|e| (e.kind(), e.is_unique_violation())));
    }
    Ok(())
}

async fn transactions(c: &mut MySqlConnection) -> Outcome {
    let mut other = opts()?.connect().await?;
    let mut tx = c.begin().await?;
    ask(&mut tx, "INSERT INTO work (k) VALUES (1000)").await?;
    ask(&mut other, "SELECT COUNT(*) FROM work WHERE k = 1000").await?;
    let mut inner = tx.begin().await?;
    ask(&mut inner, "INSERT INTO work (k) VALUES (1001)").await?;
    inner.rollback().await?;
    let mut inner = tx.begin().await?;
    ask(&mut inner, "INSERT INTO work (k) VALUES (1002)").await?;
    inner.commit().await?;
    tx.commit().await?;
    ask(&mut other, "SELECT k FROM work WHERE k IN (1000, 1001, 1002) ORDER BY k").await?;
    // A transaction that nobody ends is rolled back before the connection's next command.
    let mut tx = c.begin().await?;
    ask(&mut tx, "INSERT INTO work (k) VALUES (1003)").await?;
    drop(tx);
    ask(c, "SELECT COUNT(*) FROM work WHERE k = 1003").await?;
    let mut tx = c.begin_with("START TRANSACTION READ ONLY").await?;
    ask(&mut tx, "SELECT COUNT(*) FROM numbers WHERE n <= 1000").await?;
    ask(&mut tx, "INSERT INTO work (k) VALUES (1)").await?;
    tx.rollback().await?;
    Ok(other.close().await?)
}

async fn procedures(c: &mut MySqlConnection) -> Outcome {
    all(c, &["SET @b = 10", "CALL two_results(3, @b, @c)", "SELECT @b, @c", "CALL fails_late()"]).await?;
    prepared!(c, "CALL two_results(?, @b, @c)", 2);
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

async fn streaming(c: &mut MySqlConnection) -> Outcome {
    let mut sum = 0;
    {
        let mut rows =
            sqlx::query_as::<_, (i32, String)>("SELECT n, REPEAT('x', n) FROM numbers WHERE n <= ? ORDER BY n")
                .bind(1000)
                .fetch(&mut *c);
        while let Some((n, text)) = rows.try_next().await? {
            sum += n as usize + text.len();
        }
    }
    say!("sum {sum}");
    // The rest is thrown away before the next command.
    let first = sqlx::query_scalar::<_, i32>("SELECT n FROM numbers WHERE n <= 1000 ORDER BY n")
        .fetch(&mut *c)
        .try_next()
        .await?;
    say!("first {first:?}");
    ask(c, "SELECT 'after'").await
}

async fn settings() -> Outcome {
    let several = [
        ("plain", opts()?.pipes_as_concat(false).no_engine_substitution(false)),
        ("time-zone", opts()?.timezone(Some("+02:00".to_owned()))),
        ("no-names", opts()?.set_names(false).timezone(None)),
        ("latin1", opts()?.charset("latin1")),
        ("no-cache", opts()?.statement_cache_capacity(0)),
    ];
    for (name, one) in several {
        say!("-- {name}");
        let mut c = one.connect().await?;
        ask(&mut c, "SELECT @@sql_mode, @@time_zone, @@character_set_client, @@collation_connection").await?;
        prepared!(&mut c, "SELECT ts, 'a' || 'b' FROM types WHERE id = ?", 1);
        c.close().await?;
    }
    Ok(())
}

async fn encrypted() -> Outcome {
    for mode in [MySqlSslMode::Required, MySqlSslMode::Disabled] {
        match opts()?.ssl_mode(mode).connect().await {
            Ok(mut c) => {
                ask(&mut c, "SELECT name FROM people WHERE id <= 3 ORDER BY id").await?;
                prepared!(&mut c, "SELECT REPEAT('z', ?) AS z", 100_000);
                c.close().await?;
            }
            Err(why) => failed(&why),
        }
    }
    Ok(())
}

async fn pool() -> Outcome {
    let pool = MySqlPoolOptions::new()
        .max_connections(4)
        .acquire_timeout(Duration::from_secs(30))
        .connect_with(opts()?)
        .await?;
    let worker = async |worker: u32| -> sqlx::Result<()> {
        for n in 0..20 {
            let k = worker * 20 + n;
            sqlx::query("INSERT INTO work (k, v) VALUES (?, 'pool')").bind(k).execute(&pool).await?;
            let back: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM work WHERE v = 'pool' AND k = ?")
                .bind(k)
                .fetch_one(&pool)
                .await?;
            if back != 1 {
                say!("! {k} is there {back} times");
            }
        }
        Ok(())
    };
    for one in futures_util::future::join_all((0..8).map(worker)).await {
        one?;
    }
    let mut c = pool.acquire().await?;
    ask(&mut c, "SELECT COUNT(*), SUM(k) FROM work WHERE v = 'pool'").await?;
    drop(c);
    pool.close().await;
    Ok(())
}

async fn many(c: &mut MySqlConnection) -> Outcome {
    let mut total = 0;
    for n in 0..300 {
        let sql = AssertSqlSafe(format!("SELECT n + {n} FROM numbers WHERE n = ?"));
        total += sqlx::query_scalar::<_, i64>(sql).bind(n + 3).fetch_one(&mut *c).await?;
    }
    say!("sum {total}");
    Ok(())
}

/// Its migrator takes a lock by name and keeps a table of what it has done.
async fn migrations(c: &mut MySqlConnection) -> Outcome {
    use sqlx::SqlSafeStr;
    let one = |version: i64, sql: &'static str| {
        Migration::new(version, Cow::Owned(format!("step {version}")), MigrationType::Simple, sql.into_sql_str(), false)
    };
    let first = one(1, "CREATE TABLE m (id INT PRIMARY KEY); INSERT INTO m VALUES (1), (2)");
    let second = one(2, "ALTER TABLE m ADD COLUMN v VARCHAR(20) NOT NULL DEFAULT 'new'");
    let broken = one(3, "ALTER TABLE m DROP COLUMN nope");
    for steps in [
        vec![first.clone()],
        vec![first.clone(), second.clone()],
        vec![first.clone(), second.clone()],
        vec![first, second, broken],
    ] {
        let migrator = Migrator::with_migrations(steps);
        if let Err(why) = migrator.run(&mut *c).await {
            say!("error {}", cut(&why.to_string()));
        }
        prepared!(c, "SELECT * FROM m ORDER BY id");
        ask(c, "SELECT version, description, success FROM _sqlx_migrations ORDER BY version").await?;
    }
    Ok(())
}

async fn closes(c: MySqlConnection) -> Outcome {
    c.close().await?;
    let pool = MySqlPoolOptions::new().connect_lazy_with(opts()?);
    pool.close().await;
    match pool.acquire().await {
        Ok(_) => say!("! a closed pool gave a connection"),
        Err(why) => failed(&why),
    }
    Ok(())
}
