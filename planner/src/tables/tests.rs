use super::*;
use crate::plan;

/// The uses of a text, as `schema.t:ACCESS+ACCESS`, and schemas as `schema.*`; the reason when they are not known.
fn shown(sql: &str, facts: &Facts) -> String {
    let uses = match tables(sql.as_bytes(), facts) {
        Ok(uses) => uses,
        Err(Unknown(why)) => return format!("? {why}"),
    };
    let schema = |schema: &Option<Box<str>>| schema.as_ref().map_or(String::new(), |schema| format!("{schema}."));
    let table = |table: &TableUse| {
        let access: Vec<&str> = table.access.names().collect();
        format!("{}{}:{}", schema(&table.schema), table.name, access.join("+"))
    };
    let schemas = uses.schemas.iter().map(|name| format!("{}*", schema(name)));
    uses.tables.iter().map(table).chain(schemas).collect::<Vec<_>>().join(" ")
}

fn check(cases: &[(&str, &str)]) {
    for (sql, expected) in cases {
        assert_eq!(shown(sql, &Facts::default()), *expected, "{sql}");
    }
}

/// Of reads: the names alone.
fn check_reads(cases: &[(&str, &str)]) {
    for (sql, expected) in cases {
        assert_eq!(shown(sql, &Facts::default()).replace(":SELECT", ""), *expected, "{sql}");
    }
}

#[test]
fn reads_name_tables_wherever_they_stand() {
    check_reads(&[
        ("SELECT 1", ""),
        ("", ""),
        ("SELECT * FROM t WHERE a = 1 ORDER BY (SELECT 1 FROM u) LIMIT 1", "t u"),
        ("SELECT a, (SELECT b FROM u) FROM db.t JOIN `x y` USING (a), (SELECT * FROM v) d", "u db.t x y v"),
        ("SELECT * FROM (t JOIN u ON t.a = (SELECT 1 FROM v)) LEFT JOIN w ON EXISTS (SELECT * FROM x)", "t u v w x"),
        ("SELECT * FROM t a, u AS b, db . v c, ((w), (x, y)), z WHERE a.n IN (1, n2)", "t u db.v w x y z"),
        ("SELECT * FROM t PARTITION (p0, p1) USE INDEX FOR JOIN (i, j), u IGNORE KEY (k), v", "t u v"),
        ("SELECT * FROM t STRAIGHT_JOIN u NATURAL LEFT JOIN v CROSS JOIN w", "t u v w"),
        ("SELECT STRAIGHT_JOIN a, b FROM t", "t"),
        ("SELECT * FROM {OJ t LEFT OUTER JOIN u ON t.a = u.a}, v", "t u v"),
        (
            "SELECT * FROM t, LATERAL (SELECT * FROM u WHERE u.a = t.a) x, JSON_TABLE(t.j, '$' COLUMNS (a INT PATH '$')) y",
            "t u",
        ),
        ("SELECT a FROM t UNION SELECT b, c FROM u UNION ALL (SELECT c FROM v) ORDER BY 1, 2", "t u v"),
        ("(SELECT a FROM t) UNION (SELECT b FROM u)", "t u"),
        ("TABLE t UNION TABLE db.u ORDER BY a, b", "t db.u"),
        ("SELECT 1 WHERE 1 IN (TABLE t)", "t"),
        ("SELECT * FROM (VALUES ROW(1), ROW(2)) v, u", "u"),
        ("SELECT TRIM(BOTH 'x' FROM a), EXTRACT(DAY FROM b), SUBSTRING(c FROM 2 FOR 3) FROM t", "t"),
        ("SELECT * FROM t GROUP BY a, b WITH ROLLUP HAVING c, d", "t"),
        ("SELECT SUM(a) OVER w FROM t WINDOW w AS (PARTITION BY (SELECT 1 FROM u)), x AS (ORDER BY b, c)", "t u"),
        ("SELECT * FROM t FOR UPDATE OF a, b SKIP LOCKED", "t"),
        ("SELECT * FROM t, u FOR SHARE", "t u"),
        ("SELECT * FROM t LOCK IN SHARE MODE", "t"),
        ("SELECT a, b INTO @x, @y FROM t", "t"),
        ("SELECT * FROM t INTO OUTFILE 'f' FIELDS TERMINATED BY ','", "t"),
        ("SELECT 1 FROM DUAL", ""),
        ("SELECT * FROM `dual`, db.dual, dual x", "dual db.dual"),
        ("SELECT * FROM .t", "t"),
        ("SELECT * FROM `a``b`.`c.d`", "a`b.c.d"),
        ("SELECT t.from, `from`.join FROM t", "t"),
        ("SELECT 'a FROM u', \"b FROM v\" /* FROM w */ -- FROM x\nFROM t # FROM y", "t"),
        ("/*!80000 SELECT * FROM t */", "t"),
        ("DO (SELECT a FROM t)", "t"),
        ("SET @a = (SELECT a FROM t), @b = 2", "t"),
        ("SHOW TABLES WHERE (SELECT a FROM t)", "t"),
        ("SELECT 1; SELECT * FROM t; USE d; SELECT * FROM t, e.u;", "t d.t e.u"),
    ]);
}

