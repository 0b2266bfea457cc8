"""The steps of a DB-API driver. A driver's own file says how it connects and what else it can."""
import datetime, decimal, os, threading
from trace import error, main, row, say, value

HOST, PORT = os.environ["WEIR_HOST"], int(os.environ["WEIR_PORT"])
USER, PASSWORD, SCHEMA = os.environ["WEIR_USER"], os.environ["WEIR_PASSWORD"], os.environ["WEIR_SCHEMA"]
SCRATCH = os.environ["WEIR_SCRATCH"]
PEOPLE = "INSERT INTO people (name, age, born, balance) VALUES (%s, %s, %s, %s)"


class Driver:
    """Overridden where a driver differs. `connect(**)` gives a connection with autocommit off, as DB-API says."""

    errors = Exception
    has_deadlock = True
    has_local_files = True

    def connect(self, **more):
        raise NotImplementedError

    def tls(self):
        return None

    def compressed(self):
        return None

    def stream(self, c):
        """A cursor whose rows stay on the server or the wire."""
        return c.cursor()

    def autocommit(self, c, on):
        c.autocommit(on)

    def ping(self, c):
        c.ping()

    def change_user(self, c):
        return None

    def reset(self, c):
        return None

    def prepared(self, c):
        """A cursor that prepares on the server."""
        return None

    def thread_id(self, c):
        return c.thread_id()

    def out_parameters(self, cur, name, args):
        """Calls a procedure, prints all results and the out-parameters by the driver's convention."""
        cur.callproc(name, args)
        self.results(cur)
        cur.execute("SELECT %s" % ", ".join("@_%s_%d" % (name, at) for at in range(len(args))))
        for r in cur.fetchall():
            row(r)

    def results(self, cur):
        while True:
            say("result", "rows", cur.rowcount, columns(cur))
            if cur.description:
                for r in cur.fetchall():
                    row(r)
            if not cur.nextset():
                return

    def warnings(self, cur):
        cur.execute("SHOW WARNINGS")
        for r in cur.fetchall():
            row(r)


def columns(cur):
    return value([list(one) for one in cur.description]) if cur.description else "no columns"


def ask(cur, sql, args=None):
    """Runs one statement and prints all that comes of it."""
    try:
        cur.execute(sql, args) if args is not None else cur.execute(sql)
        if cur.description:
            for r in cur.fetchall():
                row(r)
        say("rowcount", cur.rowcount, "lastrowid", cur.lastrowid)
    except Exception as e:
        error(e)


