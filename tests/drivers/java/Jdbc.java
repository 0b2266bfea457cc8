import java.math.BigDecimal;
import java.sql.*;
import java.time.LocalDateTime;
import java.util.Properties;

/** JDBC: Connector/J or MariaDB's, by the scheme that the first argument names; "server" as the second one prepares on the server. */
public final class Jdbc {
    static String scheme, more;

    static Connection open(String options) throws SQLException {
        return open(options, Trace.env("SCHEMA"), Trace.env("PASSWORD"));
    }

    static Connection open(String options, String schema, String password) throws SQLException {
        String url = "jdbc:" + scheme + "://" + Trace.env("HOST") + ":" + Trace.env("PORT") + "/" + schema + "?allowPublicKeyRetrieval=true&allowMultiQueries=true" + more + options;
        Properties login = new Properties();
        login.put("user", Trace.env("USER"));
        login.put("password", password);
        return DriverManager.getConnection(url, login);
    }

    static void show(Statement s, boolean isRows) throws Exception {
        for (boolean rows = isRows; ; rows = s.getMoreResults()) {
            if (rows) {
                try (ResultSet r = s.getResultSet()) {
                    show(r);
                }
            } else {
                long count = s.getLargeUpdateCount();
                if (count == -1) break;
                Trace.say("updated", count);
            }
        }
        for (SQLWarning w = s.getWarnings(); w != null; w = w.getNextWarning()) Trace.say("warning", w.getErrorCode(), w.getSQLState(), w.getMessage());
    }

    static void show(ResultSet r) throws Exception {
        ResultSetMetaData meta = r.getMetaData();
        for (int at = 1; at <= meta.getColumnCount(); at++)
            Trace.say("column", meta.getColumnLabel(at), meta.getColumnName(at), meta.getTableName(at), meta.getColumnTypeName(at), meta.getColumnType(at), meta.getPrecision(at), meta.getScale(at), meta.isNullable(at), meta.isSigned(at), meta.isAutoIncrement(at), meta.getColumnClassName(at));
        while (r.next()) {
            StringBuilder row = new StringBuilder("row");
            for (int at = 1; at <= meta.getColumnCount(); at++)
                try {
                    row.append(" ").append(Trace.value(r.getObject(at)));
                } catch (SQLException e) {
                    row.append(" ").append(e.getClass().getSimpleName());
                }
            Trace.say(row);
        }
    }

    static void ask(Connection c, String sql) throws Exception {
        try (Statement s = c.createStatement()) {
            show(s, s.execute(sql, Statement.RETURN_GENERATED_KEYS));
        } catch (SQLException e) {
            Trace.error(e);
        }
    }

    static void prepared(Connection c, String sql, Object... values) throws Exception {
        try (PreparedStatement s = c.prepareStatement(sql)) {
            for (int at = 0; at < values.length; at++) s.setObject(at + 1, values[at]);
            show(s, s.execute());
        } catch (SQLException e) {
            Trace.error(e);
        }
    }

    static final String[] SESSION = {"CREATE TEMPORARY TABLE temp (id INT AUTO_INCREMENT PRIMARY KEY, v TEXT)", "INSERT INTO temp (v) VALUES ('a'), ('b')", "SELECT * FROM temp", "DROP TEMPORARY TABLE temp", "SET @a = 5, @b = 'text', @d = 1.25", "SELECT @a, @b, @d", "SET SESSION sql_mode = 'ANSI_QUOTES'", "SELECT \"name\" FROM people WHERE id = 1", "SET SESSION sql_mode = DEFAULT", "SELECT SQL_CALC_FOUND_ROWS n FROM numbers WHERE n <= 1000 ORDER BY n LIMIT 2", "SELECT FOUND_ROWS() AS f", "SHOW TABLES", "EXPLAIN SELECT name FROM people WHERE id = 1"};
    static final String[] ERRORS = {"SELEC 1", "SELECT * FROM no_such_table", "SELECT nope FROM people", "INSERT INTO people (name) VALUES ('Ada')", "INSERT INTO people (name) VALUES (NULL)", "DELETE FROM people WHERE id = 1", "INSERT INTO types (id, ti) VALUES (9, 1000)", "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'mine', MYSQL_ERRNO = 5000", "CALL no_such_procedure()"};

