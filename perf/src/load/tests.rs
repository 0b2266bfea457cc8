use super::*;
use crate::null::NullBackend;

fn options() -> LoadOptions {
    let mut backend = NullBackend::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = backend.address().unwrap();
    thread::spawn(move || backend.run());
    LoadOptions {
        account: Account {
            address,
            user: "app".to_owned(),
            password: "app".to_owned(),
            schema: Some("sbtest".to_owned()),
        },
        question: Question::TextPoint { tables: 1, rows: 9 },
        connections: 3,
        threads: 2,
        rate: None,
        warm_up: Duration::ZERO,
        time: Duration::from_millis(100),
    }
}

#[test]
fn closed_loop_counts_every_kind_of_question() {
    let base = options();
    for question in [
        Question::TextPoint { tables: 1, rows: 9 },
        Question::PreparedPoint { rows: 9 },
        Question::Text("SELECT c FROM sbtest1 LIMIT 2000".to_owned()),
    ] {
        let options = LoadOptions { question, ..base.clone() };
        let outcome = run(&options, &[std::process::id()]).unwrap();
        assert!(outcome.queries > 0 && outcome.errors == 0, "{outcome:?}");
        assert_eq!(outcome.latency.len(), outcome.queries);
        assert!(outcome.cpu_us(0) > 0.0 && outcome.cpu_us(1) == 0.0);
    }
}

#[test]
fn errors_are_counted_apart() {
    let mut options = options();
    options.question = Question::Text("SIGNAL SQLSTATE '45000'".to_owned());
    let outcome = run(&options, &[]).unwrap();
    assert!(outcome.errors > 0 && outcome.queries == 0);
    assert!(outcome.first_error.unwrap().ends_with(" (1644)"));
    options.account.address.set_port(1);
    assert!(run(&options, &[]).is_err());
    options.connections = 0;
    assert!(matches!(run(&options, &[]), Err(Fault::Usage(_))));
}

/// A server that stalls pays for all whom it kept waiting: everything that was due is counted, from when it was due.
#[test]
fn open_loop_counts_from_the_intended_time() {
    let mut options = options();
    options.rate = Some(2000.0);
    options.connections = 1;
    // Some megabytes per answer: far fewer than 2,000 per second can be had of one client.
    options.question = Question::Text("SELECT c FROM sbtest1 LIMIT 50000".to_owned());
    let outcome = run(&options, &[]).unwrap();
    let due = 2000.0 * outcome.seconds;
    let counted = (outcome.queries + outcome.unanswered) as f64;
    assert!((counted - due).abs() < due * 0.5, "{counted} of {due}");
    let (first, last) = (outcome.latency_us(0.02), outcome.latency_us(0.98));
    assert!(last > 2.0 * first, "the line grew: {first} to {last}");
}

#[test]
fn shares_are_the_whole() {
    let base = LoadOptions { connections: 10, rate: Some(100.0), ..options() };
    let shares: Vec<_> = (0..3).map(|n| worker::Share::of(&base, n, 3)).collect();
    assert_eq!(shares.iter().map(|share| share.count).sum::<usize>(), 10);
    let rate: f64 = (shares.iter()).map(|share| 1.0 / share.interval.unwrap().as_secs_f64()).sum();
    assert!((rate - 100.0).abs() < 0.01);
    assert_eq!(shares[1].first, shares[0].count);
}
