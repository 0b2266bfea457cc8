use super::super::ask::{Event, Slow};
use super::*;
use crate::status::tests::picture;

fn answer() -> Answer {
    let digest = |text: &str, count, total_time_us, errors| Digest {
        schema_name: "shop".to_string(),
        digest_text: text.to_string(),
        count,
        errors,
        total_time_us,
        backend_p99_us: 1_200,
        ..Digest::default()
    };
    let slow = Slow {
        digests: vec![digest("SELECT ?", 7, 900, 0), digest("UPDATE `t`", 900, 30, 4)],
        events: vec![Event {
            time: "2026-11-26 19:40:18.250".to_string(),
            kind: "failover_ended".to_string(),
            subject: "b1".to_string(),
            text: "b1 is primary".to_string(),
        }],
    };
    Answer { status: picture().status(), slow: Some(slow) }
}

fn later(answer: &Answer) -> Answer {
    let mut later = answer.clone();
    later.status.uptime_ms += 2_000;
    *later.status.counters.get_mut("commands").unwrap() += 2_468;
    later.status.pools[0].commands += 500;
    later
}

fn text(order: Order, before: &Answer, now: &Answer, trouble: Option<&str>) -> String {
    let view = View { address: "127.0.0.1:7306", before, now, trouble, order };
    view.lines().iter().map(|line| line.text.clone() + "\n").collect()
}

#[test]
fn it_says_what_happens_now() {
    let before = answer();
    let now = later(&before);
    let text = text(Order::default(), &before, &now, None);
    for expected in [
        "at 127.0.0.1:7306: ready, up 1 min 3 s, 3 cores, clients come in at 127.0.0.1:3306\n",
        "statements 1234/s: primary 0.0",
        "clients 4 of 1000; waiting 0",
        "no answer in time from core 1",
        "BACKEND  ROLE     HEALTH   LAG  READS  STMTS/S  LEASED  IDLE  LIMIT  WAIT  NOTE\n",
        "b0       primary  up         -   0.0%      250       2     2     10     0\n",
        "b1       replica  up      5 ms  33.3%      0.0       0     0      0     0\n",
        "    77  app   b0       lock    1 s  SELECT GET_LOCK\n",
        "19:40:18  failover_ended  b1  b1 is primary\n",
        "900 us      7       0",
    ] {
        assert!(text.contains(expected), "{expected}\nnot in\n{text}");
    }
    assert!(text.find("SELECT ?").unwrap() < text.find("UPDATE `t`").unwrap(), "{text}");
}

#[test]
fn keys_change_the_order() {
    let before = answer();
    let now = later(&before);
    let order = b"le".iter().fold(Order::default(), |order, key| order.with_key(*key));
    assert_eq!(order, Order { backends: BackendOrder::Lag, digests: DigestOrder::Errors });
    let text = text(order, &before, &now, None);
    assert!(text.find("b2  ").unwrap() < text.find("b1  ").unwrap(), "{text}");
    assert!(text.find("UPDATE `t`").unwrap() < text.find("SELECT ?").unwrap(), "{text}");
    assert_eq!(order.with_key(b'z'), order);
}

#[test]
fn without_a_rate_there_is_no_number_and_troubles_are_told() {
    let mut before = answer();
    before.status.backends.iter_mut().for_each(|backend| backend.health = "down".to_string());
    let text = text(Order::default(), &before, &before.clone(), Some("it is old"));
    assert!(text.contains("statements -/s") && text.contains("it is old\n"), "{text}");
    assert!(text.contains("no primary: writes wait, then fail"), "{text}");
}

#[test]
fn a_screen_has_the_terminals_size_and_no_control_characters() {
    let mut before = answer();
    before.status.backends[1].note = "odd\u{1b}[2J\nname".to_string();
    before.slow.as_mut().unwrap().digests[0].digest_text = "\u{9b}x\ty".to_string();
    let view =
        View { address: "127.0.0.1:7306", before: &before, now: &before, trouble: None, order: Order::default() };
    for (width, height) in [(40, 5), (200, 60), (1, 1), (0, 0)] {
        let lines = fitted(view.lines(), width, height, true);
        assert_eq!(lines.len(), height.max(1));
        assert!(lines.iter().all(|line| line.text.chars().count() <= width), "{width} {height}");
        assert!(lines.iter().all(|line| !line.text.chars().any(char::is_control)));
    }
    let lines = fitted(view.lines(), 120, 24, true);
    assert!(lines[23].text.starts_with("PAUSED  q quit") && lines[23].text.chars().count() == 120);
    assert!(lines.iter().any(|line| line.text.ends_with("odd?[2J?name")), "{lines:?}");
}
