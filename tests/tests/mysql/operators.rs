//! What operators ask of a gate, through the `mysql` program: each word of `SHOW WEIR`, of all cores.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::PoisonError;

use weir_control::lab::child;
use weir_tests::real::gate::{Gate, GateOptions};
use weir_tests::real::limits;
use weir_tests::real::place::{Place, ask, place};
use weir_tests::real::wire::{Account, Wire};

use super::{program, tcp};

/// The program's table: a row is its cells by their columns' names. Err: what it says of the error.
type Rows = Vec<BTreeMap<String, String>>;

fn asked(place: &Place, port: u16, statement: &str) -> Result<Rows, String> {
    let mut command = program(place, &tcp(port));
    command.args(["--batch", "--column-names", "--show-warnings", "-e", statement]);
    let output = output(command);
    if output.1.contains("ERROR") {
        return Err(output.1);
    }
    let mut lines = output.0.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    let row = |line: &str| {
        let cells = line.split('\t').map(str::to_owned);
        names.iter().map(|name| (*name).to_owned()).zip(cells).collect()
    };
    Ok(lines.map(row).collect())
}

fn output(command: Command) -> (String, String) {
    let output = child::output(command, b"", limits::CLIENT_PROGRAM_WAIT).unwrap();
    (output.stdout, output.stderr)
}

fn start(place: &Place) -> Gate {
    let options = GateOptions { connections_per_backend: 8, cores_max: 2, socket: None };
    Gate::start_with(place, options, |config| {
        config.settings.admin_users = "app".to_owned();
        config.settings.digests = true;
    })
    .unwrap_or_else(|why| panic!("{why}"))
}

/// Every word answers for the whole gate, whichever core the client is on.
#[test]
fn a_gate_is_shown_whole() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place);
    let rows =
        |statement: &str| asked(place, gate.port(), statement).unwrap_or_else(|why| panic!("{statement}: {why}"));
    let mut wires: Vec<Wire> = (0..8).map(|_| Wire::login(&gate.address(), &place.account()).unwrap()).collect();
    for wire in &mut wires {
        ask(wire, "DO 1").unwrap();
    }
    ask(&mut wires[0], "SELECT GET_LOCK('weir_operators', 1)").unwrap();

    let sessions = rows("SHOW WEIR SESSIONS");
    for wire in &wires {
        let id = wire.connection_id.to_string();
        assert_eq!(sessions.iter().filter(|row| row["connection_id"] == id).count(), 1, "{sessions:?}");
    }
    let mut cores: Vec<&str> = sessions.iter().map(|row| &*row["core"]).collect();
    cores.sort_unstable();
    cores.dedup();
    let known = std::thread::available_parallelism().unwrap().get().min(2);
    assert_eq!(cores.len(), known, "{sessions:?}");

    let status = rows("SHOW WEIR STATUS LIKE 'commands'");
    let commands: u64 = status[0]["value"].parse().unwrap();
    let by_core: u64 = status[0]["by_core"].split(' ').map(|count| count.parse::<u64>().unwrap()).sum();
    assert!(commands >= 9 && commands == by_core, "{status:?}");
    // The program itself is pinned by what it asks first.
    let with_lock = |mut rows: Rows| {
        rows.retain(|row| row["reason"] == "GET_LOCK");
        rows
    };
    let pins = with_lock(rows("SHOW WEIR PINS LIKE 'ap_'"));
    assert_eq!((pins.len(), &*pins[0]["user"]), (1, "app"), "{pins:?}");
    assert_eq!(with_lock(rows("SHOW WEIR PINS BY ACCOUNT"))[0]["pinned_now"], "1");
    let pools = rows("SHOW WEIR POOLS ORDER BY quota");
    assert_eq!(pools.len(), place.backends.len() * known, "{pools:?}");
    let roles = |rows: Rows| {
        let mut roles: Vec<String> = rows.iter().map(|row| row["role"].to_lowercase()).collect();
        roles.sort();
        roles
    };
    assert_eq!(roles(rows("SHOW WEIR BACKENDS")), roles(rows("SHOW WEIR TOPOLOGY")));
    assert!(rows("SHOW WEIR TOPOLOGY").iter().all(|row| row["learnt_from"] == "configuration" && row["state"] == "up"));
}