/// What reads like a table for the server alone: the reading must not be the narrower one.
#[test]
fn nothing_hides_a_table() {
    check_reads(&[
        // A no-break space begins no comment.
        ("SELECT 1 --\u{a0}a FROM t", "t"),
        ("SELECT 1 --\nFROM t", "t"),
        // No alias ends a list.
        ("SELECT * FROM t `where`, u", "t u"),
        ("SELECT * FROM t share, u", "t u"),
        ("SELECT * FROM t of, u", "t u"),
        // A common table expression is one where it is visible, in the letter case that it has.
        ("WITH c AS (SELECT * FROM t) SELECT * FROM c", "t"),
        ("WITH c AS (SELECT 1) SELECT * FROM C", "C"),
        ("WITH t AS (SELECT * FROM t) SELECT * FROM t", "t"),
        ("WITH RECURSIVE c (a) AS (SELECT 1 UNION ALL SELECT a FROM c) SELECT * FROM c", ""),
        ("WITH a AS (SELECT * FROM b), b AS (SELECT * FROM a) SELECT * FROM b", "b"),
        ("WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT * FROM a, b) SELECT * FROM b", "b"),
        ("SELECT * FROM (WITH c AS (SELECT 1) SELECT * FROM c) d JOIN c", "c"),
        ("SELECT (WITH c AS (SELECT 1) SELECT 1), a FROM c", "c"),
        ("WITH c AS (SELECT 1) SELECT * FROM db.c, .c", "db.c c"),
        ("WITH c AS (SELECT 1) SELECT (SELECT 1 FROM c)", ""),
        ("WITH c AS (SELECT 1), d AS (WITH e AS (SELECT * FROM c, t) SELECT * FROM e) SELECT * FROM d, e", "t e"),
        ("SELECT 1 FROM t GROUP BY a WITH ROLLUP; SELECT * FROM rollup", "t rollup"),
    ]);
    check(&[
        ("WITH t AS (SELECT 1) DELETE FROM t", "t:DELETE"),
        ("INSERT INTO t WITH t AS (SELECT 1) SELECT * FROM t", "t:INSERT"),
        (
            "INSERT INTO t WITH u AS (SELECT 1) SELECT * FROM u ON DUPLICATE KEY UPDATE a = (SELECT b FROM u)",
            "t:INSERT+UPDATE u:SELECT",
        ),
    ]);
}