    public static void main(String[] args) throws Exception {
        scheme = args[0];
        boolean isConnector = scheme.equals("mysql");
        more = isConnector ? "&sslMode=DISABLED&yearIsDateType=false&zeroDateTimeBehavior=CONVERT_TO_NULL" : "&sslMode=disable";
        if (args.length > 1) more += isConnector ? "&useServerPrepStmts=true&cachePrepStmts=true" : "&useServerPrepStmts=true";
        Connection c = open("");
        Trace.say("# version", c.getMetaData().getDriverVersion().replaceAll("^[^0-9]*([0-9.]+).*", "$1"));
        Trace.step("connect", () -> {
            ask(c, "SELECT DATABASE(), CURRENT_USER(), @@autocommit, @@sql_mode, @@character_set_client, @@collation_connection, @@time_zone, @@transaction_isolation");
            Trace.say(c.getCatalog(), c.getAutoCommit(), c.isReadOnly(), c.getTransactionIsolation(), c.isValid(5));
            for (String[] wrong : new String[][] {{Trace.env("SCHEMA"), "wrong"}, {"no_such_schema", Trace.env("PASSWORD")}})
                try (Connection in = open("", wrong[0], wrong[1])) {
                    Trace.say("! it was let in");
                } catch (SQLException e) {
                    Trace.say("error", e.getErrorCode(), e.getSQLState());
                }
        });
        Trace.step("types-text", () -> ask(c, "SELECT * FROM types ORDER BY id"));
        Trace.step("types-prepared", () -> {
            for (int id = 1; id <= 4; id++) prepared(c, "SELECT * FROM types WHERE id = ?", id);
        });
        Trace.step("parameters", () -> {
            Object[] values = {1, -1L, Long.MAX_VALUE, new java.math.BigInteger("18446744073709551615"), 1.5, new BigDecimal("12345678901234567890.0123456789"), "text", "it's \\ \"q\"", "😀 ünï", "", new byte[] {0, -1, 39, 92}, null, true, Date.valueOf("2024-02-29"), Time.valueOf("01:02:03"), LocalDateTime.of(2024, 2, 29, 1, 2, 3, 456789000)};
            // Each a statement of its own: what MySQL makes of a bare `?` also follows from the types of earlier executes.
            for (int at = 0; at < values.length; at++) prepared(c, "SELECT HEX(?) AS v /* " + at + " */", values[at]);
            prepared(c, "SELECT id, name FROM people WHERE id IN (?, ?) AND born > ? ORDER BY id", 1, 3, Date.valueOf("1900-01-01"));
        });
        Trace.step("writes", () -> {
            try (PreparedStatement s = c.prepareStatement("INSERT INTO people (name, age, balance) VALUES (?, ?, ?)", Statement.RETURN_GENERATED_KEYS)) {
                s.setString(1, "Barbara");
                s.setInt(2, 79);
                s.setBigDecimal(3, new BigDecimal("99.99"));
                Trace.say("updated", s.executeUpdate());
                show(s.getGeneratedKeys());
            }
            for (String sql : new String[] {"INSERT INTO people (name) VALUES ('x1'), ('x2'), ('x3')", "UPDATE people SET age = 1 WHERE name LIKE 'x%'", "UPDATE people SET age = 1 WHERE name LIKE 'x%'", "DELETE FROM people WHERE name = 'x2'", "INSERT IGNORE INTO numbers VALUES (1), (2001)", "SHOW WARNINGS", "SELECT id, name, age FROM people ORDER BY id"}) ask(c, sql);
        });
        Trace.step("batches", () -> {
            for (String options : new String[] {"", isConnector ? "&rewriteBatchedStatements=true" : "&useBulkStmts=true"})
                try (Connection one = open(options)) {
                    one.setAutoCommit(false);
                    try (PreparedStatement s = one.prepareStatement("INSERT INTO work (k, v) VALUES (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
                        for (int n = 0; n < 100; n++) {
                            s.setInt(1, n);
                            s.setString(2, "value " + n);
                            s.addBatch();
                        }
                        Trace.say("batch", s.executeBatch().length);
                        ResultSet keys = s.getGeneratedKeys();
                        int count = 0;
                        long last = 0;
                        while (keys.next()) { count++; last = keys.getLong(1); }
                        Trace.say("keys", count, last);
                    }
                    one.commit();
                    ask(one, "SELECT COUNT(*), MAX(id), SUM(k) FROM work");
                    one.rollback();
                }
        });
        Trace.step("big-values", () -> {
            byte[] big = new byte[2 << 20];
            for (int at = 0; at < big.length; at++) big[at] = (byte) at;
            try (PreparedStatement s = c.prepareStatement("INSERT INTO work (k, big) VALUES (7, ?)")) {
                s.setBinaryStream(1, new java.io.ByteArrayInputStream(big), big.length);
                s.executeUpdate();
            }
            ask(c, "SELECT LENGTH(big), SHA2(big, 256), big FROM work WHERE k = 7 AND big IS NOT NULL");
        });
        Trace.step("errors", () -> {
            for (String sql : ERRORS) {
                Trace.say("--", sql);
                ask(c, sql);
                prepared(c, sql);
            }
        });
        Trace.step("transactions", () -> {
            try (Connection other = open("")) {
                c.setAutoCommit(false);
                ask(c, "INSERT INTO work (k) VALUES (1000)");
                ask(other, "SELECT COUNT(*) FROM work WHERE k = 1000");
                c.rollback();
                ask(c, "INSERT INTO work (k) VALUES (1001)");
                Savepoint a = c.setSavepoint("a");
                ask(c, "INSERT INTO work (k) VALUES (1002)");
                c.rollback(a);
                c.commit();
                ask(other, "SELECT k FROM work WHERE k IN (1000, 1001, 1002)");
                for (int level : new int[] {Connection.TRANSACTION_READ_UNCOMMITTED, Connection.TRANSACTION_READ_COMMITTED, Connection.TRANSACTION_SERIALIZABLE, Connection.TRANSACTION_REPEATABLE_READ}) {
                    c.setTransactionIsolation(level);
                    ask(c, "SELECT @@transaction_isolation");
                    c.commit();
                }
                c.setReadOnly(true);
                ask(c, "SELECT @@transaction_read_only");
                ask(c, "DELETE FROM work");
                c.rollback();
                c.setReadOnly(false);
                c.setAutoCommit(true);
                ask(c, "SELECT @@autocommit, @@transaction_read_only");
            }
        });
        Trace.step("procedures", () -> {
            try (Connection one = open("")) {
                try (CallableStatement call = one.prepareCall("{CALL two_results(?, ?, ?)}")) {
                    call.setInt(1, 3);
                    call.setInt(2, 10);
                    call.registerOutParameter(2, Types.INTEGER);
                    call.registerOutParameter(3, Types.VARCHAR);
                    show(call, call.execute());
                    Trace.say("out", call.getInt(2), call.getString(3));
                }
                try (CallableStatement call = one.prepareCall("{? = CALL doubled(?)}")) {
                    call.registerOutParameter(1, Types.INTEGER);
                    call.setInt(2, 21);
                    call.execute();
                    Trace.say("out", call.getInt(1));
                }
                ask(one, "CALL fails_late()");
                ask(one, "SELECT 1 AS a; INSERT INTO work (k) VALUES (3000), (3001); SELECT NULL");
                ask(one, "SELECT 1; SELECT * FROM no_such_table; SELECT 3");
            }
        });
        Trace.step("streaming", () -> {
            try (Connection one = open(isConnector ? "&useCursorFetch=true" : "")) {
                for (int size : new int[] {Integer.MIN_VALUE, 50}) {
                    if (!isConnector && size < 0) continue;
                    try (PreparedStatement s = one.prepareStatement("SELECT n, REPEAT('x', n) FROM numbers WHERE n <= 1000 ORDER BY n", ResultSet.TYPE_FORWARD_ONLY, ResultSet.CONCUR_READ_ONLY)) {
                        s.setFetchSize(size);
                        long sum = 0;
                        try (ResultSet r = s.executeQuery()) {
                            while (r.next()) sum += r.getInt(1);
                        }
                        Trace.say("sum", sum);
                        try (ResultSet r = s.executeQuery()) {
                            r.next();
                            Trace.say("first", r.getInt(1));
                        }
                    }
                    ask(one, "SELECT 'after'");
                }
            }
        });
        Trace.step("load-data", () -> {
            String sql = "LOAD DATA LOCAL INFILE '" + Trace.env("SCRATCH") + "/rows.csv' INTO TABLE loaded FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"'";
            try (Connection one = open("&allowLoadLocalInfile=true&allowLocalInfile=true")) {
                ask(one, sql);
                ask(one, "SELECT * FROM loaded ORDER BY id, name");
            }
            try (Connection one = open("&allowLocalInfile=false"); Statement s = one.createStatement()) {
                s.execute(sql);
                Trace.say("loaded");
            } catch (SQLException e) {
                Trace.say("error", e.getErrorCode());
            }
        });
        Trace.step("metadata", () -> {
            DatabaseMetaData meta = c.getMetaData();
            Trace.say(meta.getDatabaseMajorVersion(), meta.getUserName());
            show(meta.getTables(Trace.env("SCHEMA"), null, "p%", null));
            show(meta.getColumns(Trace.env("SCHEMA"), null, "people", "%"));
            show(meta.getPrimaryKeys(Trace.env("SCHEMA"), null, "people"));
            show(meta.getImportedKeys(Trace.env("SCHEMA"), null, "items"));
        });
        Trace.step("session", () -> {
            for (String sql : SESSION) {
                Trace.say("--", sql);
                ask(c, sql);
            }
            c.setCatalog(Trace.env("SCHEMA") + "_2");
            ask(c, "SELECT DATABASE()");
            c.setCatalog(Trace.env("SCHEMA"));
        });
        Trace.step("locks", () -> {
            try (Connection other = open("")) {
                ask(other, "SET SESSION innodb_lock_wait_timeout = 1");
                c.setAutoCommit(false);
                ask(c, "UPDATE locks SET n = n + 1 WHERE id = 1");
                ask(other, "SELECT * FROM locks WHERE id = 1 FOR UPDATE NOWAIT");
                ask(other, "UPDATE locks SET n = n + 1 WHERE id = 1");
                c.rollback();
                c.setAutoCommit(true);
            }
        });
        Trace.step("cancelled", () -> {
            try (Connection one = open(""); Statement s = one.createStatement()) {
                s.setQueryTimeout(1);
                s.execute("SELECT SLEEP(4)");
                Trace.say("slept");
            } catch (SQLException e) {
                Trace.say("error", e.getClass().getSimpleName(), e.getErrorCode(), e.getSQLState());
            }
        });
        Trace.step("encrypted", () -> {
            try (Connection one = open(isConnector ? "&sslMode=REQUIRED" : "&sslMode=trust")) {
                ask(one, "SELECT name FROM people WHERE id <= 3 ORDER BY id");
                prepared(one, "SELECT REPEAT('z', ?) AS z", 100000);
            }
        });
        Trace.step("compressed", () -> {
            try (Connection one = open("&useCompression=true")) {
                prepared(one, "SELECT name, ? AS y FROM people WHERE id <= 3 ORDER BY id", "y".repeat(100000));
                ask(one, "SELECT REPEAT('z', 2000000) AS z");
            }
        });
        Trace.step("closes", () -> {
            c.close();
            ask(c, "SELECT 1");
        });
        Trace.say("==", "end");
    }
}