/// What is set for all is an event and a variable's value at once; what is wrong is said with what would be right.
#[test]
fn events_variables_and_mistakes_are_shown() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place);
    let rows =
        |statement: &str| asked(place, gate.port(), statement).unwrap_or_else(|why| panic!("{statement}: {why}"));
    let ratio = "SHOW WEIR VARIABLES LIKE '%splitting_ratio'";
    assert_eq!((&*rows(ratio)[0]["value"], &*rows(ratio)[0]["dynamic"]), ("100", "yes"));
    rows("SET GLOBAL read_write_splitting_ratio=40");
    assert_eq!((&*rows(ratio)[0]["value"], &*rows(ratio)[0]["default_value"]), ("40", "100"));
    let set = rows("SHOW WEIR EVENTS LIKE 'setting_changed'");
    assert_eq!((set.len(), &*set[0]["subject"]), (1, "read_write_splitting_ratio"), "{set:?}");
    assert!(set[0]["time"].len() == 23 && set[0]["text"].contains("40"), "{set:?}");
    assert!(!rows("SHOW WEIR EVENTS LIKE 'primary_found'").is_empty());
    let mut stranger = place.account();
    stranger.password = "wrong".to_owned();
    assert!(Wire::login(&gate.address(), &stranger).is_err());
    assert_eq!(rows("SHOW WEIR EVENTS LIKE 'logins_refused'").len(), 1);

    let unknown = asked(place, gate.port(), "SHOW WEIR NOTHING").unwrap_err();
    assert!(unknown.contains("1064") && unknown.contains("TOPOLOGY, EVENTS, VARIABLES"), "{unknown}");
    let mut wire = Wire::login(&gate.address(), &place.account()).unwrap();
    assert_eq!(ask(&mut wire, "SHOW WEIR STATUS LIMIT 2").unwrap().rows().len(), 2);
    assert!(ask(&mut wire, "SHOW WARNINGS").unwrap().rows().is_empty());
}

/// Who is not among `admin_users` sees and ends what is its own user's; an admin and the admin port see all, whatever is set.
#[test]
fn others_are_none_of_ones_business() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let mut admin = place.admin().unwrap();
    admin.sql("DROP USER IF EXISTS weir_plain").unwrap();
    admin.sql("CREATE USER weir_plain IDENTIFIED BY 'plain'").unwrap();
    admin.ensure_replicated().unwrap();
    let gate = start(place);
    let named = Account { user: "weir_plain".to_owned(), password: "plain".to_owned(), ..place.account() };
    let mut plain = Wire::login(&gate.address(), &named).unwrap();
    let neighbour = Wire::login(&gate.address(), &named).unwrap();
    let mut ops = Wire::login(&gate.address(), &place.account()).unwrap();
    for wire in [&mut plain, &mut ops] {
        ask(wire, "DO GET_LOCK(CONCAT('weir_business_', USER()), 1)").unwrap();
    }
    let users = |wire: &mut Wire, statement: &str, at: usize| {
        let rows = ask(wire, statement).unwrap().rows();
        let mut users: Vec<String> =
            rows.iter().map(|row| String::from_utf8(row[at].clone().unwrap()).unwrap()).collect();
        users.sort();
        users.dedup();
        users
    };
    for (statement, at) in [("SHOW WEIR SESSIONS", 1), ("SHOW WEIR PINS", 1), ("SHOW WEIR PINS BY ACCOUNT", 0)] {
        assert_eq!(users(&mut plain, statement, at), ["weir_plain"], "{statement}");
        assert_eq!(users(&mut ops, statement, at), ["app", "weir_plain"], "{statement}");
    }
    assert_eq!(ask(&mut plain, "SHOW WEIR SESSIONS").unwrap().rows().len(), 2, "both of its own");
    for word in ["STATUS", "BACKENDS", "POOLS", "TOPOLOGY", "VARIABLES", "FILTERS"] {
        ask(&mut plain, &format!("SHOW WEIR {word}")).unwrap();
    }
    for statement in [
        "SHOW WEIR DIGESTS",
        "SHOW WEIR EVENTS LIKE '%'",
        "FLUSH WEIR DIGESTS",
        "SET GLOBAL read_write_splitting_ratio = 3",
    ] {
        let why = ask(&mut plain, statement).map(drop).unwrap_err();
        assert!(why.contains("1227") && why.contains("admin_users"), "{statement}: {why}");
    }
    // CONNECTION_ADMIN, so to say.
    let why = ask(&mut plain, &format!("KILL {}", ops.connection_id)).map(drop).unwrap_err();
    assert!(why.contains("1095"), "{why}");
    ask(&mut plain, &format!("KILL {}", neighbour.connection_id)).unwrap();
    ask(&mut ops, &format!("KILL {}", plain.connection_id)).unwrap();
    assert!(ask(&mut plain, "DO 1").is_err());
    admin.sql("DROP USER weir_plain").unwrap();
}