#[test]
fn writes_say_what_they_do() {
    check(&[
        ("INSERT INTO db.t (a) SELECT b FROM u", "db.t:INSERT u:SELECT"),
        ("INSERT IGNORE t VALUES (1, (SELECT a FROM u)), (2, 3)", "t:INSERT u:SELECT"),
        ("INSERT INTO t SET a = 1, b = (SELECT 2 FROM u)", "t:INSERT u:SELECT"),
        ("INSERT INTO t VALUES (1) AS n ON DUPLICATE KEY UPDATE a = 1, b = n.b", "t:INSERT+UPDATE"),
        ("INSERT INTO t TABLE u", "t:INSERT u:SELECT"),
        ("REPLACE INTO t VALUES (1)", "t:INSERT+DELETE"),
        ("UPDATE t SET a = (SELECT 1 FROM u), b = 2 WHERE c = 1 ORDER BY d, e", "t:UPDATE u:SELECT"),
        ("UPDATE t a, (u JOIN v), (SELECT * FROM w) x SET a.b = 1", "t:UPDATE u:UPDATE v:UPDATE w:SELECT"),
        ("WITH c AS (SELECT * FROM u) UPDATE t JOIN c ON t.a = c.a SET t.b = 1", "u:SELECT t:UPDATE"),
        ("DELETE FROM t WHERE a IN (SELECT a FROM u) ORDER BY b, c LIMIT 1", "t:DELETE u:SELECT"),
        ("DELETE QUICK x, y.* FROM t AS x JOIN db.u y ON x.a = y.a, v", "t:DELETE db.u:DELETE v:DELETE"),
        ("DELETE FROM x USING t AS x JOIN u", "t:DELETE u:DELETE"),
        ("DELETE FROM db.t AS x WHERE 1", "db.t:DELETE"),
        (
            "LOAD DATA LOCAL INFILE 'f' REPLACE INTO TABLE t (a, @b) SET c = (SELECT d FROM u)",
            "t:INSERT+DELETE u:SELECT",
        ),
        ("LOAD XML INFILE 'f' INTO TABLE db.t", "db.t:INSERT"),
        ("HANDLER db.t OPEN AS h", "db.t:SELECT"),
        ("HANDLER h READ FIRST WHERE a = 1", ""),
        ("HANDLER h CLOSE", ""),
        (
            "LOCK TABLES t READ LOCAL, db.u AS x WRITE, v LOW_PRIORITY WRITE",
            "t:SELECT db.u:SELECT+LOCK_TABLES v:SELECT+LOCK_TABLES",
        ),
        ("LOCK INSTANCE FOR BACKUP", ""),
        ("UNLOCK TABLES", ""),
    ]);
}

#[test]
fn definitions_say_what_they_do() {
    check(&[
        ("CREATE TABLE IF NOT EXISTS db.t (a INT, KEY k (a), b INT REFERENCES u (x))", "db.t:CREATE u:REFERENCES"),
        ("CREATE TABLE t (a INT, FOREIGN KEY (a) REFERENCES d.u (x) ON DELETE SET NULL)", "t:CREATE d.u:REFERENCES"),
        ("CREATE TEMPORARY TABLE t (a INT) AS SELECT * FROM u", "t:INSERT+CREATE u:SELECT"),
        ("CREATE TABLE t TABLE u", "t:INSERT+CREATE u:SELECT"),
        ("CREATE TABLE t (a INT) PARTITION BY RANGE (a) (PARTITION p VALUES LESS THAN (5))", "t:CREATE"),
        ("CREATE TABLE t LIKE u", "t:CREATE u:SELECT"),
        ("CREATE TABLE t (LIKE d.u)", "t:CREATE d.u:SELECT"),
        ("CREATE UNIQUE INDEX i USING BTREE ON db.t (a, b)", "db.t:INDEX"),
        (
            "CREATE OR REPLACE DEFINER=`a`@`b` SQL SECURITY DEFINER VIEW v (a, b) AS SELECT c, COUNT(*) FROM t WITH CHECK OPTION",
            "v:CREATE_VIEW t:SELECT",
        ),
        ("CREATE VIEW v AS WITH c AS (SELECT * FROM t) SELECT * FROM c", "v:CREATE_VIEW t:SELECT"),
        ("ALTER VIEW v AS SELECT * FROM t", "v:CREATE_VIEW t:SELECT"),
        ("ALTER TABLE t ADD COLUMN a INT, RENAME COLUMN b TO c, DROP KEY k, RENAME INDEX x TO y", "t:ALTER"),
        ("ALTER TABLE t RENAME TO d.u, ADD a INT", "t:DROP+ALTER d.u:INSERT+CREATE"),
        ("ALTER TABLE t RENAME u", "t:DROP+ALTER u:INSERT+CREATE"),
        ("ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u", "t:ALTER u:INSERT+CREATE+DROP+ALTER"),
        ("ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES u (b)", "t:ALTER u:REFERENCES"),
        ("DROP TABLE IF EXISTS a, b.c CASCADE", "a:DROP b.c:DROP"),
        ("DROP TEMPORARY TABLE a", "a:DROP"),
        ("DROP VIEW a, b", "a:DROP b:DROP"),
        ("DROP INDEX i ON t", "t:INDEX"),
        ("TRUNCATE t", "t:DROP"),
        ("TRUNCATE TABLE db.t", "db.t:DROP"),
        ("RENAME TABLE a TO b, c.d TO e", "a:DROP+ALTER b:INSERT+CREATE c.d:DROP+ALTER e:INSERT+CREATE"),
        ("CREATE DATABASE IF NOT EXISTS d CHARACTER SET utf8mb4", "d.*"),
        ("ALTER DATABASE d READ ONLY = 1", "d.*"),
        ("ALTER SCHEMA COLLATE = utf8mb4_bin", "* COLLATE.*"),
        ("DROP SCHEMA d", "d.*"),
        ("USE d; DROP TABLE t", "d.t:DROP"),
        ("CREATE USER u IDENTIFIED BY 'FROM t'", ""),
        ("GRANT SELECT ON TABLE d.t TO u", ""),
        ("DROP PROCEDURE p", ""),
    ]);
}

