//! diesel on the C client library: its query builder, its transactions, its pool.

use bigdecimal::BigDecimal;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};
use diesel::result::Error;
use diesel::sql_types::{BigInt, Integer, Text};

use crate::trace::{ERRORS, Outcome, SESSION, WRITES, cut, env, say, step, version};

diesel::table! {
    types (id) {
        id -> Integer, ti -> Nullable<TinyInt>, tu -> Nullable<Unsigned<TinyInt>>, bo -> Nullable<Bool>, si -> Nullable<SmallInt>,
        i -> Nullable<Integer>, iu -> Nullable<Unsigned<Integer>>, bi -> Nullable<BigInt>, bu -> Nullable<Unsigned<BigInt>>,
        f -> Nullable<Float>, d -> Nullable<Double>, de -> Nullable<Numeric>, da -> Nullable<Date>, dt -> Nullable<Datetime>,
        ts -> Nullable<Timestamp>, vc -> Nullable<Varchar>, tx -> Nullable<Text>, vb -> Nullable<Varbinary>, bl -> Nullable<Blob>,
    }
}
diesel::table! {
    people (id) { id -> Unsigned<BigInt>, name -> Varchar, age -> Nullable<Integer>, born -> Nullable<Date>, balance -> Numeric, note -> Nullable<Text>, }
}
diesel::table! {
    items (id) { id -> Integer, person_id -> Unsigned<BigInt>, title -> Nullable<Varchar>, }
}
diesel::table! {
    work (id) { id -> Integer, k -> Nullable<Integer>, v -> Nullable<Varchar>, big -> Nullable<Blob>, }
}
diesel::joinable!(items -> people (person_id));
diesel::allow_tables_to_appear_in_same_query!(items, people);

type Money = (u64, String, Option<i32>, Option<NaiveDate>, BigDecimal, Option<String>);

#[derive(QueryableByName)]
struct Told {
    #[diesel(sql_type = Text)]
    told: String,
}

#[derive(Insertable)]
#[diesel(table_name = work)]
struct Work {
    k: i32,
    v: Option<String>,
}

pub fn run() -> Outcome {
    say!("# version {}", version("diesel"));
    let mut c = MysqlConnection::establish(&url(&env("PASSWORD"), &env("SCHEMA"), ""))?;
    step!("connect", connect(&mut c));
    step!("types", types_of(&mut c));
    step!("parameters", parameters(&mut c));
    step!("queries", queries(&mut c));
    step!("writes", writes(&mut c));
    step!("errors", errors(&mut c));
    step!("transactions", transactions(&mut c));
    step!("batch-of-texts", texts(&mut c));
    step!("streaming", streaming(&mut c));
    step!("session", executed(&mut c, SESSION));
    step!("big-values", big_values(&mut c));
    step!("encrypted", encrypted());
    step!("pool", pool());
    step!("many-statements", many(&mut c));
    step!("migrations", migrations(&mut c));
    say!("== end");
    Ok(())
}

fn url(password: &str, schema: &str, more: &str) -> String {
    format!("mysql://{}:{password}@{}:{}/{schema}{more}", env("USER"), env("HOST"), env("PORT"))
}

fn failed(why: &Error) {
    match why {
        Error::DatabaseError(kind, told) => say!("error {kind:?} {}", cut(told.message())),
        other => say!("error {}", cut(&other.to_string())),
    }
}

/// `select` gives one text per row as `told`.
fn ask(c: &mut MysqlConnection, select: &str) -> Outcome {
    match diesel::sql_query(select).load::<Told>(c) {
        Ok(rows) => rows.iter().for_each(|row| say!("row {}", cut(&row.told))),
        Err(why) => failed(&why),
    }
    Ok(())
}

fn executed(c: &mut MysqlConnection, all: &[&str]) -> Outcome {
    for sql in all {
        match diesel::sql_query(*sql).execute(c) {
            Ok(affected) => say!("affected {affected}"),
            Err(why) => failed(&why),
        }
    }
    ask(c, "SELECT CONCAT_WS(' ', @a, @b, @@sql_mode, DATABASE()) AS told")
}