/// `EXECUTE name` is counted as the text that was prepared, with its time and rows; MySQL counts the `EXECUTE`, and the text elsewhere.
#[test]
fn executes_by_name_are_counted_by_their_text() {
    const STATEMENTS: [&str; 9] = [
        "PREPARE of_a_text FROM 'SELECT SLEEP(0.05), ? AS weir_named'",
        "SET @v = 3",
        "EXECUTE of_a_text USING @v",
        "EXECUTE `of_a_text` USING @v",
        "SELECT SLEEP(0.05), 7 AS weir_named",
        "SET @sql = 'SELECT 1, 2, 3 AS weir_of_a_variable'",
        "PREPARE of_a_variable FROM @sql",
        "EXECUTE of_a_variable",
        "EXECUTE of_nothing",
    ];
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let mut admin = place.admin().unwrap();
    for schema in ["weir_named", "weir_named_direct"] {
        admin.sql(&format!("CREATE DATABASE IF NOT EXISTS {schema}")).unwrap();
    }
    admin.ensure_replicated().unwrap();
    let account = |schema: &str| Account { schema: Some(schema.to_owned()), ..place.account() };
    let gate = start(place);
    for (address, schema) in [(place.primary(), "weir_named_direct"), (gate.address(), "weir_named")] {
        let mut wire = Wire::login(&address, &account(schema)).unwrap();
        let failed = STATEMENTS.iter().filter(|statement| ask(&mut wire, statement).is_err()).count();
        assert_eq!(failed, 1, "there is no statement of one name");
    }
    let directly = "SELECT DIGEST_TEXT FROM performance_schema.events_statements_summary_by_digest \
                    WHERE SCHEMA_NAME='weir_named_direct' AND DIGEST_TEXT LIKE 'EXECUTE%'";
    println!("MySQL itself: {:?}", admin.sql(directly).unwrap().rows());
    let rows = asked(place, gate.port(), "SHOW WEIR DIGESTS LIMIT 1000").unwrap();
    let of = |part: &str| {
        let found =
            |row: &&BTreeMap<String, String>| row["schema_name"] == "weir_named" && row["digest_text"].contains(part);
        match &rows.iter().filter(found).collect::<Vec<_>>()[..] {
            [row] => *row,
            found => panic!("{part}: {found:?} of {rows:?}"),
        }
    };
    let named = of("weir_named");
    assert_eq!((&*named["count"], &*named["rows_sent"]), ("3", "3"), "two by name, and one as it is: {named:?}");
    assert!(named["backend_p50_us"].parse::<u64>().unwrap() >= 40_000, "{named:?}");
    assert_eq!(of("weir_of_a_variable")["count"], "1");
    // What is behind a name that nobody knows, nobody knows.
    assert_eq!((&*of("EXECUTE `of_nothing`")["count"], &*of("EXECUTE `of_nothing`")["errors"]), ("1", "1"));
    assert!(rows.iter().all(|row| !row["digest_text"].starts_with("EXECUTE `of_a_")), "{rows:?}");
}

