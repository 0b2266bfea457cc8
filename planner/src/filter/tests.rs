use super::comments::cut;
use super::packet::parts;
use super::*;
use crate::plan::Local;
use crate::{Facts, Route, plan};

fn local(sql: &str) -> Option<Local> {
    let plan = plan(sql.as_bytes(), &Facts::default());
    assert_eq!(plan.route == Route::Local, plan.local.is_some());
    plan.local
}

#[track_caller]
fn statement(sql: &str) -> Statement {
    match local(sql) {
        Some(Local::Filter(read)) => read.unwrap_or_else(|why| panic!("{sql}: {why}")),
        other => panic!("{sql}: {other:?}"),
    }
}

#[track_caller]
fn wrong(sql: &str, expected: &str) {
    match local(sql) {
        Some(Local::Filter(read)) => match *read {
            Err(why) => assert!(why.contains(expected), "{why}, not {expected}"),
            Ok(read) => panic!("{sql}: {read:?}"),
        },
        other => panic!("{sql}: {other:?}"),
    }
}

fn filter(pattern: &str, execute: &str) -> Filter {
    match statement(&format!("CREATE FILTER f () WITH_PATTERN ({pattern}) EXECUTE ({execute})")) {
        Statement::Create { filter, .. } => filter,
        other => panic!("{other:?}"),
    }
}

#[test]
fn statements_are_read() {
    let sql = "create filter if not exists `foo`(\n desc='It''s \"it\"', priority='10', status='inactive')\n\
               with_pattern(plans='Select,insert', fully_qualified_table_names='d1.t1,d1.*')\n\
               execute(action='FAIL', action_args='') ;";
    let Statement::Create { filter, if_not_exists: true } = statement(sql) else { panic!("{sql}") };
    assert_eq!((&*filter.name, filter.value("desc")), ("foo", "It's \"it\""));
    let rule = Rule::of(&filter).unwrap();
    assert_eq!((rule.priority, rule.status), (10, Status::Inactive));
    assert_eq!(statement("DROP FILTER foo"), Statement::Drop { name: "foo".into(), if_exists: false });
    assert_eq!(statement("drop filter if exists foo"), Statement::Drop { name: "foo".into(), if_exists: true });
    assert_eq!(statement("SHOW FILTERS"), Statement::ShowAll);
    assert_eq!(statement("show filter foo;"), Statement::Show("foo".into()));
    assert_eq!(statement("show create filter foo"), Statement::ShowCreate("foo".into()));
    let altered = statement("ALTER FILTER foo (desc='x') EXECUTE(action='CONTINUE')");
    let values = vec![("desc", "x".into()), ("action", "CONTINUE".into())];
    assert_eq!(altered, Statement::Alter { name: "foo".into(), values });
    for sql in [
        "create filter if not exists f () with_pattern () execute (action='FAIL')",
        "drop filter if exists f",
        "drop filter f",
        "alter filter f (desc='it''s \\\\') execute (action_args='a')",
        "show filters",
        "show filter f",
        "show create filter f",
    ] {
        let read = Statement::read(sql).unwrap();
        assert_eq!(Statement::read(&read.to_string()), Ok(read), "{sql}");
    }
    // Nothing of MySQL's is taken for it.
    for other in
        ["CREATE TABLE filter (a INT)", "SHOW CREATE TABLE filter", "DROP TABLE filters", "SELECT 1 /*explain filter*/"]
    {
        assert_eq!(local(other), None, "{other}");
    }
}