fn connect(c: &mut MysqlConnection) -> Outcome {
    ask(
        c,
        "SELECT CONCAT_WS(' ', DATABASE(), CURRENT_USER(), @@autocommit, @@sql_mode, @@character_set_client, @@collation_connection, @@time_zone) AS told",
    )?;
    for wrong in [url("wrong", &env("SCHEMA"), ""), url(&env("PASSWORD"), "no_such_schema", "")] {
        say!("{}", if MysqlConnection::establish(&wrong).is_ok() { "! it was let in" } else { "refused" });
    }
    Ok(())
}

fn types_of(c: &mut MysqlConnection) -> Outcome {
    use self::types::dsl::{bi, bl, bo, bu, d, da, de, dt, f, i, id, iu, si, ti, ts, tu, tx, types, vb, vc};
    type First = (
        i32,
        Option<i8>,
        Option<u8>,
        Option<bool>,
        Option<i16>,
        Option<i32>,
        Option<u32>,
        Option<i64>,
        Option<u64>,
        Option<f32>,
        Option<f64>,
    );
    type Second = (
        Option<BigDecimal>,
        Option<NaiveDate>,
        Option<NaiveDateTime>,
        Option<NaiveDateTime>,
        Option<String>,
        Option<String>,
        Option<Vec<u8>>,
        Option<Vec<u8>>,
    );
    let rows: Vec<(First, Second)> = types
        .order(id)
        .select(((id, ti, tu, bo, si, i, iu, bi, bu, f, d), (de, da, dt, ts, vc, tx, vb, bl)))
        .load(c)?;
    rows.iter().for_each(|row| say!("{row:?}"));
    Ok(())
}

fn parameters(c: &mut MysqlConnection) -> Outcome {
    use diesel::sql_types::{Bool, Datetime, Double, Nullable, Time, Unsigned, Varbinary};
    let sql = |n: u32| diesel::sql_query(format!("SELECT HEX(?) AS told /* {n} */"));
    let at = NaiveDate::from_ymd_opt(2024, 2, 29).and_then(|day| day.and_hms_micro_opt(1, 2, 3, 456_789));
    let results = [
        sql(1).bind::<Integer, _>(-1).load::<Told>(c),
        sql(2).bind::<Unsigned<BigInt>, _>(u64::MAX).load(c),
        sql(3).bind::<Double, _>(1.5).load(c),
        sql(4).bind::<Text, _>("it's \\ \"q\" 😀 ünï").load(c),
        sql(5).bind::<Varbinary, _>(vec![0u8, 255, 39, 92]).load(c),
        sql(6).bind::<Bool, _>(true).load(c),
        sql(7).bind::<Nullable<Datetime>, _>(at).load(c),
        sql(8).bind::<Nullable<Time>, _>(NaiveTime::from_hms_opt(1, 2, 3)).load(c),
        sql(9).bind::<Text, _>("").load(c),
    ];
    for one in results {
        one?.iter().for_each(|row| say!("{}", row.told));
    }
    Ok(())
}

fn queries(c: &mut MysqlConnection) -> Outcome {
    let all: Vec<Money> = people::table.filter(people::age.gt(40)).order(people::id).load(c)?;
    say!("{all:?}");
    let joined: Vec<(String, Option<String>)> =
        items::table.inner_join(people::table).order(items::id).select((people::name, items::title)).load(c)?;
    say!("{joined:?}");
    say!("{:?}", people::table.filter(people::name.eq("none")).first::<Money>(c).optional()?);
    say!("{:?}", people::table.count().get_result::<i64>(c)?);
    say!("{:?}", people::table.select(diesel::dsl::sum(people::balance)).first::<Option<BigDecimal>>(c)?);
    say!(
        "{}",
        diesel::select(diesel::dsl::exists(people::table.filter(people::name.like("A%")))).get_result::<bool>(c)?
    );
    Ok(())
}

