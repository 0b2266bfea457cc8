use super::*;

const SETTINGS: LoginSettings = LoginSettings { failures_max: 3, delay_ms_min: 100, delay_ms_max: 350 };
const HERE: Origin = Origin::V4(1);
const THERE: Origin = Origin::V4(2);

/// How long a claim is put off now; 0: not at all.
fn delay(failures: &mut Failures, now: Instant, user: &[u8], origin: Origin) -> u64 {
    match failures.admit(now, user, origin, &SETTINGS) {
        Admission::Now => 0,
        Admission::After { ms, .. } => {
            failures.released(origin);
            ms
        }
        Admission::Refused { .. } => panic!("nobody is put off for long here"),
    }
}

#[test]
fn delays_double_up_to_the_limit_and_a_success_ends_them() {
    let mut failures = Failures::default();
    let delays: Vec<u64> = (0..7)
        .map(|at| {
            let ms = delay(&mut failures, Instant(at), b"app", HERE);
            failures.failed(Instant(at), b"app", HERE);
            ms
        })
        .collect();
    assert_eq!(delays, [0, 0, 0, 100, 200, 350, 350]);
    failures.succeeded(Instant(8), b"app", HERE);
    assert_eq!(delay(&mut failures, Instant(8), b"app", HERE), 0);
    // The row begins anew: two more are none.
    failures.failed(Instant(9), b"app", HERE);
    failures.failed(Instant(9), b"app", HERE);
    assert_eq!(delay(&mut failures, Instant(9), b"app", HERE), 0);
}

#[test]
fn guesses_at_many_accounts_and_from_many_addresses_count_too() {
    let mut failures = Failures::default();
    for user in [b"a", b"b", b"c"] {
        failures.failed(Instant(1), user, HERE);
    }
    assert_eq!(delay(&mut failures, Instant(1), b"d", HERE), 100);
    assert_eq!(delay(&mut failures, Instant(1), b"d", THERE), 0);
    for origin in 10..13 {
        failures.failed(Instant(1), b"root", Origin::V4(origin));
    }
    assert_eq!(delay(&mut failures, Instant(1), b"root", THERE), 100);
    // All clients of a socket have no address together.
    for user in [b"a", b"b", b"c"] {
        failures.failed(Instant(1), user, Origin::Local);
    }
    assert_eq!(delay(&mut failures, Instant(1), b"d", Origin::Local), 0);
}

#[test]
fn who_belongs_there_is_not_held_up_by_others() {
    let mut failures = Failures::default();
    failures.succeeded(Instant(1), b"app", HERE);
    for origin in 10..20 {
        failures.failed(Instant(2), b"app", Origin::V4(origin));
    }
    for user in [b"a", b"b", b"c"] {
        failures.failed(Instant(2), user, HERE);
    }
    assert_eq!(delay(&mut failures, Instant(2), b"app", HERE), 0);
    assert!(delay(&mut failures, Instant(2), b"app", THERE) > 0);
    // Its own failures count all the same.
    for _ in 0..3 {
        failures.failed(Instant(3), b"app", HERE);
    }
    assert_eq!(delay(&mut failures, Instant(3), b"app", HERE), 100);
}

#[test]
fn a_row_is_told_once_and_forgotten_in_time() {
    let mut failures = Failures::default();
    (0..3).for_each(|_| failures.failed(Instant(1), b"app", HERE));
    let first = |failures: &mut Failures| match failures.admit(Instant(2), b"app", HERE, &SETTINGS) {
        Admission::After { is_first, .. } => is_first,
        other => panic!("{other:?}"),
    };
    assert!(first(&mut failures) && !first(&mut failures));
    let later = Instant(1).plus_ms(LOGIN_FAILURES_KEPT_MS);
    assert_eq!(delay(&mut failures, later, b"app", HERE), 0);
    failures.failed(later, b"app", HERE);
    assert_eq!(delay(&mut failures, later, b"app", HERE), 0);
}

#[test]
fn neither_rows_nor_those_who_are_put_off_grow_without_end() {
    let mut failures = Failures::default();
    for number in 0..40_000_u32 {
        failures.failed(Instant(u64::from(number)), &number.to_le_bytes(), Origin::V4(number));
        assert!(failures.rows.len() <= LOGIN_ENTRIES_MAX);
    }
    (0..3).for_each(|_| failures.failed(Instant(50_000), &[b'x'; 5_000], HERE));
    for _ in 0..LOGINS_HELD_PER_ADDRESS_MAX {
        assert!(matches!(failures.admit(Instant(50_000), b"app", HERE, &SETTINGS), Admission::After { .. }));
    }
    assert_eq!(failures.admit(Instant(50_000), b"app", HERE, &SETTINGS), Admission::Refused { ms: 100 });
    failures.released(HERE);
    assert!(matches!(failures.admit(Instant(50_000), b"app", HERE, &SETTINGS), Admission::After { .. }));
}