/// Statements are counted by the normal forms that MySQL itself has for them, on all cores together.
#[test]
fn digests_are_those_of_mysql() {
    const TEXTS: [&str; 34] = [
        "SELECT 1",
        "select  -1 ;",
        "SELECT /* c */ NULL",
        "SELECT 1, 2, 'geheim'",
        "SELECT * FROM t WHERE id = 5",
        "SELECT * FROM `t` WHERE `id`=-7",
        "SELECT * FROM t WHERE id IN (1)",
        "select * from t where id in (-1, +2, 3)",
        "SELECT * FROM t WHERE v IS NULL",
        "SELECT id-1 FROM t",
        "SELECT (id)-1 FROM t",
        "SELECT -1 + 2",
        "INSERT INTO t VALUES (1, 2, 'geheim')",
        "INSERT INTO t VALUES (2, NULL, 'b'), (3, -3, x'61')",
        "INSERT INTO t (id) VALUES (5),(6)",
        "INSERT INTO t (id, v) VALUES (10, DEFAULT)",
        "UPDATE t SET v = v + 1, name = \"geheim\" WHERE id = 1",
        "update t set v=v+2, name='z' where id=3",
        "DELETE FROM t WHERE id BETWEEN 8 AND 9",
        "SELECT COUNT(*) FROM t",
        "SELECT count( * ) from t",
        "SELECT Name, T.name FROM t T",
        "SELECT @@version, 1 AS x, 2 y",
        "SET @a = 1",
        "SELECT TRUE, FALSE, NOW(), CURRENT_TIMESTAMP",
        "SELECT CASE WHEN 1 THEN NULL ELSE 2 END",
        "SELECT IFNULL(NULL, 1), CONCAT('a', name) FROM t",
        "SELECT f.id FROM t f JOIN t g ON f.id = g.id AND g.v > 3 ORDER BY 1 LIMIT 10, 20",
        "SELECT id FROM t ORDER BY 1 DESC, v + 3 LIMIT 5 OFFSET 3",
        "SELECT * FROM t WHERE (id, v) IN ((1,2),(3,4))",
        "SELECT * FROM t WHERE id >= 1 && v <= 2 || v <> 3",
        "SELECT * FROM t WHERE name LIKE 'a%' OR name != 'b' AND NOT id",
        "WITH c AS (SELECT 1 AS n) SELECT n FROM c",
        "SELECT max(id) FROM no_such",
    ];
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let mut admin = place.admin().unwrap();
    for schema in ["weir_digests", "weir_digests_direct"] {
        for statement in [
            format!("DROP DATABASE IF EXISTS {schema}"),
            format!("CREATE DATABASE {schema}"),
            format!("CREATE TABLE {schema}.t (id INT, v INT, name VARCHAR(20))"),
        ] {
            admin.sql(&statement).unwrap();
        }
    }
    admin.ensure_replicated().unwrap();
    let account = |schema: &str| Account { schema: Some(schema.to_owned()), ..place.account() };
    let mut direct = Wire::login(&place.primary(), &account("weir_digests_direct")).unwrap();
    // An error is no surprise: one table is missing.
    TEXTS.iter().for_each(|text| drop(ask(&mut direct, text)));
    // The server counts a statement when it has answered it: the last one is counted before the next is read.
    ask(&mut direct, TEXTS[0]).unwrap();
    let digests = "SELECT DIGEST_TEXT FROM performance_schema.events_statements_summary_by_digest \
                   WHERE SCHEMA_NAME='weir_digests_direct' ORDER BY BINARY DIGEST_TEXT";
    let text = |row: &Vec<Option<Vec<u8>>>| String::from_utf8(row[0].clone().unwrap()).unwrap();
    let expected: Vec<String> = admin.sql(digests).unwrap().rows().iter().map(text).collect();

    let gate = start(place);
    let mut wires: Vec<Wire> =
        (0..6).map(|_| Wire::login(&gate.address(), &account("weir_digests")).unwrap()).collect();
    for wire in &mut wires {
        TEXTS.iter().for_each(|text| drop(ask(wire, text)));
    }
    let rows =
        |statement: &str| asked(place, gate.port(), statement).unwrap_or_else(|why| panic!("{statement}: {why}"));
    let mut counted = rows("SHOW WEIR DIGESTS LIMIT 1000");
    counted.retain(|row| row["schema_name"] == "weir_digests");
    counted.sort_by(|a, b| a["digest_text"].cmp(&b["digest_text"]));
    let texts: Vec<&str> = counted.iter().map(|row| &*row["digest_text"]).collect();
    assert_eq!(texts, expected);
    let sum = |name: &str| counted.iter().map(|row| row[name].parse::<usize>().unwrap()).sum::<usize>();
    assert_eq!((sum("count"), sum("errors")), (TEXTS.len() * wires.len(), wires.len()));
    let insert = counted.iter().find(|row| row["digest_text"] == "INSERT INTO `t` VALUES (...)").unwrap();
    assert_eq!((&*insert["rows_affected"], &*insert["replica_percent"]), ("6", "0"), "{insert:?}");
    assert!(insert["backend_p50_us"].parse::<u64>().unwrap() > 0 && insert["first_seen"].len() == 23, "{insert:?}");
    let most = rows("SHOW WEIR DIGESTS LIKE '%from%t%' ORDER BY count LIMIT 1");
    assert!(most.len() == 1 && most[0]["count"].parse::<u64>().unwrap() >= 12, "{most:?}");
    rows("FLUSH WEIR DIGESTS");
    assert!(rows("SHOW WEIR DIGESTS").iter().all(|row| row["schema_name"] != "weir_digests"));
}
