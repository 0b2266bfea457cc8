use std::collections::BTreeSet;

use super::*;

const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429561";
const B: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

fn set(text: &str) -> GtidSet {
    GtidSet::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Left: what is read; right: what the server (9.7) makes of it, in its own order.
#[test]
fn text_as_the_server_reads_and_writes_it() {
    let cases = [
        (String::new(), String::new()),
        (format!("{B}:5-3"), String::new()),
        (B.to_string(), String::new()),
        (format!("{B}:t"), String::new()),
        (
            format!("{}:1-3:Tag_b:1-4:8:5:atag:7, {} : 6 : 9 - 10,,", B.to_uppercase(), A.replace('-', "")),
            format!("{A}:6:9-10,{B}:1-3:atag:7:tag_b:1-5:8"),
        ),
        (format!("{B}:9223372036854775806"), format!("{B}:9223372036854775806")),
        (format!("{B}:t:t2:1"), format!("{B}:t2:1")),
        (format!("{{{B}}}:1"), format!("{B}:1")),
        (format!("{B}:1-3:t:5:1-9"), format!("{B}:1-3:t:1-9")),
        (format!("{B}:1- 3\t"), format!("{B}:1-3")),
        (format!("{A}:1-5,\n{B}:1\n"), format!("{A}:1-5,{B}:1")),
        (format!("{A}:7,{B}:1,{A}:1-3,{A}:2-5"), format!("{A}:1-5:7,{B}:1")),
    ];
    for (text, expected) in cases {
        let read = set(&text);
        assert_eq!(read.to_string(), expected, "{text}");
        assert_eq!(set(&expected), read, "{text}");
    }
}

#[test]
fn text_that_the_server_refuses() {
    let long_tag = "t".repeat(33);
    let tails = [
        ":0",
        ":0-3",
        ":9223372036854775807",
        ":",
        ":1:",
        ":1-3:9t:5",
        ":1-",
        ":1 2",
        "x:1",
        &format!(":{long_tag}:1"),
    ];
    for tail in tails {
        assert!(GtidSet::parse(format!("{B}{tail}").as_bytes()).is_err(), "{tail}");
    }
    for text in ["0-1-", "x", "3e11fa47", &B[1..], &format!("{{{B}:1"), &B.replacen('-', "", 1), &format!("{A} {B}:1")]
    {
        assert!(GtidSet::parse(text.as_bytes()).is_err(), "{text}");
    }
    let many = format!("{A}{}", ":1".repeat(crate::limits::GTID_INTERVALS_MAX + 1));
    assert!(GtidSet::parse(many.as_bytes()).is_err());
}

#[test]
fn bytes_of_any_kind_do_not_panic() {
    let seed = format!("{A}:1-5:7:tag:1-3,\n{B}:4");
    for at in 0..seed.len() {
        let _ = GtidSet::parse(&seed.as_bytes()[..at]);
        for byte in [0, b':', b'-', b',', b'9', b'a', b'{', 0xff] {
            let mut broken = seed.clone().into_bytes();
            broken[at] = byte;
            if let Ok(read) = GtidSet::parse(&broken) {
                assert_eq!(set(&read.to_string()), read);
            }
        }
    }
}

/// The usual growth of a session's set: one transaction after the other.
#[test]
fn next_transaction_extends_the_interval() {
    let sid = Sid::of([7; 16]);
    let mut growing = GtidSet::new();
    for number in 1..=1000 {
        growing.add(sid.clone(), number, number);
    }
    assert_eq!(growing.iter().collect::<Vec<_>>(), [(&sid, 1, 1000)]);
    assert_eq!(growing.count(), 1000);
    assert!(growing.holds(&sid, 1000));
    assert!(!growing.holds(&sid, 1001));
    growing.add(sid.clone(), 0, u64::MAX);
    assert_eq!(growing.count(), GNO_MAX);
    growing.add(sid, 5, 4);
    assert_eq!(growing.count(), GNO_MAX);
}

/// Every operation against a set of single transactions.
#[test]
fn algebra_against_a_naive_model() {
    let mut below = random_below(0x2545_f491_4f6c_dd1d);
    for _ in 0..3000 {
        let (mut left, mut left_model) = random_set(&mut below);
        let (right, right_model) = random_set(&mut below);
        assert_eq!(left == right, left_model == right_model);
        assert_eq!(left.contains(&right), left_model.is_superset(&right_model), "{left} ⊇ {right}");
        let mut rest = left.clone();
        rest.subtract(&right);
        check(&rest, &left_model.difference(&right_model).cloned().collect());
        assert_eq!(rest.is_empty(), right.contains(&left));
        left.merge(&right);
        left_model.extend(right_model.iter().cloned());
        check(&left, &left_model);
        assert!(left.contains(&right));
        assert_eq!(set(&left.to_string()), left);
    }
}

/// A source with many holes that are filled one by one, as a server's are after it was behind.
#[test]
fn holes_are_filled_in_any_order() {
    let sid = Sid { uuid: [7; 16], tag: None };
    let mut below = random_below(0x9e37_79b9_7f4a_7c15);
    for _ in 0..300 {
        let (mut made, mut model) = (GtidSet::new(), Model::new());
        for _ in 0..60 {
            let first = 1 + below(80);
            let last = first + below(3);
            let mut one = GtidSet::new();
            one.add(sid.clone(), first, last);
            let is_there = (first..=last).all(|number| model.contains(&(sid.clone(), number)));
            assert_eq!(made.contains(&one), is_there, "{made} ⊇ {one}");
            made.merge(&one);
            model.extend((first..=last).map(|number| (sid.clone(), number)));
            check(&made, &model);
        }
    }
    let mut whole = set("07070707-0707-0707-0707-070707070707:1-5:7:9223372036854775806");
    whole.merge(&set("07070707-0707-0707-0707-070707070707:6-9223372036854775805"));
    assert_eq!(whole, set("07070707-0707-0707-0707-070707070707:1-9223372036854775806"));
}

fn random_below(mut random: u64) -> impl FnMut(u64) -> u64 {
    move |limit: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % limit
    }
}

type Model = BTreeSet<(Sid, u64)>;

fn random_set(below: &mut impl FnMut(u64) -> u64) -> (GtidSet, Model) {
    let (mut made, mut model) = (GtidSet::new(), Model::new());
    for _ in 0..below(8) {
        let tag = [None, Some("a".into()), Some("b_1".into())][below(3) as usize].clone();
        let sid = Sid { uuid: [below(2) as u8; 16], tag };
        let first = 1 + below(20);
        let last = first + below(5);
        made.add(sid.clone(), first, last);
        model.extend((first..=last).map(|number| (sid.clone(), number)));
    }
    check(&made, &model);
    (made, model)
}

fn check(made: &GtidSet, model: &Model) {
    let flat = made.iter().flat_map(|(sid, first, last)| (first..=last).map(|number| (sid.clone(), number)));
    assert!(flat.eq(model.iter().cloned()), "{made}");
    assert_eq!(made.count(), model.len() as u64);
    assert_eq!(made.is_empty(), model.is_empty());
    let intervals: Vec<_> = made.iter().collect();
    for pair in intervals.windows(2) {
        assert!(pair[0].0 < pair[1].0 || (pair[0].0 == pair[1].0 && pair[0].2 + 1 < pair[1].1), "{made}");
    }
}
