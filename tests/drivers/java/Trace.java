import java.math.BigDecimal;
import java.security.MessageDigest;
import java.sql.*;
import java.util.HexFormat;

/** What is printed: a step's name, then lines in which a value stands with its type, so that equal lines are equal values. */
final class Trace {
    interface Step {
        void run() throws Exception;
    }

    static String env(String name) {
        return System.getenv("WEIR_" + name);
    }

    static void say(Object... words) {
        StringBuilder line = new StringBuilder();
        for (Object word : words) line.append(line.isEmpty() ? "" : " ").append(word);
        System.out.println(line.toString().replace("\n", "\\n"));
    }

    static String value(Object v) throws Exception {
        if (v == null) return "NULL";
        if (v instanceof byte[] bytes) return "bytes:" + cut(HexFormat.of().formatHex(bytes));
        if (v instanceof BigDecimal number) return "decimal:" + number.toPlainString();
        return v.getClass().getSimpleName() + ":" + cut(v.toString());
    }

    static String cut(String text) throws Exception {
        if (text.length() <= 100) return text;
        return text.length() + " " + HexFormat.of().formatHex(MessageDigest.getInstance("SHA-1").digest(text.getBytes("UTF-8")));
    }

    static void error(SQLException e) throws Exception {
        String words = String.valueOf(e.getMessage()).replaceAll("\\(conn=-?\\d+\\)", "(conn)").replaceAll("packets? .* milliseconds? ago", "");
        say("error", e.getClass().getSimpleName(), e.getErrorCode(), e.getSQLState(), cut(words.lines().findFirst().orElse("")));
    }

    /** A step that fails in a way that it did not foresee says so, and the next goes on. */
    static void step(String name, Step run) {
        say("==", name);
        try {
            run.run();
        } catch (Exception e) {
            say("!", e.toString().replace("\n", " "));
            e.printStackTrace();
        }
    }
}