#[test]
fn looks_at_a_table_are_reads_of_it() {
    check_reads(&[
        ("SHOW FULL COLUMNS FROM t FROM d LIKE 'a%'", "d.t"),
        ("SHOW INDEX IN d.t WHERE Key_name = (SELECT a FROM u)", "d.t u"),
        ("SHOW CREATE TABLE d.t", "d.t:SHOW"),
        ("SHOW CREATE VIEW v", "v"),
        ("SHOW CREATE PROCEDURE p", ""),
        ("SHOW TABLES FROM d", ""),
        ("SHOW TABLE STATUS FROM d LIKE 'x'", ""),
        ("SHOW VARIABLES LIKE 'x'", ""),
        ("DESC t", "t"),
        ("EXPLAIN d.t a", "d.t"),
        ("EXPLAIN FORMAT=JSON INTO @x SELECT * FROM t", "t"),
        ("EXPLAIN ANALYZE (SELECT * FROM t)", "t"),
        ("EXPLAIN FOR CONNECTION 5", ""),
        ("CHECK TABLE t, u QUICK", "t u"),
        ("CHECKSUM TABLE t EXTENDED", "t"),
        ("FLUSH TABLES", ""),
        ("FLUSH TABLES WITH READ LOCK", ""),
    ]);
    check(&[
        ("EXPLAIN UPDATE t SET a = 1", "t:UPDATE"),
        ("ANALYZE TABLE t UPDATE HISTOGRAM ON a, b WITH 5 BUCKETS", "t:SELECT+INSERT"),
        ("OPTIMIZE NO_WRITE_TO_BINLOG TABLE t", "t:SELECT+INSERT"),
        ("FLUSH TABLES t, u FOR EXPORT", "t:SELECT u:SELECT"),
        ("CACHE INDEX t IN k", "t:INDEX"),
        ("LOAD INDEX INTO CACHE t", "t:INDEX"),
    ]);
}

