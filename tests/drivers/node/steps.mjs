// The steps of a driver of Node's. `driver` says how it connects, asks, prepares and streams.
import { env, error, main, say, value } from "./trace.mjs";

export async function run(driver, version) {
  let c = await driver.connect({});
  const ask = async (sql, args, on = c) => {
    try {
      driver.show(await driver.query(on, sql, args));
    } catch (e) {
      error(e);
    }
  };
  const prepared = async (sql, args, on = c) => {
    try {
      driver.show(await driver.execute(on, sql, args));
    } catch (e) {
      error(e);
    }
  };
  const values = [1, -1, 1.5, "text", "it's \\ \"q\"", "😀 ünï", "", Buffer.from([0, 255, 39, 92, 34]), null, true, false, new Date(Date.UTC(2024, 1, 29, 1, 2, 3, 456)), 9223372036854775807n, 18446744073709551615n];
  const steps = {
    async connect() {
      await ask("SELECT DATABASE(), CURRENT_USER(), @@autocommit, @@sql_mode, @@character_set_client, @@collation_connection, @@time_zone, @@transaction_isolation");
      await ask("SELECT CONNECTION_ID() = ? AS same", [driver.id(c)]);
      for (const wrong of [{ password: "wrong" }, { database: "no_such_schema" }])
        try {
          await driver.connect(wrong);
          say("! it was let in");
        } catch (e) {
          say("error", e.code, e.errno, e.sqlState);
        }
    },
    async "types-text"() {
      await ask("SELECT * FROM types ORDER BY id");
      await ask("SELECT 1, -1, 1.5, 1e3, 'a', x'00ff' AS x, NULL, CAST(5 AS UNSIGNED), DATE'2020-01-01', TIME'01:02:03', TIMESTAMP'2020-01-01 00:00:00.5', CAST('{\"a\":1}' AS JSON), b'101' AS b");
    },
    async "types-prepared"() {
      for (const id of [1, 2, 3, 4]) await prepared("SELECT * FROM types WHERE id = ?", [id]);
    },
    async parameters() {
      // Each a statement of its own: what MySQL makes of a bare `?` also follows from the types of earlier executes.
      for (const [n, v] of values.entries()) {
        await ask(`SELECT HEX(?) AS v, LENGTH(?) AS l /* ${n} */`, [v, v]);
        await prepared(`SELECT HEX(?) AS v, LENGTH(?) AS l /* ${n} */`, [v, v]);
      }
      await prepared("SELECT id, name FROM people WHERE id IN (?, ?) AND age > ? ORDER BY id", [1, 3, 40]);
    },
    async writes() {
      await ask("INSERT INTO people (name, age, balance) VALUES (?, ?, ?)", ["Barbara", 79, "99.99"]);
      await prepared("INSERT INTO people (name, age, balance) VALUES (?, ?, ?)", ["Frances", 88, 1.25]);
      await ask("SELECT LAST_INSERT_ID()");
      await ask("INSERT INTO people (name) VALUES ('x1'), ('x2'), ('x3')");
      for (const sql of ["UPDATE people SET age = 1 WHERE name LIKE 'x%'", "UPDATE people SET age = 1 WHERE name LIKE 'x%'", "DELETE FROM people WHERE name = 'x2'", "INSERT INTO people (name, age) VALUES ('Ada', 1) ON DUPLICATE KEY UPDATE age = 37", "REPLACE INTO numbers VALUES (1), (2000)", "INSERT IGNORE INTO numbers VALUES (1), (2001)", "SHOW WARNINGS", "SELECT id, name, age FROM people ORDER BY id"]) await ask(sql);
    },
    async batches() {
      await driver.batch(c, "INSERT INTO work (k, v) VALUES (?, ?)", Array.from({ length: 200 }, (_, n) => [n, "value " + n]));
      await ask("SELECT COUNT(*), MIN(id), MAX(id), SUM(k) FROM work");
      for (let n = 0; n < 50; n++) await prepared("INSERT INTO work (k, v) VALUES (?, ?)", [n, "prepared"]);
      await ask("SELECT COUNT(*), MAX(id) FROM work");
    },
    async "many-at-once"() {
      // Sent without waiting for each other.
      const all = await Promise.all(Array.from({ length: 50 }, (_, n) => driver.query(c, "SELECT ? + n AS v FROM numbers WHERE n = ?", [n, n + 1])));
      all.forEach((one) => driver.show(one));
    },
    async "big-values"() {
      const big = Buffer.alloc(2 << 20, "abc\x00\xff");
      await prepared("INSERT INTO work (k, big) VALUES (?, ?)", [7, big]);
      await ask("SELECT LENGTH(big), SHA2(big, 256), big FROM work WHERE id = LAST_INSERT_ID()");
      await ask("SELECT REPEAT('a', 3000000) AS v");
    },
    async errors() {
      for (const sql of ["SELEC 1", "SELECT * FROM no_such_table", "SELECT nope FROM people", "INSERT INTO people (name) VALUES ('Ada')", "INSERT INTO people (name) VALUES (NULL)", "INSERT INTO items (person_id) VALUES (99999)", "DELETE FROM people WHERE id = 1", "INSERT INTO types (id, ti) VALUES (9, 1000)", "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'mine', MYSQL_ERRNO = 5000", "CALL no_such_procedure()"]) {
        say("--", sql);
        await ask(sql);
        await prepared(sql, []);
      }
      await prepared("SELECT ?", []);
    },
    async transactions() {
      const other = await driver.connect({});
      const k = (n, on) => ask("SELECT COUNT(*) AS n FROM work WHERE k = " + n, undefined, on);
      await c.beginTransaction();
      await ask("INSERT INTO work (k) VALUES (1000)");
      await k(1000, other);
      await k(1000);
      await c.rollback();
      await k(1000);
      await c.beginTransaction();
      await ask("INSERT INTO work (k) VALUES (1001)");
      await ask("SAVEPOINT a");
      await ask("INSERT INTO work (k) VALUES (1002)");
      await ask("ROLLBACK TO a");
      await c.commit();
      await k(1001, other);
      await k(1002, other);
      await ask("SET autocommit = 0");
      await ask("INSERT INTO work (k) VALUES (1003)");
      await k(1003, other);
      await ask("SET autocommit = 1");
      await k(1003, other);
      for (const level of ["READ UNCOMMITTED", "READ COMMITTED", "SERIALIZABLE", "REPEATABLE READ"]) {
        await ask("SET SESSION TRANSACTION ISOLATION LEVEL " + level);
        await ask("SELECT @@transaction_isolation");
      }
      await ask("START TRANSACTION READ ONLY");
      await ask("SELECT COUNT(*) FROM numbers WHERE n <= 1000");
      await ask("UPDATE numbers SET n = n");
      await c.rollback();
      await driver.end(other);
    },
    async procedures() {
      await ask("SET @b = 10");
      await ask("CALL two_results(3, @b, @c)");
      await ask("SELECT @b, @c");
      await prepared("CALL two_results(?, @b, @c)", [2]);
      await ask("CALL fails_late()");
      await ask("SELECT doubled(21)");
    },
    async "multi-results"() {
      await ask("SELECT 1 AS a; SELECT 2 AS b, 'x' AS c; INSERT INTO work (k) VALUES (3000), (3001); DO 1; SELECT NULL");
      await ask("SELECT 1; SELECT * FROM no_such_table; SELECT 3");
    },
    async streaming() {
      let [count, sum] = [0, 0];
      await driver.stream(c, "SELECT n, REPEAT('x', n) AS x FROM numbers WHERE n <= 1000", (row) => {
        count += 1;
        sum += Array.isArray(row) ? row[0] : row.n;
      });
      say("rows", count, "sum", sum);
      await ask("SELECT 'after'");
    },
    async "load-data"() {
      const local = await driver.connect({ local: true });
      const sql = "LOAD DATA LOCAL INFILE '" + env.scratch + "/rows.csv' INTO TABLE loaded FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"'";
      try {
        driver.show(await driver.load(local, sql));
      } catch (e) {
        error(e);
      }
      await ask("SELECT * FROM loaded ORDER BY id, name");
      await driver.end(local);
      const refused = await driver.connect({});
      try {
        await driver.query(refused, sql);
        say("loaded");
      } catch (e) {
        say("error", e.code, e.errno);
      }
      await driver.end(refused).catch((e) => say("end", e.code));
    },
    async "pings-and-resets"() {
      await ask("SET @mine = 5, SESSION max_sort_length = 77");
      await ask("CREATE TEMPORARY TABLE temp (id INT)");
      await c.ping();
      await ask("SELECT @mine, @@max_sort_length");
      say("reset", await driver.reset(c));
      await ask("SELECT @mine, @@max_sort_length, DATABASE()");
      await ask("SELECT * FROM temp");
      await driver.changeUser(c, { user: "other", password: "other", database: env.schema });
      await ask("SELECT CURRENT_USER(), @mine, DATABASE()");
      await driver.changeUser(c, { user: env.user, password: env.password, database: env.schema });
      await ask("SELECT CURRENT_USER()");
    },
    async session() {
      for (const sql of ["CREATE TEMPORARY TABLE temp (id INT AUTO_INCREMENT PRIMARY KEY, v TEXT)", "INSERT INTO temp (v) VALUES ('a'), ('b')", "SELECT * FROM temp", "SELECT COUNT(*) FROM people", "DROP TEMPORARY TABLE temp", "SET @a = 5, @b = 'text', @d = 1.25", "SELECT @a, @b, @d", "SELECT COUNT(*) INTO @n FROM items", "SELECT @n", "SET time_zone = '+05:30'", "SELECT @@time_zone, ts FROM types WHERE id = 1", "SET time_zone = DEFAULT", "SET SESSION sql_mode = 'ANSI_QUOTES'", "SELECT \"name\" FROM people WHERE id = 1", "SET SESSION sql_mode = DEFAULT", "SET NAMES latin1", "SELECT 'x', @@collation_connection", "SET NAMES utf8mb4", "SELECT '😀' AS smile", "SET SESSION sql_select_limit = 2", "SELECT n FROM numbers ORDER BY n", "SET SESSION sql_select_limit = DEFAULT", "SELECT SQL_CALC_FOUND_ROWS n FROM numbers WHERE n <= 1000 ORDER BY n LIMIT 2", "SELECT FOUND_ROWS() AS f", "SHOW TABLES", "USE " + env.schema + "_2", "SELECT DATABASE()", "USE " + env.schema, "SHOW COLUMNS FROM people", "EXPLAIN SELECT name FROM people WHERE id = 1"]) {
        say("--", sql);
        await ask(sql);
      }
    },
    async locks() {
      const other = await driver.connect({});
      await ask("SET SESSION innodb_lock_wait_timeout = 1", undefined, other);
      await c.beginTransaction();
      await ask("UPDATE locks SET n = n + 1 WHERE id = 1");
      await ask("SELECT * FROM locks WHERE id = 1 FOR UPDATE NOWAIT", undefined, other);
      await ask("SELECT * FROM locks ORDER BY id FOR UPDATE SKIP LOCKED", undefined, other);
      await ask("UPDATE locks SET n = n + 1 WHERE id = 1", undefined, other);
      await other.beginTransaction();
      await ask("INSERT INTO work (k) SELECT n FROM numbers WHERE n <= 50", undefined, other);
      await ask("UPDATE locks SET n = 2 WHERE id = 2", undefined, other);
      const second = driver.query(other, "UPDATE locks SET n = 2 WHERE id = 1").then(() => "it went on", (e) => "error " + e.code);
      await ask("SET @x = 1");
      await ask("UPDATE locks SET n = 1 WHERE id = 2");
      await c.rollback();
      say(await second);
      await other.rollback();
      await driver.end(other);
    },
    async kills() {
      const other = await driver.connect({});
      await ask("KILL QUERY " + driver.id(other));
      await ask("SELECT 'lives'", undefined, other);
      await ask("KILL " + driver.id(other));
      try {
        await driver.query(other, "SELECT 1");
        say("! a killed connection answered");
      } catch (e) {
        say("error", e.fatal ?? "-");
      }
      await ask("KILL 4000000000");
    },
    async attributes() {
      const other = await driver.connect({ attributes: { program_name: "drivers-test" } });
      await ask("SELECT ATTR_NAME, ATTR_VALUE FROM performance_schema.session_account_connect_attrs WHERE PROCESSLIST_ID = CONNECTION_ID() AND ATTR_NAME IN ('program_name', '_client_name') ORDER BY 1", undefined, other);
      await driver.end(other);
    },
    async encrypted() {
      const other = await driver.connect({ tls: true });
      await ask("SELECT name FROM people WHERE id <= 3 ORDER BY id", undefined, other);
      await prepared("SELECT REPEAT('z', ?) AS z", [100000], other);
      await driver.end(other);
    },
    async pool() {
      const pool = driver.pool();
      const all = await Promise.all(Array.from({ length: 40 }, (_, n) => driver.poolQuery(pool, n % 4 ? "SELECT ? AS v" : "INSERT INTO work (k) VALUES (?)", [n])));
      say("answers", all.length);
      await ask("SELECT COUNT(*) AS n FROM work WHERE k IN (36, 32)");
      await pool.end();
    },
    async closes() {
      await driver.end(c);
      try {
        await driver.query(c, "SELECT 1");
        say("! a closed connection answered");
      } catch (e) {
        say("error", e.code);
      }
    },
  };
  await main(version, steps);
}

export { value, say };