fn writes(c: &mut MysqlConnection) -> Outcome {
    let rows: Vec<Work> = (0..200).map(|k| Work { k, v: (k % 2 == 0).then(|| format!("value {k}")) }).collect();
    say!("affected {}", diesel::insert_into(work::table).values(&rows).execute(c)?);
    say!("id {}", diesel::select(diesel::dsl::sql::<Unsigned64>("LAST_INSERT_ID()")).get_result::<u64>(c)?);
    say!("affected {}", diesel::update(work::table.filter(work::k.lt(10))).set(work::v.eq("changed")).execute(c)?);
    say!("affected {}", diesel::delete(work::table.filter(work::v.is_null())).execute(c)?);
    say!(
        "affected {}",
        diesel::replace_into(people::table).values((people::id.eq(50), people::name.eq("r"))).execute(c)?
    );
    say!("affected {}", diesel::insert_or_ignore_into(people::table).values(people::name.eq("Ada")).execute(c)?);
    executed(c, WRITES)?;
    ask(c, "SELECT CONCAT_WS(' ', id, name, age) AS told FROM people ORDER BY id")
}

type Unsigned64 = diesel::sql_types::Unsigned<BigInt>;

fn errors(c: &mut MysqlConnection) -> Outcome {
    for sql in ERRORS {
        say!("-- {sql}");
        ask(c, sql)?;
        executed(c, &[sql])?;
    }
    Ok(())
}

fn transactions(c: &mut MysqlConnection) -> Outcome {
    let mut other = MysqlConnection::establish(&url(&env("PASSWORD"), &env("SCHEMA"), ""))?;
    let add = |c: &mut MysqlConnection, k: i32| diesel::insert_into(work::table).values(work::k.eq(k)).execute(c);
    let count = |c: &mut MysqlConnection, k: i32| work::table.filter(work::k.eq(k)).count().get_result::<i64>(c);
    let outcome: Result<(), Error> = c.transaction(|c| {
        add(c, 1000)?;
        say!("{} {}", count(c, 1000)?, count(&mut other, 1000)?);
        let inner: Result<(), Error> = c.transaction(|c| {
            add(c, 1001)?;
            Err(Error::RollbackTransaction)
        });
        say!("{inner:?}");
        Ok(())
    });
    say!("{outcome:?} {} {}", count(&mut other, 1000)?, count(&mut other, 1001)?);
    let outcome: Result<(), Error> = c.transaction(|c| {
        add(c, 1002)?;
        diesel::sql_query("SELECT * FROM no_such_table").execute(c).map(drop)
    });
    say!("{} {}", outcome.is_err(), count(c, 1002)?);
    let locked: Vec<i32> =
        c.transaction(|c| work::table.filter(work::k.eq(1000)).select(work::id).for_update().load(c))?;
    say!("{}", locked.len());
    c.begin_test_transaction()?;
    add(c, 1003)?;
    say!("{} {}", count(c, 1003)?, count(&mut other, 1003)?);
    c.test_transaction::<_, Error, _>(|_| Ok(()));
    Ok(())
}

/// `batch_execute` sends several statements at once.
fn texts(c: &mut MysqlConnection) -> Outcome {
    use diesel::connection::SimpleConnection;
    for sql in [
        "SET @b = 10; CALL two_results(3, @b, @c); SELECT @b",
        "INSERT INTO work (k) VALUES (3000); SELECT * FROM no_such_table; SELECT 3",
        "CALL fails_late()",
    ] {
        match c.batch_execute(sql) {
            Ok(()) => say!("done"),
            Err(why) => failed(&why),
        }
    }
    ask(c, "SELECT CONCAT(@b, @c, COUNT(*)) AS told FROM work WHERE k = 3000")
}

