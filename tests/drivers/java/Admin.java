import java.sql.*;
import java.util.*;

/** The admin port with Connector/J, as the other languages' scripts do; and what DBeaver, which is built on it, asks when it connects. */
public final class Admin {
    static Connection c;

    static List<List<String>> ask(String sql) throws SQLException {
        try (Statement s = c.createStatement()) {
            return s.execute(sql) ? rows(s.getResultSet()) : List.of();
        }
    }

    static List<List<String>> rows(ResultSet r) throws SQLException {
        List<List<String>> all = new ArrayList<>();
        while (r.next()) {
            List<String> row = new ArrayList<>();
            for (int at = 1; at <= r.getMetaData().getColumnCount(); at++) row.add(r.getString(at));
            all.add(row);
        }
        return all;
    }

    static Connection open(String more) throws SQLException {
        return DriverManager.getConnection("jdbc:mysql://" + Trace.env("HOST") + ":" + Trace.env("PORT") + "/" + more, Trace.env("USER"), Trace.env("PASSWORD"));
    }

    public static void main(String[] args) throws Exception {
        c = open("");
        System.out.println("status " + ask("SHOW WEIR STATUS LIKE 'cores'").get(0).get(0));
        try (PreparedStatement s = c.prepareStatement("SHOW WEIR SESSIONS LIKE ?")) {
            s.setString(1, "ap_");
            StringBuilder line = new StringBuilder("session");
            for (List<String> row : rows(s.executeQuery())) if (row.get(0).equals(Trace.env("VICTIM"))) line.append(" ").append(row.get(1));
            System.out.println(line);
        }
        System.out.println("digests " + ask("SHOW WEIR DIGESTS LIMIT 1").size());
        System.out.println("route " + ask("EXPLAIN ROUTE SELECT 1 FROM t").get(0).get(0));
        ask("SET GLOBAL read_write_splitting_ratio = 41");
        System.out.println("ratio " + ask("SELECT @@read_write_splitting_ratio").get(0).get(0));
        ask("KILL " + Trace.env("VICTIM"));
        System.out.println("killed");
        try {
            ask("SELECT * FROM mysql.user");
        } catch (SQLException e) {
            System.out.println("error " + e.getErrorCode());
        }
        try (Connection server = open("?useServerPrepStmts=true&emulateUnsupportedPstmts=false"); PreparedStatement s = server.prepareStatement("SHOW WEIR STATUS LIKE 'cores'")) {
            System.out.print("prepared " + rows(s.executeQuery()).get(0).get(0));
            server.prepareStatement("SHOW WEIR STATUS LIKE ?");
        } catch (SQLException e) {
            System.out.println(" " + e.getErrorCode());
        }
        // By default it prepares at the client what the server does not.
        try (Connection server = open("?useServerPrepStmts=true&cachePrepStmts=true"); PreparedStatement s = server.prepareStatement("SHOW WEIR STATUS LIKE ?")) {
            s.setString(1, "cores");
            if (!rows(s.executeQuery()).get(0).get(0).equals("cores")) throw new Exception("it is not emulated");
        }
        tool();
        System.out.println("end " + ask("SELECT 1").get(0).get(0));
        c.close();
    }

    /** None of these may fail. */
    static void tool() throws Exception {
        c.setClientInfo("ApplicationName", "DBeaver 25 - Main");
        if (!c.isValid(5)) throw new Exception("it is not valid");
        DatabaseMetaData meta = c.getMetaData();
        String words = meta.getDatabaseProductVersion() + meta.getSQLKeywords() + meta.getStringFunctions() + meta.getMaxColumnNameLength() + meta.supportsTransactions() + meta.storesLowerCaseIdentifiers();
        if (words.isEmpty()) throw new Exception("it has no name");
        rows(meta.getCatalogs());
        rows(meta.getSchemas());
        rows(meta.getTableTypes());
        rows(meta.getTypeInfo());
        c.setAutoCommit(false);
        c.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
        c.getTransactionIsolation();
        c.setReadOnly(true);
        c.isReadOnly();
        c.rollback();
        c.setReadOnly(false);
        c.setAutoCommit(true);
        c.getCatalog();
        c.getWarnings();
        for (String sql : List.of("SELECT VERSION()", "SELECT DATABASE()", "SHOW ENGINES", "SHOW CHARSET", "SHOW COLLATION", "SHOW PLUGINS", "SHOW PRIVILEGES", "SHOW DATABASES", "SHOW GLOBAL STATUS", "SHOW SESSION VARIABLES", "SHOW VARIABLES LIKE 'lower_case_table_names'", "SHOW GLOBAL VARIABLES LIKE 'character_set_server'", "SELECT @@GLOBAL.character_set_server,@@GLOBAL.collation_server", "SELECT * FROM information_schema.SCHEMATA", "SELECT * FROM information_schema.TABLES t WHERE t.TABLE_SCHEMA = 'information_schema' AND t.TABLE_NAME = 'CHECK_CONSTRAINTS'", "SELECT @@session.transaction_isolation", "SELECT @@sql_mode", "SELECT CURRENT_USER()", "/* ApplicationName=DBeaver */ SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SHOW WARNINGS"))
            try (PreparedStatement s = c.prepareStatement(sql)) {
                if (s.execute()) rows(s.getResultSet());
            } catch (SQLException e) {
                throw new Exception(sql, e);
            }
        try (Statement s = c.createStatement(ResultSet.TYPE_FORWARD_ONLY, ResultSet.CONCUR_READ_ONLY)) {
            s.setMaxRows(200);
            s.setQueryTimeout(5);
            rows(s.executeQuery("SHOW WEIR BACKENDS"));
        }
    }
}
