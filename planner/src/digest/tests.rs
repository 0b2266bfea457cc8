//! Normal forms as MySQL 9.7 has them in `DIGEST_TEXT`: texts on the left, taken from a server.

use super::digest;
use crate::facts::Facts;

fn check(texts: &[&str], expected: &str) {
    for text in texts {
        assert_eq!(digest(text.as_bytes(), &Facts::default(), 1_000), expected, "{text}");
    }
}

#[test]
fn values_and_lists_of_them_are_one() {
    check(&["SELECT 1", "select  1 ;", "SELECT /* c */ -1", "SELECT NULL", "SELECT 'x'", "SELECT - - 1"], "SELECT ?");
    check(&["SELECT 1, 2", "SELECT 1, 2, 'x'", "SELECT 1, NULL, 3", "SELECT ?,?"], "SELECT ?, ...");
    check(
        &["SELECT * FROM t WHERE id IN (1)", "select * from `t` where id in ( -1, +2)"],
        "SELECT * FROM `t` WHERE `id` IN (...)",
    );
    check(&["INSERT INTO t VALUES (1, 2, 'a', NULL)"], "INSERT INTO `t` VALUES (...)");
    check(
        &["INSERT INTO t VALUES (2, 2), (3, NULL)", "insert into t values (2, 2), (3, 4),(0x61, x'61')"],
        "INSERT INTO `t` VALUES (...) /* , ... */",
    );
    check(&["INSERT INTO t (id) VALUES (5),(6),(7)"], "INSERT INTO `t` ( `id` ) VALUES (?) /* , ... */");
    check(&["INSERT INTO t (id, v) VALUES (10, DEFAULT)"], "INSERT INTO `t` ( `id` , `v` ) VALUES ( ? , DEFAULT )");
    check(
        &["SELECT * FROM t WHERE (id, v) IN ((1,2),(3,4))"],
        "SELECT * FROM `t` WHERE ( `id` , `v` ) IN ( (...) /* , ... */ )",
    );
    check(&["SELECT 'a' 'b'"], "SELECT ? ?");
}

#[test]
fn signs_belong_to_numbers_where_an_expression_begins() {
    check(&["SELECT id-1 FROM t", "SELECT id - 2 FROM t"], "SELECT `id` - ? FROM `t`");
    check(&["SELECT -1 + 2"], "SELECT ? + ?");
    check(&["SELECT id+-1 FROM t"], "SELECT `id` + ? FROM `t`");
    check(&["SELECT (id)-1 FROM t"], "SELECT ( `id` ) - ? FROM `t`");
    check(&["SELECT * FROM t WHERE id = -5", "SELECT * FROM t WHERE id=7"], "SELECT * FROM `t` WHERE `id` = ?");
    check(&["SELECT !1, ~1, - - 1, -(1)"], "SELECT ! ? , ~ ?, ... , - (?)");
}

#[test]
fn null_is_a_value_where_it_is_one() {
    check(&["SELECT * FROM t WHERE v IS NULL"], "SELECT * FROM `t` WHERE `v` IS NULL");
    check(&["SELECT * FROM t WHERE v = NULL"], "SELECT * FROM `t` WHERE `v` = ?");
    check(&["SELECT IFNULL(NULL, 1)"], "SELECT `IFNULL` (...)");
    check(&["SELECT CASE WHEN 1 THEN NULL ELSE 2 END"], "SELECT CASE WHEN ? THEN ? ELSE ? END");
}

#[test]
fn keywords_have_no_case_and_names_have_one() {
    check(&["SELECT status, name FROM t", "SELECT Status, Name FROM t"], "SELECT STATUS , NAME FROM `t`");
    check(&["SELECT t.status FROM t"], "SELECT `t` . `status` FROM `t`");
    check(&["SELECT T1.id FROM t T1"], "SELECT `T1` . `id` FROM `t` `T1`");
    check(&["SELECT COUNT(*) FROM t", "select count( * ) from t"], "SELECT COUNT ( * ) FROM `t`");
    check(&["SELECT max(id), Max (id) FROM t"], "SELECT MAX ( `id` ) , `Max` ( `id` ) FROM `t`");
    check(&["SELECT @a, @@version"], "SELECT @? , @@`version`");
    check(&["SET @a = 1", "SET @b = 'x'"], "SET @? = ?");
    check(&["SELECT 1 AS 'x'"], "SELECT ? AS ?");
    check(&["SELECT @a:=1"], "SELECT @? := ?");
    check(&["SELECT NOW(), CURRENT_TIMESTAMP"], "SELECT NOW ( ) , NOW");
    check(
        &["SELECT * FROM t WHERE id >= 1 && v <= 2 || v <> 3"],
        "SELECT * FROM `t` WHERE `id` >= ? && `v` <= ? || `v` != ?",
    );
}

#[test]
fn numbers_of_columns_stay_and_limits_do_not() {
    check(
        &["SELECT id FROM t ORDER BY 1 DESC, v + 3 LIMIT 5"],
        "SELECT `id` FROM `t` ORDER BY 1 DESC , `v` + ? LIMIT ?",
    );
    check(&["SELECT id FROM t ORDER BY 1, 2 LIMIT 10, 20"], "SELECT `id` FROM `t` ORDER BY 1 , 2 LIMIT ?, ...");
    check(&["SELECT id FROM t ORDER BY 123456789", "SELECT id FROM t ORDER BY 'a'"], "SELECT `id` FROM `t` ORDER BY ?");
}

/// What nobody may read in a digest.
#[test]
fn no_literal_gets_through() {
    for text in [
        "SELECT 'secret'",
        "SELECT \"secret\"",
        "SELECT 'secret",
        "/* secret */ SELECT 1 -- secret",
        "CREATE USER u IDENTIFIED BY 'secret'",
        "SET PASSWORD = 'it''s secret'",
        "SELECT N'secret', _utf8mb4'secret'",
    ] {
        let shown = digest(text.as_bytes(), &Facts::default(), 1_000);
        assert!(!shown.contains("secret"), "{shown}");
    }
    let rows = format!("INSERT INTO t VALUES (1, 2){}", ", (3, 4)".repeat(5_000));
    check(&[&rows], "INSERT INTO `t` VALUES (...) /* , ... */");
    let long = format!("SELECT {}", "a, ".repeat(5_000));
    let shown = digest(long.as_bytes(), &Facts::default(), 100);
    assert!(shown.len() < 200 && shown.ends_with('…'), "{shown}");
}