class Steps:
    def __init__(self, driver):
        self.driver = driver
        self.c = driver.connect()

    def all(self):
        names = [name for name in type(self).__dict__ if not name.startswith("_") and name not in ("all",)]
        return [(name.replace("_", "-"), getattr(self, name)) for name in names]

    def connect(self):
        cur = self.c.cursor()
        ask(cur, "SELECT DATABASE(), CURRENT_USER(), @@autocommit, @@sql_mode, @@character_set_client, @@character_set_results, @@collation_connection, @@time_zone, @@transaction_isolation")
        ask(cur, "SELECT VERSION() LIKE '9.%%', CONNECTION_ID() = %s AS same" % self.driver.thread_id(self.c))
        try:
            self.driver.connect(password="wrong")
            say("! a wrong password was taken")
        except self.driver.errors as e:
            say("wrong password", type(e).__name__, e.args[0])
        try:
            self.driver.connect(database="no_such_schema")
            say("! a schema that is none was taken")
        except self.driver.errors as e:
            error(e)

    def types_text(self):
        cur = self.c.cursor()
        cur.execute("SELECT * FROM types ORDER BY id")
        for d in cur.description:
            say("column", value(list(d)))
        for r in cur.fetchall():
            for v in r:
                say(value(v))
        ask(cur, "SELECT 1, -1, 1.5, 1e3, 'a', x'00ff', NULL, NOW() IS NULL, CAST(5 AS UNSIGNED), DATE'2020-01-01', TIME'01:02:03', TIMESTAMP'2020-01-01 00:00:00.5', CAST('{\"a\":1}' AS JSON), b'101', TRUE")

    def parameters(self):
        cur = self.c.cursor()
        values = [
            1, -1, 2**63 - 1, 2**64 - 1, 1.5, -1e300, decimal.Decimal("12345678901234567890.0123456789"), "text", "it's \\ \"q\" %", "😀 ünï", "", b"\x00\xff\x27\x5c\x22", b"",
            None, True, False, datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 1, 2, 3, 456789), datetime.timedelta(hours=-100, microseconds=5), datetime.time(1, 2, 3),
        ]
        for v in values:
            # A literal of bytes comes back as text with MySQL 9, which not every driver can read.
            ask(cur, "SELECT HEX(%s) AS v" if isinstance(v, bytes) else "SELECT %s AS v", (v,))
        ask(cur, "SELECT id, name FROM people WHERE id IN (%s, %s) AND born > %s ORDER BY id", (1, 3, datetime.date(1900, 1, 1)))
        ask(cur, "SELECT COUNT(*) FROM types WHERE bu = %s OR de = %s", (2**64 - 1, decimal.Decimal("3.125")))

    def writes(self):
        cur = self.c.cursor()
        ask(cur, PEOPLE, ("Barbara", 79, datetime.date(1939, 11, 7), decimal.Decimal("99.99")))
        ask(cur, "INSERT INTO people (name) VALUES ('x1'), ('x2'), ('x3')")
        ask(cur, "SELECT LAST_INSERT_ID()")
        ask(cur, "UPDATE people SET age = 1 WHERE name LIKE 'x%'")
        ask(cur, "UPDATE people SET age = 1 WHERE name LIKE 'x%'")
        ask(cur, "DELETE FROM people WHERE name = 'x2'")
        ask(cur, "INSERT INTO people (name, age) VALUES ('Ada', 1) ON DUPLICATE KEY UPDATE age = 37")
        ask(cur, "REPLACE INTO numbers VALUES (1), (2000)")
        ask(cur, "INSERT IGNORE INTO numbers VALUES (1), (2001)")
        self.driver.warnings(cur)
        self.c.commit()
        ask(cur, "SELECT id, name, age FROM people ORDER BY id")
        self.c.commit()

    def batches(self):
        cur = self.c.cursor()
        cur.executemany("INSERT INTO work (k, v) VALUES (%s, %s)", [(n, "value %d" % n) for n in range(500)])
        say("rowcount", cur.rowcount, "lastrowid", cur.lastrowid)
        cur.executemany("UPDATE work SET v = %s WHERE k = %s", [("again", n) for n in range(20)])
        say("rowcount", cur.rowcount)
        self.c.commit()
        ask(cur, "SELECT COUNT(*), MIN(id), MAX(id), SUM(k), COUNT(DISTINCT v) FROM work")
        try:
            cur.executemany("INSERT INTO people (name) VALUES (%s)", [("new",), ("Ada",), ("newer",)])
        except self.driver.errors as e:
            error(e)
        self.c.rollback()

    def big_values(self):
        cur = self.c.cursor()
        blob = bytes(range(256)) * 8192
        ask(cur, "INSERT INTO work (k, big) VALUES (%s, %s)", (7, blob))
        ask(cur, "SELECT LENGTH(big), SHA2(big, 256), big FROM work WHERE k = 7 AND big IS NOT NULL")
        ask(cur, "SELECT REPEAT('a', 3000000), REPEAT('é', 100)")
        self.c.commit()

    def errors(self):
        cur = self.c.cursor()
        for sql in [
            "SELEC 1", "SELECT * FROM no_such_table", "SELECT no_such_column FROM people", "INSERT INTO people (name) VALUES ('Ada')", "INSERT INTO people (name) VALUES (NULL)",
            "INSERT INTO items (person_id) VALUES (99999)", "DELETE FROM people WHERE id = 1", "SELECT 1/0", "INSERT INTO types (id, ti) VALUES (9, 1000)", "CALL no_such_procedure()",
            "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'mine', MYSQL_ERRNO = 5000", "SELECT ST_GeomFromText('nonsense')", "DROP TABLE no_such_table", "CREATE TABLE people (id INT)", "USE no_such_schema", "",
        ]:
            say("--", sql)
            ask(cur, sql)
        self.c.rollback()
        ask(cur, "SELECT 'still here'")

    def warnings(self):
        cur = self.c.cursor()
        for sql in ["SELECT CAST('12abc' AS SIGNED), 1/0", "SELECT '1x' + 1", "DROP TABLE IF EXISTS none_1, none_2", "CREATE TABLE IF NOT EXISTS people (id INT)"]:
            ask(cur, sql)
            self.driver.warnings(cur)
        cur.execute("SET SESSION sql_mode = ''")
        ask(cur, "INSERT INTO types (id, ti, c) VALUES (9, 1000, 'far too long for it')")
        self.driver.warnings(cur)
        self.c.rollback()
        cur.execute("SET SESSION sql_mode = DEFAULT")

    def transactions(self):
        c, other = self.c, self.driver.connect()
        cur, seen = c.cursor(), other.cursor()
        self.driver.autocommit(other, True)
        cur.execute("INSERT INTO work (k) VALUES (1000)")
        ask(seen, "SELECT COUNT(*) FROM work WHERE k = 1000")
        ask(cur, "SELECT COUNT(*) FROM work WHERE k = 1000")
        c.rollback()
        ask(cur, "SELECT COUNT(*) FROM work WHERE k = 1000")
        cur.execute("INSERT INTO work (k) VALUES (1001)")
        c.commit()
        ask(seen, "SELECT COUNT(*) FROM work WHERE k = 1001")
        cur.execute("INSERT INTO work (k) VALUES (1002)")
        cur.execute("CREATE TABLE ddl_commits (id INT)")
        c.rollback()
        ask(seen, "SELECT COUNT(*) FROM work WHERE k = 1002")
        for sql in ["BEGIN", "INSERT INTO work (k) VALUES (1003)", "SAVEPOINT a", "INSERT INTO work (k) VALUES (1004)", "SAVEPOINT b", "ROLLBACK TO SAVEPOINT a", "RELEASE SAVEPOINT b", "RELEASE SAVEPOINT a", "COMMIT"]:
            ask(cur, sql)
        ask(cur, "SELECT k FROM work WHERE k IN (1003, 1004)")
        ask(cur, "COMMIT AND CHAIN")
        ask(cur, "ROLLBACK AND NO CHAIN")
        other.close()
        c.commit()

    def isolation(self):
        cur = self.c.cursor()
        for level in ["READ UNCOMMITTED", "READ COMMITTED", "SERIALIZABLE", "REPEATABLE READ"]:
            ask(cur, "SET SESSION TRANSACTION ISOLATION LEVEL " + level)
            ask(cur, "SELECT @@transaction_isolation")
        self.c.commit()
        ask(cur, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY")
        ask(cur, "INSERT INTO work (k) VALUES (1)")
        self.c.rollback()
        ask(cur, "START TRANSACTION READ ONLY")
        ask(cur, "SELECT COUNT(*) FROM numbers WHERE n <= 1000")
        ask(cur, "UPDATE numbers SET n = n")
        self.c.commit()
        ask(cur, "SET SESSION TRANSACTION READ ONLY")
        ask(cur, "SELECT @@transaction_read_only")
        ask(cur, "DELETE FROM work")
        self.c.rollback()
        ask(cur, "SET SESSION TRANSACTION READ WRITE")
        ask(cur, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
        ask(cur, "SELECT n FROM locks WHERE id = 1")
        self.c.commit()

    def autocommit(self):
        cur, driver = self.c.cursor(), self.driver
        for on in (True, False, True):
            driver.autocommit(self.c, on)
            ask(cur, "SELECT @@autocommit")
            ask(cur, "INSERT INTO work (k) VALUES (2000)")
            self.c.rollback()
            ask(cur, "SELECT COUNT(*) FROM work WHERE k = 2000")
        driver.autocommit(self.c, False)

    def procedures(self):
        cur = self.c.cursor()
        self.driver.out_parameters(cur, "two_results", [3, 10, None])
        self.c.commit()
        cur = self.c.cursor()
        try:
            cur.execute("CALL fails_late()")
            self.driver.results(cur)
        except self.driver.errors as e:
            error(e)
        self.c.rollback()
        cur = self.c.cursor()
        ask(cur, "SELECT doubled(21)")
        ask(cur, "SELECT * FROM elders ORDER BY id")

    def multi_results(self):
        self._multi("SELECT 1 AS a; SELECT 2 AS b, 'x' AS c; INSERT INTO work (k) VALUES (3000), (3001); SELECT LAST_INSERT_ID() > 0; DO 1; SELECT NULL")
        self._multi("SELECT 1; SELECT * FROM no_such_table; SELECT 3")
        self.c.commit()

    def _multi(self, sql):
        cur = self.c.cursor()
        try:
            cur.execute(sql)
            self.driver.results(cur)
        except self.driver.errors as e:
            error(e)

    def streaming(self):
        cur = self.driver.stream(self.c)
        cur.execute("SELECT n, REPEAT('x', n) FROM numbers WHERE n BETWEEN 1 AND 1000 ORDER BY n")
        one, some = cur.fetchone(), cur.fetchmany(10)
        say(value(one), value(some))
        total = 0
        for r in cur:
            total += r[0]
        say("sum", total)
        cur.close()
        cur = self.c.cursor()
        ask(cur, "SELECT 'after'")
        self.c.commit()

    def interrupted_stream(self):
        c = self.driver.connect()
        cur = self.driver.stream(c)
        cur.execute("SELECT a.n FROM numbers a, numbers b ORDER BY 1 LIMIT 200000")
        say(value(cur.fetchone()))
        c.close()
        ask(self.c.cursor(), "SELECT 'well'")
        self.c.commit()

    def load_data(self):
        if not self.driver.has_local_files:
            return say("not by this driver")
        sql = "LOAD DATA LOCAL INFILE '%s/%s' INTO TABLE loaded FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"'"
        c = self.driver.connect(local_infile=True)
        cur = c.cursor()
        ask(cur, sql % (SCRATCH, "rows.csv"))
        self.driver.warnings(cur)
        c.commit()
        ask(cur, "SELECT * FROM loaded ORDER BY id, name")
        c.close()
        # Some drivers cannot go on after these, or leave a socket open: no transaction is to stay on it.
        for local, file in ((True, "no_such_file"), (False, "rows.csv")):
            c = self.driver.connect(local_infile=local)
            self.driver.autocommit(c, True)
            try:
                c.cursor().execute(sql % (SCRATCH, file))
                say(file, "loaded")
            except Exception as e:
                say("error", type(e).__name__, value(e.args[0]).replace(SCRATCH, ""))
            try:
                c.close()
            except Exception as e:
                say("close", type(e).__name__)

    def pings_and_resets(self):
        cur = self.c.cursor()
        cur.execute("SET @mine = 5, SESSION max_sort_length = 77")
        cur.execute("CREATE TEMPORARY TABLE gone_after (id INT)")
        say("ping", value(self.driver.ping(self.c)))
        ask(cur, "SELECT @mine, @@max_sort_length")
        if self.driver.reset(self.c) is not None:
            cur = self.c.cursor()
            ask(cur, "SELECT @mine, @@max_sort_length, DATABASE()")
            ask(cur, "SELECT * FROM gone_after")
        if self.driver.change_user(self.c) is not None:
            cur = self.c.cursor()
            ask(cur, "SELECT CURRENT_USER(), @mine, DATABASE()")
        self.c.close()
        self.c = self.driver.connect()

    def temporary_tables(self):
        cur = self.c.cursor()
        for sql in ["CREATE TEMPORARY TABLE temp (id INT AUTO_INCREMENT PRIMARY KEY, v TEXT)", "INSERT INTO temp (v) VALUES ('a'), ('b')", "SELECT * FROM temp", "SELECT COUNT(*) FROM people", "SELECT t.v, p.name FROM temp t JOIN people p ON p.id = t.id ORDER BY 1", "DROP TEMPORARY TABLE temp", "SELECT * FROM temp"]:
            ask(cur, sql)
        self.c.rollback()

    def user_variables(self):
        cur = self.c.cursor()
        for sql in ["SET @a = 5, @b = 'text', @c = NULL, @d = 1.25", "SELECT @a, @b, @c, @d", "SELECT COUNT(*) INTO @n FROM people", "SELECT @n", "SELECT @a := @a + 1", "SELECT @a", "SET @f = (SELECT MAX(n) FROM locks)", "SELECT @f"]:
            ask(cur, sql)
        self.c.commit()

    def session_variables(self):
        cur = self.c.cursor()
        for sql in [
            "SET time_zone = '+05:30'", "SELECT @@time_zone, FROM_UNIXTIME(0)", "SELECT ts FROM types WHERE id = 1", "SET time_zone = 'no/where'", "SET time_zone = DEFAULT", "SET SESSION sql_mode = 'ANSI_QUOTES'", "SELECT \"name\" FROM people WHERE id = 1",
            "SET SESSION sql_mode = DEFAULT", "SET SESSION group_concat_max_len = 5", "SELECT GROUP_CONCAT(name) FROM people", "SET SESSION group_concat_max_len = DEFAULT", "SET SESSION wait_timeout = 1000", "SHOW SESSION VARIABLES LIKE 'wait_timeout'",
            "SET SESSION lc_time_names = 'de_DE'", "SELECT MONTHNAME('2024-03-01')", "SET lc_time_names = DEFAULT", "SET SESSION sql_select_limit = 2", "SELECT n FROM numbers ORDER BY n", "SET SESSION sql_select_limit = DEFAULT", "SET no_such_variable = 1", "SET timestamp = 1000000000", "SELECT NOW()", "SET timestamp = DEFAULT",
        ]:
            say("--", sql)
            ask(cur, sql)
        self.c.commit()

    def charsets(self):
        cur = self.c.cursor()
        ask(cur, "SELECT vc, HEX(vc), CHAR_LENGTH(vc) FROM types WHERE id = 2")
        ask(cur, "SELECT '😀' = '😀' COLLATE utf8mb4_bin, HEX('😀'), _latin1 x'e4', CONVERT('ä' USING latin1)")
        ask(cur, "SET NAMES latin1")
        ask(cur, "SELECT @@character_set_client, @@collation_connection, HEX(CONVERT(c USING utf8mb4)) FROM types WHERE id = 1")
        ask(cur, "SET NAMES utf8mb4 COLLATE utf8mb4_bin")
        ask(cur, "SELECT 'a' = 'A', @@collation_connection")
        ask(cur, "SET NAMES utf8mb4")
        self.c.commit()

    def schemas(self):
        cur = self.c.cursor()
        ask(cur, "USE " + SCHEMA + "_2")
        ask(cur, "SELECT DATABASE()")
        ask(cur, "SELECT COUNT(*) FROM people")
        ask(cur, "SELECT COUNT(*) > 0 FROM %s.people" % SCHEMA)
        ask(cur, "USE " + SCHEMA)
        ask(cur, "SHOW TABLES")
        ask(cur, "SHOW CREATE TABLE items")
        ask(cur, "SHOW COLUMNS FROM people")
        ask(cur, "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1")
        ask(cur, "EXPLAIN SELECT name FROM people WHERE id = 1")
        self.c.commit()

    def found_rows(self):
        cur = self.c.cursor()
        ask(cur, "SELECT SQL_CALC_FOUND_ROWS n FROM numbers WHERE n <= 1000 ORDER BY n LIMIT 3")
        ask(cur, "SELECT FOUND_ROWS()")
        ask(cur, "UPDATE locks SET n = n WHERE id = 1")
        ask(cur, "UPDATE locks SET n = 0 WHERE id < 3")
        ask(cur, "SELECT ROW_COUNT()")
        self.c.commit()

    def locks(self):
        a, b = self.c, self.driver.connect()
        x, y = a.cursor(), b.cursor()
        y.execute("SET SESSION innodb_lock_wait_timeout = 1")
        ask(x, "UPDATE locks SET n = n + 1 WHERE id = 1")
        ask(y, "SELECT * FROM locks WHERE id = 1 FOR UPDATE NOWAIT")
        ask(y, "SELECT * FROM locks ORDER BY id FOR UPDATE SKIP LOCKED")
        b.rollback()
        ask(y, "UPDATE locks SET n = n + 1 WHERE id = 1")
        b.rollback()
        a.rollback()
        ask(x, "SELECT GET_LOCK('%s', 1)" % SCHEMA)
        ask(y, "SELECT GET_LOCK('%s', 0), IS_FREE_LOCK('%s')" % (SCHEMA, SCHEMA))
        ask(x, "SELECT RELEASE_LOCK('%s')" % SCHEMA)
        ask(x, "LOCK TABLES locks WRITE, people READ")
        ask(x, "SELECT COUNT(*) FROM numbers")
        ask(x, "UPDATE locks SET n = 0")
        ask(x, "UNLOCK TABLES")
        b.close()
        a.commit()

    def deadlocks(self):
        if not self.driver.has_deadlock:
            return say("not by this driver")
        a, b = self.c, self.driver.connect()
        x, y = a.cursor(), b.cursor()
        # The lighter transaction is the victim.
        y.execute("INSERT INTO work (k) SELECT n FROM numbers WHERE n <= 50")
        x.execute("UPDATE locks SET n = 1 WHERE id = 1")
        y.execute("UPDATE locks SET n = 2 WHERE id = 2")
        said = []

        def second():
            try:
                said.append("rows %s" % y.execute("UPDATE locks SET n = 2 WHERE id = 1"))
            except Exception as e:
                said.append("second: %r" % (e,))

        thread = threading.Thread(target=second)
        thread.start()
        ask(x, "UPDATE locks SET n = 1 WHERE id = 2")
        a.rollback()
        thread.join()
        say(*said)
        b.rollback()
        b.close()

    def kills(self):
        a, b = self.driver.connect(), self.c
        ask(b.cursor(), "KILL QUERY %d" % self.driver.thread_id(a))
        ask(a.cursor(), "SELECT 'lives'")
        ask(b.cursor(), "KILL %d" % self.driver.thread_id(a))
        try:
            a.cursor().execute("SELECT 1")
            say("! a killed connection answered")
        except Exception as e:
            # Whether the client first finds that it can't send or that nothing comes is a race.
            gone = e.args[0] in (2006, 2013, 2055)
            say("error", type(e).__name__, "gone" if gone else value(e.args[0]))
        try:
            a.close()
        except Exception as e:
            say("close", type(e).__name__)
        ask(b.cursor(), "KILL 4000000000")
        c = self.driver.connect()
        ask(c.cursor(), "KILL %d" % self.driver.thread_id(c))
        self.c.rollback()

    def attributes(self):
        c = self.driver.connect(attributes=True)
        ask(c.cursor(), "SELECT ATTR_NAME, ATTR_VALUE FROM performance_schema.session_account_connect_attrs WHERE PROCESSLIST_ID = CONNECTION_ID() AND ATTR_NAME IN ('program_name', '_client_name') ORDER BY 1")
        c.close()

    def encrypted(self):
        c = self.driver.tls()
        if c is None:
            return say("not by this driver")
        cur = c.cursor()
        ask(cur, "SELECT name FROM people WHERE id <= 3 ORDER BY id")
        ask(cur, "SELECT REPEAT('z', 100000)")
        c.close()

    def compressed(self):
        c = self.driver.compressed()
        if c is None:
            return say("not by this driver")
        cur = c.cursor()
        ask(cur, "SELECT name FROM people WHERE id <= 3 ORDER BY id")
        ask(cur, "SELECT REPEAT('z', 2000000), %s", ("y" * 200000,))
        c.close()

    def prepared_statements(self):
        c = self.driver.connect()
        if self.driver.prepared(c) is None:
            return say("not by this driver")
        for name in "ti tu bo si mi i iu bi bu f d de b1 b64 da tm dt ts y c vc tx bn vb bl e s js g".split():
            for n in (1, 2, 3, 4):
                cur = self.driver.prepared(c)
                try:
                    cur.execute("SELECT %s, id FROM types WHERE id = %%s" % name, (n,))
                    say(columns(cur), *[value(r) for r in cur.fetchall()])
                    cur.close()
                except Exception as e:
                    # What this driver cannot read, and what it does not know to pass over.
                    error(e)
                    getattr(c, "shutdown", c.close)()
                    c = self.driver.connect()
                    self.driver.autocommit(c, True)
        values = [5, -5, 2**64 - 1, 1.5, decimal.Decimal("1.5"), "text 😀", b"\x00\xff", None, datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 1, 2, 3, 456789), datetime.timedelta(hours=-100, microseconds=5)]
        cur = self.driver.prepared(c)
        # Each a statement of its own: what MySQL makes of a bare `?` also follows from the types of earlier executes.
        for n, v in enumerate(values):
            ask(cur, "SELECT HEX(%%s), LENGTH(%%s) /* %d */" % n, (v, v))
        for n in range(3):
            ask(cur, "INSERT INTO work (k, v) VALUES (%s, %s)", (4000 + n, "prepared %d" % n))
        ask(cur, "SELECT * FROM no_such_table WHERE id = %s", (1,))
        cur.close()
        c.rollback()
        c.close()

    def many_statements(self):
        cur = self.c.cursor()
        total = 0
        for n in range(300):
            cur.execute("SELECT n + %d FROM numbers WHERE n = %%s" % n, (n + 3,))
            total += cur.fetchone()[0]
        say("sum", total)
        self.c.commit()

    def closes(self):
        self.c.close()
        try:
            self.c.cursor().execute("SELECT 1")
            say("! a closed connection answered")
        except Exception as e:
            say("error", type(e).__name__, value(list(e.args)))


def run(driver, version, steps=Steps):
    print("# version " + version)
    main(steps(driver).all())