fn streaming(c: &mut MysqlConnection) -> Outcome {
    let sql = "SELECT REPEAT('x', n) AS told FROM numbers WHERE n <= 1000 ORDER BY n";
    let mut sum = 0;
    for row in diesel::sql_query(sql).load_iter::<Told, diesel::connection::DefaultLoadingMode>(c)? {
        sum += row?.told.len();
    }
    say!("sum {sum}");
    // The rest is thrown away.
    say!(
        "first {:?}",
        diesel::sql_query(sql)
            .load_iter::<Told, diesel::connection::DefaultLoadingMode>(c)?
            .next()
            .transpose()?
            .map(|row| row.told)
    );
    ask(c, "SELECT 'after' AS told")
}

fn big_values(c: &mut MysqlConnection) -> Outcome {
    let big: Vec<u8> = b"abc\x00\xff".iter().copied().cycle().take(2 << 20).collect();
    diesel::insert_into(work::table).values((work::k.eq(7), work::big.eq(&big))).execute(c)?;
    let back: Option<Vec<u8>> =
        work::table.filter(work::k.eq(7).and(work::big.is_not_null())).select(work::big).first(c)?;
    say!("{}", back == Some(big));
    ask(c, "SELECT REPEAT('a', 3000000) AS told")
}

fn encrypted() -> Outcome {
    match MysqlConnection::establish(&url(&env("PASSWORD"), &env("SCHEMA"), "?ssl_mode=REQUIRED")) {
        Ok(mut c) => ask(&mut c, "SELECT name AS told FROM people WHERE id <= 3 ORDER BY id"),
        Err(why) => {
            say!("error {}", cut(&why.to_string().replace(&env("PORT"), "PORT")));
            Ok(())
        }
    }
}

fn pool() -> Outcome {
    let manager = ConnectionManager::<MysqlConnection>::new(url(&env("PASSWORD"), &env("SCHEMA"), ""));
    let pool = Pool::builder().max_size(4).test_on_check_out(true).build(manager)?;
    let worker = |worker: i32| -> Result<(), String> {
        for n in 0..20 {
            let (k, mut c) = (worker * 20 + n, pool.get().map_err(|why| why.to_string())?);
            let one = Work { k, v: Some("pool".to_owned()) };
            diesel::insert_into(work::table).values(&one).execute(&mut c).map_err(|why| why.to_string())?;
            let back = work::table.filter(work::v.eq("pool").and(work::k.eq(k))).count().get_result::<i64>(&mut c);
            if back != Ok(1) {
                return Err(format!("{k} is there {back:?} times"));
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|n| scope.spawn(move || worker(n))).collect();
        all.into_iter().try_for_each(|one| one.join().map_err(|_| "a worker fell".to_owned())?)
    })?;
    let mut c = pool.get()?;
    ask(&mut c, "SELECT CONCAT(COUNT(*), ' ', SUM(k)) AS told FROM work WHERE v = 'pool'")
}

fn many(c: &mut MysqlConnection) -> Outcome {
    let mut total = 0;
    for n in 0..300 {
        let sql = diesel::sql_query(format!("SELECT CAST(n + {n} AS CHAR) AS told FROM numbers WHERE n = ?"));
        let rows = sql.bind::<Integer, _>(n + 3).load::<Told>(c)?;
        total += rows.first().map_or(Ok(0), |row| row.told.parse::<i64>())?;
    }
    say!("sum {total}");
    Ok(())
}

fn migrations(c: &mut MysqlConnection) -> Outcome {
    let steps = [
        "CREATE TABLE m (id INT PRIMARY KEY)",
        "INSERT INTO m VALUES (1), (2)",
        "ALTER TABLE m ADD COLUMN v VARCHAR(20) NOT NULL DEFAULT 'new', ADD INDEX (v)",
    ];
    executed(c, &steps)?;
    ask(c, "SELECT CONCAT_WS(' ', id, v) AS told FROM m ORDER BY id")?;
    ask(
        c,
        "SELECT CONCAT_WS(' ', COLUMN_NAME, COLUMN_TYPE, COLUMN_KEY) AS told FROM information_schema.columns WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'm' ORDER BY ORDINAL_POSITION",
    )?;
    executed(c, &["RENAME TABLE m TO m2", "DROP TABLE m2", "DROP TABLE m2"])
}
