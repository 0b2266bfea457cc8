use super::*;

/// The tables of a text as `schema.name`, those written with `!`, sorted.
fn named(sql: &str, facts: &Facts) -> Option<String> {
    let mut names: Vec<String> = tables(sql.as_bytes(), facts)?
        .into_iter()
        .map(|t| {
            let schema = t.schema.map_or(String::new(), |s| format!("{s}."));
            format!("{}{schema}{}", if t.write { "!" } else { "" }, t.name)
        })
        .collect();
    names.sort();
    Some(names.join(" "))
}

#[test]
fn tables_are_found_wherever_they_stand() {
    for (sql, wanted) in [
        ("SELECT 1", ""),
        ("SELECT * FROM t WHERE a = 1 ORDER BY (SELECT 1 FROM u) LIMIT 1", "t u"),
        ("SELECT a, (SELECT b FROM u) FROM db.t JOIN `x y` USING (a), (SELECT * FROM v) d", "db.t u v x y"),
        ("SELECT * FROM (t JOIN u ON t.a = (SELECT 1 FROM v)) LEFT JOIN w ON EXISTS (SELECT * FROM x)", "t u v w x"),
        ("SELECT a FROM t UNION SELECT b FROM u UNION ALL (SELECT c FROM v)", "t u v"),
        ("SELECT IF(a, (SELECT 1 FROM t), 2), CASE WHEN a THEN (SELECT 1 FROM u) END FROM v", "t u v"),
        ("SELECT SUM(a) OVER (PARTITION BY (SELECT 1 FROM t)) FROM u GROUP BY (SELECT 1 FROM v)", "t u v"),
        ("SELECT * FROM t WHERE a IN (SELECT b FROM u) AND c BETWEEN 1 AND (SELECT d FROM v)", "t u v"),
        ("SELECT t.a FROM t AS x WHERE x.b LIKE 'a%'", "t"),
        ("INSERT INTO db.t (a) SELECT b FROM u", "!db.t u"),
        ("INSERT INTO t VALUES (1, (SELECT a FROM u)) ON DUPLICATE KEY UPDATE a = (SELECT b FROM v)", "!t u v"),
        ("REPLACE INTO t VALUES (1)", "!t"),
        ("UPDATE t SET a = (SELECT 1 FROM u) WHERE b = 1", "!t u"),
        ("UPDATE t JOIN u ON t.a = u.a SET t.b = 1", "!t !u"),
        ("DELETE FROM t WHERE a IN (SELECT a FROM u)", "!t u"),
        ("DELETE x FROM t AS x JOIN u ON x.a = u.a", "!t !u"),
        ("TRUNCATE TABLE db.t", "!db.t"),
        ("DROP TABLE IF EXISTS a, b.c", "!a !b.c"),
    ] {
        assert_eq!(named(sql, &Facts::default()).as_deref(), Some(wanted), "{sql}");
    }
}

#[test]
fn common_table_expressions_are_no_tables_where_they_are_visible() {
    for (sql, wanted) in [
        ("WITH c AS (SELECT * FROM t) SELECT * FROM C", "C t"),
        ("WITH t AS (SELECT * FROM t) SELECT * FROM t", "t"),
        ("WITH RECURSIVE c AS (SELECT 1 UNION ALL SELECT * FROM c) SELECT * FROM c", ""),
        ("WITH a AS (SELECT * FROM b), b AS (SELECT * FROM a) SELECT * FROM b", "b"),
        ("SELECT * FROM (WITH c AS (SELECT 1) SELECT * FROM c) d JOIN c", "c"),
        ("WITH c AS (SELECT 1) SELECT * FROM db.c", "db.c"),
        ("WITH c AS (SELECT 1) SELECT (SELECT 1 FROM c)", ""),
    ] {
        assert_eq!(named(sql, &Facts::default()).as_deref(), Some(wanted), "{sql}");
    }
}

#[test]
fn doubt_gives_no_answer() {
    let default = Facts::default();
    let ansi = Facts { ansi_quotes: true, ..default };
    let plain = Facts { no_backslash_escapes: true, ..default };
    let gbk = Facts { charset: Charset::Gbk, ..default };
    for (sql, facts) in [
        ("SELECT 1 /*!80000 FROM t */", default),
        ("SELECT 1; SELECT 2", default),
        ("SELECT \"a\" FROM t", ansi),
        ("SELECT 'a\\' FROM t", plain),
        ("SELECT 'é' FROM t", gbk),
        ("CALL p()", default),
        ("SELECT FROM WHERE", default),
        ("", default),
    ] {
        assert_eq!(named(sql, &facts), None, "{sql}");
    }
    assert_eq!(named("SELECT 'é' FROM t", &default).as_deref(), Some("t"));
    let long = format!("SELECT {} FROM t", "1,".repeat(PARSED_TEXT_BYTES_MAX));
    assert_eq!(named(&long, &default), None);
}

#[test]
fn deep_and_wide_texts_are_walked() {
    let wide = format!("SELECT * FROM t WHERE a = 1{}", " OR a = 2".repeat(1500));
    assert_eq!(named(&wide, &Facts::default()).as_deref(), Some("t"));
    let deep = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
    assert_eq!(named(&deep, &Facts::default()), None);
}