#[test]
fn mistakes_say_what_there_is() {
    wrong("CREATE FILTER f", "WITH_PATTERN(…) is missing");
    wrong("CREATE FILTER f () WITH_PATTERN ()", "EXECUTE(…) is missing");
    wrong("CREATE FILTER f (prio='1') WITH_PATTERN () EXECUTE ()", "use one of desc, priority, status");
    wrong("CREATE FILTER f () WITH_PATTERN (plans='a',plans='b') EXECUTE ()", "said twice");
    wrong("CREATE FILTER f (priority=5) WITH_PATTERN () EXECUTE ()", "no text in quotes");
    wrong("ALTER FILTER f", "nothing that is to change");
    wrong("DROP FILTER 'f'", "no name of a filter");
    wrong("SHOW FILTERS WHERE 1", "'WHERE' is not understood");
    let refused = |pattern: &str, execute: &str, expected: &str| {
        wrong(&format!("CREATE FILTER f () WITH_PATTERN ({pattern}) EXECUTE ({execute})"), expected);
    };
    refused("", "", "action is missing");
    refused("plans='Selekt'", "action='FAIL'", "use some of Select, Insert");
    refused("fully_qualified_table_names='t1'", "action='FAIL'", "write d1.t1");
    refused("query_regex='a('", "action='FAIL'", "query_regex='a(' is no regular expression: unclosed group");
    refused("query_regex='a)(b'", "action='FAIL'", "no regular expression");
    refused("query_regex='(a{1000}){1000}'", "action='FAIL'", "exceeds size limit");
    refused("bind_var_conds='[{}]'", "action='FAIL'", "query_regex instead");
    refused("query_template='select ''a'", "action='FAIL'", "ends within a quote");
    refused("", "action='FAIL', action_args='a=1'", "takes no action_args");
    refused("", "action='EXPLODE'", "use CONTINUE, FAIL, CONCURRENCY_CONTROL, REWRITE or MIRROR");
    for absent in ["WASM_PLUGIN", "SKIP_FILTER", "BUFFER", "FAIL_RETRY"] {
        refused("", &format!("action='{absent}'"), "is not there");
    }
    let limited = |args: &str, expected: &str| {
        refused("", &format!("action='CONCURRENCY_CONTROL', action_args='{args}'"), expected);
    };
    limited("", "max_concurrency is missing");
    limited("max_concurrency=1", "max_queue_size is missing");
    limited("max_concurrency=0; max_queue_size=1", "must be 1 or more");
    limited("max_concurrency=2; max_queue_size=1", "counts those that run");
    limited("max_concurrency=x; max_queue_size=1", "no whole number");
    limited("max=1", "use max_concurrency, max_queue_size, max_wait_ms");
    limited("max_concurrency=1; max_concurrency=2", "stands twice");
    let mirrored = |args: &str, expected: &str| {
        refused("", &format!("action='MIRROR', action_args='{args}'"), expected);
    };
    mirrored("", "one of the gate's [[mirrors]]");
    mirrored("target=a; percent=0", "percent=0 is not from 1 to 100");
    mirrored("target=a; percent=101", "not from 1 to 100");
    mirrored("target=a; max_queue_size=0", "not from 1 to 10000");
    mirrored("target=a; max_ms=60001", "not from 1 to 60000");
    mirrored("target=a; writes=allow", "writes are never mirrored");
    mirrored("backend=a", "use target, percent, max_queue_size, max_ms");
    refused("", "action='REWRITE', action_args='pattern=\"a\"'", "replacement=\"…\" is missing");
    refused("", "action='REWRITE', action_args='pattern=\"(\"; replacement=\"\"'", "no regular expression");
}

/// Whatever the values are.
#[test]
fn what_is_printed_reads_back_as_the_same() {
    let mut random: u64 = 7;
    let mut draw = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    let letters: Vec<char> = "ab\\\\\\'\"'`;=(),\n d$.*/-#\u{e9}%".chars().collect();
    for _ in 0..3_000 {
        let mut one = Filter::new("odd name");
        for key in ["desc", "query_regex", "user_regex"] {
            let text: String = (0..draw(12)).map(|_| letters[draw(letters.len())]).collect();
            one.set(key, &text);
        }
        one.set("action", "FAIL");
        match read(one.to_string().as_bytes(), &Facts::default()) {
            Ok(Statement::Create { filter, .. }) => assert_eq!(filter, one),
            Ok(other) => panic!("{other:?}"),
            // A text that is no expression is refused, and only such a one.
            Err(why) => assert!(Rule::of(&one).is_err_and(|expected| expected == why), "{one}: {why}"),
        }
    }
    let text = format!("{};\n{}", filter("plans='Select'", "action='FAIL'"), Filter::new("g"))
        .replace("action=''", "action='FAIL'");
    assert_eq!(Filter::read_all(&text).unwrap().len(), 2);
    assert!(Filter::read_all(&format!("{text};{text}")).unwrap_err().contains("stands there twice"));
    assert!(Filter::read_all("DROP FILTER f").unwrap_err().contains("only CREATE FILTER"));
    assert_eq!(Filter::read_all(" ; "), Ok(Vec::new()));
}

#[test]
fn changes_apply_to_what_holds() {
    let fail = filter("plans='Select'", "action='FAIL'");
    let create = Statement::Create { filter: fail.clone(), if_not_exists: false };
    let held = create.apply(&[]).unwrap();
    assert!(create.apply(&held).unwrap_err().contains("exists already"));
    let again = Statement::Create { filter: fail, if_not_exists: true };
    assert_eq!(again.apply(&held), Ok(held.clone()));
    let altered = statement("ALTER FILTER f (status='INACTIVE')").apply(&held).unwrap();
    assert_eq!((altered[0].value("status"), altered[0].value("plans")), ("INACTIVE", "Select"));
    assert!(statement("ALTER FILTER f (status='GONE')").apply(&held).unwrap_err().contains("ACTIVE, INACTIVE"));
    for absent in ["ALTER FILTER g (desc='')", "DROP FILTER g"] {
        assert!(statement(absent).apply(&held).unwrap_err().contains("there is no filter 'g'"));
    }
    assert_eq!(statement("DROP FILTER IF EXISTS g").apply(&held), Ok(held.clone()));
    assert_eq!(statement("DROP FILTER f").apply(&held), Ok(Vec::new()));
}

