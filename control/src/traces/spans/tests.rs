use super::*;
use std::time::{Duration, SystemTime};
use weir_core::querylog::Draft;
use weir_core::trace::{Ids, Server};

/// Began at 1 µs, waited for 2 µs, sent at 5 µs, ended at 9 µs; told when the cores' clock said 10 µs.
pub fn told(statement: &str, change: impl FnOnce(&mut trace::Span)) -> Told {
    let draft = Draft { command: "query", statement: statement.as_bytes().to_vec(), ..Draft::default() };
    let us = |us: u64| Instant(us * 1_000);
    let mut span = trace::Span {
        ids: Ids { trace: [1; 16], span: [2; 8], parent: Some([3; 8]) },
        draft: Box::new(draft),
        core: 1,
        connection_id: 77,
        schema: "shop".to_string(),
        is_plain: true,
        backend: Some(Server { name: "b0".to_string(), address: Address::Tcp(([10, 0, 0, 7], 3306).into()) }),
        route: "replica",
        reason: "plain_read",
        times: Times { began: us(1), wait_from: us(1), wait_ns: 2_000, sent: Some(us(5)), ended: us(9) },
        rows: 3,
        error: None,
    };
    change(&mut span);
    Told { span: Box::new(span), clock: us(10), at: SystemTime::UNIX_EPOCH + Duration::from_secs(1) }
}

fn found(span: &Span, key: &str) -> String {
    let of = span.attributes.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.clone()?.value);
    match of {
        None => String::new(),
        Some(Value::StringValue(text)) => text,
        Some(other) => format!("{other:?}"),
    }
}

#[test]
fn a_statement_is_three_spans_that_nest() {
    let spans = spans_of(&told("SELECT * FROM orders WHERE id = 5", |_| {}));
    let shape = |span: &Span| (span.kind(), span.name.clone(), span.start_time_unix_nano, span.end_time_unix_nano);
    let at = |us: u64| 1_000_000_000 - 10_000 + us * 1_000;
    let name = "SELECT orders".to_string();
    assert_eq!(shape(&spans[0]), (SpanKind::Server, name.clone(), at(1), at(9)));
    assert_eq!(shape(&spans[1]), (SpanKind::Internal, "weir.wait".to_string(), at(1), at(3)));
    assert_eq!(shape(&spans[2]), (SpanKind::Client, name, at(5), at(9)));
    assert_eq!((spans[0].trace_id.clone(), spans[0].parent_span_id.clone()), (vec![1; 16], vec![3; 8]));
    assert!(spans[1..].iter().all(|child| child.parent_span_id == vec![2; 8] && child.trace_id == vec![1; 16]));
    assert!(spans[1].span_id != spans[2].span_id && spans[1].span_id != spans[0].span_id);
    for (key, wanted) in [
        ("db.system.name", "mysql"),
        ("db.namespace", "shop"),
        ("db.operation.name", "SELECT"),
        ("db.query.summary", "SELECT orders"),
        ("db.query.text", "SELECT * FROM `orders` WHERE `id` = ?"),
        ("db.response.returned_rows", "IntValue(3)"),
        ("weir.route", "replica"),
        ("weir.wait_us", "IntValue(2)"),
        ("server.address", ""),
    ] {
        assert_eq!(found(&spans[0], key), wanted, "{key}");
    }
    assert_eq!(
        (found(&spans[2], "server.address"), found(&spans[2], "server.port")),
        ("10.0.0.7".to_string(), "IntValue(3306)".to_string())
    );
    assert_eq!((spans[0].flags, spans[1].flags), (0x301, 0x101));
}

#[test]
fn what_was_sent_nowhere_is_one_span_and_errors_are_told() {
    let spans = spans_of(&told("SELECT 1", |span| {
        (span.backend, span.error) = (None, Some(1040));
        span.times = Times { sent: None, wait_ns: 0, ..span.times };
        span.ids.parent = None;
    }));
    assert_eq!((spans.len(), spans[0].flags, spans[0].parent_span_id.len()), (1, 1, 0));
    assert_eq!(spans[0].status.as_ref().map(Status::code), Some(StatusCode::Error));
    assert_eq!(
        (found(&spans[0], "db.response.status_code"), found(&spans[0], "error.type")),
        ("1040".to_string(), "1040".to_string())
    );
    // Clocks that disagree make no span that ends before it begins.
    let odd = Times {
        began: Instant(9),
        wait_from: Instant(3),
        wait_ns: u64::MAX,
        sent: Some(Instant(2)),
        ended: Instant(4),
    };
    assert!(moments(&odd).is_sorted());
}

#[test]
fn names_are_few_and_hold_no_literal() {
    let cases = [
        ("INSERT INTO shop.orders VALUES (5, 'secret')", "INSERT shop.orders"),
        ("SELECT a.x FROM a JOIN b ON a.x = b.x JOIN a c ON c.x = 7", "SELECT a b"),
        ("update t set a = 'secret' where b = 1 /*traceparent='secret'*/", "UPDATE t"),
        ("CREATE USER u IDENTIFIED BY \"secret\"", "CREATE"),
        ("BEGIN", "BEGIN"),
        // Where the reader is not sure, nothing is said.
        ("SELECT 'secret", "mysql"),
        ("secret_word and more", "mysql"),
        ("", "mysql"),
    ];
    for (statement, name) in cases {
        let told = told(statement, |span| {
            span.is_plain = statement != "secret_word and more";
            // For the reader alone: a password in double quotes is a name then.
            span.draft.facts.ansi_quotes = true;
            span.draft.params = vec![Some("secret".to_string())];
        });
        let spans = spans_of(&told);
        assert_eq!(spans[0].name, name, "{statement}");
        if statement != "secret_word and more" {
            assert!(!format!("{spans:?}").contains("secret"), "{spans:?}");
        }
    }
    let prepared = spans_of(&told("SELECT * FROM t WHERE a = ?", |span| span.draft.command = "prepare"));
    assert_eq!(
        (prepared[0].name.as_str(), found(&prepared[0], "db.operation.name").as_str()),
        ("PREPARE SELECT t", "PREPARE")
    );
    let many: String = (0..100).map(|n| format!(", table_number_{n}")).collect();
    let long = spans_of(&told(&format!("SELECT 1 FROM t{many}"), |_| {}));
    assert!((200..=255).contains(&long[0].name.len()), "{}", long[0].name);
}
