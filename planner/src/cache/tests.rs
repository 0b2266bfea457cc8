use super::*;

#[test]
fn a_hit_shares_the_plan() {
    let mut cache = PlanCache::new(64, 4096);
    let facts = Facts::default();
    let first = cache.plan(b"SELECT 1", &facts);
    let second = cache.plan(b"SELECT 1", &facts);
    assert!(Rc::ptr_eq(&first, &second));
    assert_eq!((cache.hits(), cache.misses(), cache.len(), cache.bytes()), (1, 1, 1, 8));
}

#[test]
fn facts_are_a_part_of_the_key() {
    let mut cache = PlanCache::new(64, 4096);
    let quotes = Facts { ansi_quotes: true, ..Facts::default() };
    let sql = br#"SELECT "a FOR UPDATE" FROM t"#;
    cache.plan(sql, &Facts::default());
    cache.plan(sql, &quotes);
    assert_eq!((cache.hits(), cache.misses(), cache.len()), (0, 2, 2));
}

#[test]
fn entries_and_bytes_stay_within_their_limits() {
    for (entries_max, bytes_max) in [(1, 100), (4, 40), (16, 10_000), (100, 300)] {
        let mut cache = PlanCache::new(entries_max, bytes_max);
        for i in 0..2000u32 {
            let sql = format!("SELECT {i} FROM t{}", i % 7);
            let plan = cache.plan(sql.as_bytes(), &Facts::default());
            assert_eq!(*plan, crate::plan(sql.as_bytes(), &Facts::default()));
            assert!(cache.bytes() <= bytes_max && cache.len() <= entries_max.max(4));
        }
        assert!(!cache.is_empty());
    }
}

#[test]
fn what_is_used_again_outlives_what_is_not() {
    let mut cache = PlanCache::new(4, 10_000);
    let facts = Facts::default();
    cache.plan(b"SELECT a FROM hot", &facts);
    for i in 0..100 {
        cache.plan(b"SELECT a FROM hot", &facts);
        cache.plan(format!("SELECT {i}").as_bytes(), &facts);
    }
    assert!(cache.hits() >= 70, "{} hits", cache.hits());
}

#[test]
fn long_texts_pass_by() {
    let mut cache = PlanCache::new(4, 1 << 20);
    let mut sql = b"SELECT '".to_vec();
    sql.resize(CACHED_TEXT_BYTES_MAX, b'x');
    sql.extend_from_slice(b"'");
    cache.plan(&sql, &Facts::default());
    assert!(cache.is_empty() && cache.misses() == 1);
}