fn fits(rule: &Rule, sql: &str) -> bool {
    let facts = Facts::default();
    Packet::new(sql.as_bytes(), &facts, &plan(sql.as_bytes(), &facts), b"d1").fits(rule)
}

#[track_caller]
fn check(pattern: &str, yes: &[&str], no: &[&str]) {
    let rule = Rule::of(&filter(pattern, "action='FAIL'")).unwrap();
    yes.iter().for_each(|sql| assert!(fits(&rule, sql), "{pattern}: {sql}"));
    no.iter().for_each(|sql| assert!(!fits(&rule, sql), "{pattern}: {sql}"));
}

#[test]
fn each_condition_narrows() {
    check("", &["SELECT 1", "FROBNICATE"], &[]);
    check(
        "plans='Select,Insert'",
        &[
            "SELECT 1",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "INSERT INTO t VALUES (1)",
            "REPLACE INTO t VALUES (1)",
            "DO 1; SELECT 2",
        ],
        &["UPDATE t SET a=1", "DELETE FROM t", "SHOW TABLES", "SET @a=1"],
    );
    check("plans='Replace'", &["REPLACE INTO t VALUES (1)"], &["INSERT INTO t VALUES (1)"]);
    check(
        "fully_qualified_table_names='d1.t1,d2.*'",
        &[
            "SELECT * FROM t1",
            "SELECT * FROM x JOIN d1.t1",
            "DELETE FROM `d2`.anything",
            "SELECT f(1) FROM t1",
            "DROP DATABASE d2",
        ],
        &["SELECT * FROM t2", "SELECT * FROM d3.t1", "SELECT 't1'", "CALL p()"],
    );
    check("fully_qualified_table_names='*.t1'", &["SELECT * FROM d9.t1"], &["SELECT * FROM t2"]);
    check(
        "query_regex='(?i)select .*from t1.*'",
        &["SELECT a FROM t1", "/* x */ select a\nfrom t1 -- y\n;", "select a from t1 where b"],
        &["SELECT a FROM t2", "DO 1"],
    );
    check("query_regex='SELECT'", &["SELECT"], &["SELECT 1"]);
    check(
        "query_template='select * from d1.t1 where c1 = :a1 and c2 in (:b, :c)'",
        &["SELECT * FROM d1.t1 WHERE c1=5 AND c2 IN ('x')", "select * from `d1`.`t1` where c1 = ? and c2 in (1,2,3)"],
        &["SELECT * FROM d1.t1 WHERE c1=5", "SELECT * FROM t1 WHERE c1=5 AND c2 IN (1)"],
    );
    check("leading_comment_regex='.*app=web.*'", &["/* app=web */ SELECT 1"], &["SELECT 1 /* app=web */", "SELECT 1"]);
    check("trailing_comment_regex='.*trace.*'", &["SELECT 1 /* trace=5 */;"], &["/* trace */ SELECT 1"]);
    check("plans='Select', query_regex='.*1'", &["SELECT 1"], &["SELECT 2", "DO 1"]);
    // What is prepared by name is refused where its text stands, and nothing else is done with it there.
    check(
        "plans='Select', fully_qualified_table_names='d1.t1'",
        &[
            "PREPARE s FROM 'SELECT * FROM t1'",
            r#"prepare s from "SELECT \'a\', n\nFROM t1""#,
            "DO 1; PREPARE s FROM 'SELECT ''a'' FROM t1'",
        ],
        &["PREPARE s FROM 'SELECT * FROM t2'", "PREPARE s FROM @t1", "PREPARE s FROM 'DELETE FROM t1'"],
    );
    let counted = Rule::of(&filter("plans='Select'", "action='CONTINUE'")).unwrap();
    assert!(fits(&counted, "SELECT 1") && !fits(&counted, "PREPARE s FROM 'SELECT 1'"));
    // Each statement of a packet by itself, never a mixture of two.
    check(
        "plans='Delete', fully_qualified_table_names='d1.t1'",
        &["SELECT 1; DELETE FROM t1"],
        &["DELETE FROM t2; SELECT * FROM t1"],
    );
    let rule =
        Rule::of(&filter("user_regex='app.*', request_ip_regex='10\\.0\\.0\\.[0-9]+'", "action='FAIL'")).unwrap();
    assert!(rule.fits_client(b"app_1", "10.0.0.17"));
    assert!(!rule.fits_client(b"my_app", "10.0.0.17") && !rule.fits_client(b"app", "10.0.0.17.5"));
}

