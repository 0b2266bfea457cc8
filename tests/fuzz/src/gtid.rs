//! GTID sets: any text is read or refused, what is read is written and read again, and the laws of sets hold.

use weir_net::gtid::{GNO_MAX, GtidSet};

/// Two texts, with a NUL between them.
pub fn check(input: &[u8]) {
    let mut texts = input.splitn(2, |byte| *byte == 0);
    let mut read = || texts.next().and_then(|text| GtidSet::parse(text).ok()).unwrap_or_default();
    let (left, right) = (read(), read());
    check_one(&left);
    check_two(&left, &right);
    check_two(&right, &left);
    check_two(&left, &left);
}

fn check_one(set: &GtidSet) {
    let text = set.to_string();
    let again = GtidSet::parse(text.as_bytes()).expect("what is written can be read");
    assert_eq!(again, *set, "{text}");
    assert_eq!(again.to_string(), text);
    assert_eq!(set.is_empty(), set.count() == 0);
    assert_eq!(set.is_empty(), text.is_empty());
    let mut built = GtidSet::new();
    let mut before = None;
    for (sid, first, last) in set.iter() {
        assert!(1 <= first && first <= last && last <= GNO_MAX);
        // Sorted, apart from each other: so equal sets have equal bytes.
        if let Some((known, end)) = before {
            assert!(known < sid || (known == sid && end + 1 < first), "{text}");
        }
        before = Some((sid, last));
        assert!(set.holds(sid, first) && set.holds(sid, last));
        assert!(!set.holds(sid, first - 1) && (last == GNO_MAX || !set.holds(sid, last + 1)));
        built.add(sid.clone(), first, last);
    }
    assert_eq!(built, *set);
}

fn check_two(left: &GtidSet, right: &GtidSet) {
    let mut both = left.clone();
    both.merge(right);
    assert!(both.contains(left) && both.contains(right));
    assert_eq!(both.contains(right), contains_each(&both, right));
    assert_eq!(left.contains(right), contains_each(left, right));
    let mut only_left = left.clone();
    only_left.subtract(right);
    assert!(left.contains(&only_left));
    assert_eq!(only_left.is_empty(), right.contains(left));
    let mut common = left.clone();
    common.subtract(&only_left);
    assert!(right.contains(&common) && left.contains(&common));
    let mut joined = only_left.clone();
    joined.merge(right);
    assert_eq!(joined, both, "what is left of the difference and the other set are the union");
    assert_eq!(both.count(), only_left.count().saturating_add(right.count()));
    check_one(&both);
    check_one(&only_left);
}

/// `contains` by its definition: each interval's ends lie in one interval.
fn contains_each(outer: &GtidSet, inner: &GtidSet) -> bool {
    inner
        .iter()
        .all(|(sid, first, last)| outer.iter().any(|(known, from, to)| known == sid && from <= first && last <= to))
}

pub fn seeds() -> Vec<Vec<u8>> {
    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "{4e11fa4771ca11e19e33c80aa9429563}";
    let texts = [
        format!("{A}:1-5\0{A}:3-9"),
        format!("{A}:1-5:7:11-20,\n{B}:1:tag:3-4\0{A}:6:8-12,{B}:tag:1-9"),
        format!("{A}:1-9223372036854775806\0{A}:5:7:9"),
        format!(" , {A} : a_1 : 1 - 2 : 4 ,, {B}\0"),
        format!("{A}:5-3:0\0{A}:x"),
        format!("{A}:Tag:1-3:tag:4-6\0{A}:TAG:2"),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}