#[test]
fn what_cannot_be_known_says_why() {
    let default = Facts::default();
    for sql in [
        "CALL p()",
        "PREPARE s FROM 'SELECT 1'",
        "EXECUTE s",
        "CREATE PROCEDURE p() SELECT 1",
        "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET @a = 1",
        "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
        "CREATE TABLE m (a INT) ENGINE=MERGE UNION=(t, u)",
        "ALTER TABLE m UNION (t, u)",
        "CREATE VIEW v AS SELECT secret(1)",
        "EXPLAIN UPDATE t SET a = secret(1)",
        "DROP TRIGGER x",
        "EXPLAIN FOR SCHEMA d SELECT * FROM t",
        "BINLOG 'x'",
        "SHOW BINLOG EVENTS",
        "SELECT 1 /*!99999 FROM t */",
        "SELECT * FROM /*!80100 t -- */ u",
        "SELECT * FROM 'x'",
        "SELECT 'x",
        "SELECT (1",
        "SELECT 1)",
        "SELECT * FROM t,",
        "SELECT * FROM a.b.c",
        "SELECT \"a\\\" FROM t, \"",
        "FROBNICATE t",
    ] {
        assert!(shown(sql, &default).starts_with("? "), "{sql}: {}", shown(sql, &default));
    }
    let sjis = Facts { charset: crate::Charset::Sjis, ..default };
    let euc = Facts { charset: crate::Charset::Euc, ..default };
    for facts in [sjis, euc] {
        assert!(shown("SELECT * FROM `\u{e9}\u{e9}`", &facts).starts_with("? "));
        assert_eq!(shown("SELECT '\u{e9}\u{e9}' FROM t", &facts), "t:SELECT");
    }
    assert_eq!(shown("SELECT * FROM \u{e9}", &default), "\u{e9}:SELECT");
    let ansi = Facts { ansi_quotes: true, ..default };
    assert_eq!(shown("SELECT * FROM \"a\"\"b\".\"c\"", &ansi), "a\"b.c:SELECT");
    let plain = Facts { no_backslash_escapes: true, ..default };
    assert_eq!(shown("SELECT 'a\\' FROM t", &plain), "t:SELECT");
}

/// A plan keeps what was read, and knows of functions what the classifier knows.
#[test]
fn a_plan_remembers() {
    let facts = Facts::default();
    let known = |sql: &str| plan(sql.as_bytes(), &facts).tables(sql.as_bytes(), &facts).is_ok();
    assert!(known("SELECT COUNT(*) FROM t") && !known("SELECT secret(1) FROM t"));
    assert!(known("DELETE FROM t") && !known("UPDATE t SET a = secret()"));
    let plan = plan(b"SELECT * FROM t", &facts);
    assert_eq!(plan.tables(b"SELECT * FROM t", &facts).as_ref().unwrap().tables.len(), 1);
    assert_eq!(plan.tables(b"", &facts).as_ref().unwrap().tables.len(), 1);
}

#[test]
fn deep_and_wide_texts_end() {
    let facts = Facts::default();
    let wide = format!("SELECT * FROM t WHERE a = 1{}", " OR a IN (2)".repeat(50_000));
    assert_eq!(shown(&wide, &facts), "t:SELECT");
    for deep in ["(", "SELECT (", "WITH a AS (", "SELECT * FROM (", "EXPLAIN (", "SELECT * FROM {OJ "] {
        let shown = shown(&deep.repeat(50_000), &facts);
        assert!(shown.starts_with("? "), "{deep}: {shown}");
    }
    let many: Vec<String> = (0..1_000).map(|n| format!("t{n}")).collect();
    assert!(shown(&format!("SELECT * FROM {}", many.join(",")), &facts).starts_with("? it names too many"));
}

/// `sqlparser` is the second opinion: where it has one, of texts that people write, it names no table that is not named here.
#[test]
fn the_second_opinion_names_nothing_else() {
    let mut compared = 0;
    for case in crate::tests::cases::cases() {
        let (Some(second), Ok(first)) = (crate::tree::tables(&case.sql, &case.facts), tables(&case.sql, &case.facts))
        else {
            continue;
        };
        compared += 1;
        for table in second.iter().filter(|table| !table.name.eq_ignore_ascii_case("dual")) {
            let same = |use_: &TableUse| use_.schema == table.schema && use_.name == table.name;
            let text = String::from_utf8_lossy(&case.sql);
            assert!(first.tables.iter().any(same), "{text}: {table:?} is not in {first:?}");
        }
    }
    assert!(compared > 100, "{compared}");
}