#[test]
fn comments_are_cut_off() {
    let facts = Facts::default();
    let check = |sql: &str, leading: &str, body: &str, trailing: &str| {
        let found = cut(sql.as_bytes(), &facts);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(
            (text(found.leading), text(found.body), text(found.trailing)),
            (leading.into(), body.into(), trailing.into())
        );
    };
    check(" /* a */ -- b\nSELECT 1 /* c */ ; # d", "/* a */ -- b", "SELECT 1", "/* c */ ; # d");
    check("SELECT /* in */ 1", "", "SELECT /* in */ 1", "");
    check("/*!80000 SELECT 1 */ -- x", "", "/*!80000 SELECT 1 */", "-- x");
    check("/*My app*/SELECT 1", "/*My app*/", "SELECT 1", "");
    check("/* alone */", "/* alone */", "", "");
    check("", "", "", "");
}

#[test]
fn statements_are_explained_behind_their_comment() {
    assert_eq!(local("/*explain filter*/ SELECT 1"), Some(Local::ExplainFilter(b" SELECT 1"[..].into())));
    assert_eq!(local("  /* EXPLAIN\n FILTER */DO 1; DO 2"), Some(Local::ExplainFilter(b"DO 1; DO 2"[..].into())));
    for other in ["/* explain filters */ SELECT 1", "/*explain*/ SELECT 1", "/*explain filter SELECT 1"] {
        assert_eq!(local(other), None, "{other}");
    }
}

#[test]
fn actions_and_their_arguments() {
    let action = |execute: &str| Rule::of(&filter("", execute)).unwrap().action;
    let Action::Concurrency(limit) =
        action("action='concurrency_control', action_args=' max_queue_size=100; max_concurrency=10 '")
    else {
        panic!("it is one")
    };
    assert_eq!(limit, Concurrency { running_max: 10, waiting_max: 90, wait_ms_max: None });
    let Action::Mirror(mirror) = action("action='MIRROR', action_args='target=next; percent=5; max_ms=200'") else {
        panic!("it is one")
    };
    assert_eq!(mirror, Mirror { target: "next".into(), percent: 5, queue_max: 1_000, ms_max: 200 });
    let rewritten = |args: &str, sql: &str| match action(&format!("action='REWRITE', action_args='{args}'")) {
        Action::Rewrite(rewrite) => rewrite.apply(sql.as_bytes()).map(|text| String::from_utf8(text).unwrap()),
        other => panic!("{other:?}"),
    };
    let args = r#"pattern="(?i)from (\w+) where id=(\d+)$"; replacement="FROM $1 WHERE id=$2 LIMIT 1; -- \"x\"""#;
    assert_eq!(rewritten(args, "SELECT a FROM t WHERE id=5").unwrap(), "SELECT a FROM t WHERE id=5 LIMIT 1; -- \"x\"");
    assert_eq!(rewritten(args, "SELECT 1"), None);
    assert_eq!(rewritten("pattern=a; replacement=", "banana").unwrap(), "bnn");
    let rule = Rule::of(&filter("plans='Select'", "action='REWRITE', action_args='pattern=a; replacement=b'")).unwrap();
    let (facts, sql) = (Facts::default(), b"SELECT a; DELETE FROM a; SELECT aa; ");
    let packet = Packet::new(sql, &facts, &plan(sql, &facts), b"");
    assert_eq!(packet.rewritten(&rule).unwrap(), b"SELECT b; DELETE FROM a; SELECT bb; ");
    assert_eq!(Packet::new(b"SELECT 1", &facts, &plan(b"SELECT 1", &facts), b"").rewritten(&rule), None);
}

#[test]
fn packets_are_cut_and_parameters_counted() {
    let facts = Facts::default();
    let cut = |sql: &'static str| -> Vec<String> {
        parts(sql.as_bytes(), &facts).into_iter().map(|part| String::from_utf8(part.to_vec()).unwrap()).collect()
    };
    assert_eq!(cut("SELECT ';' ; /* ; */ DO 1;"), ["SELECT ';' ", " /* ; */ DO 1"]);
    assert_eq!(cut(" ; -- x"), Vec::<String>::new());
    assert_eq!(parameters(b"SELECT ?, '?', `?` /* ? */ FROM t WHERE a = ?", &facts), 2);
}
