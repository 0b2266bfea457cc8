//! The planner against any text under any facts.
//!
//! What holds: it ends, in time linear in the text; a plan from the cache is the plan; a read does nothing but read; a
//! fact that the text does not touch changes nothing; what stands in quotes or a comment is no statement, and a lock
//! behind a read is seen.

mod hiding;

use std::time::{Duration, Instant};

use weir_planner::{
    Asks, Charset, Effects, Facts, Kind, Local, Plan, PlanCache, Route, SessionValue, plan, tables, tree,
};

use crate::draw::Draw;
use crate::seeds;

/// A text of 128 KiB takes a millisecond or two; what is quadratic takes minutes. Between the two lies this, far from
/// both so that a busy machine does not fail it.
const LONG_TEXT_BYTES: usize = 128 << 10;
const LONG_TEXT_LIMIT: Duration = Duration::from_secs(3);

const SETS: [Charset; 7] =
    [Charset::Utf8, Charset::Single, Charset::Gbk, Charset::Big5, Charset::Sjis, Charset::Gb18030, Charset::Euc];
/// The last one is MariaDB's.
const VERSIONS: [u32; 4] = [80_400, 90_704, 50_744, 101_119];

pub fn check(input: &[u8]) {
    let mut draw = Draw::new(input);
    let flags = draw.u8();
    let facts = Facts {
        ansi_quotes: flags & 1 == 1,
        no_backslash_escapes: flags & 2 == 2,
        system_schema: flags & 4 == 4,
        multi_statements: flags & 8 == 8,
        charset: draw.pick(&SETS),
        server_version: VERSIONS[usize::from(flags >> 4 & 3)],
    };
    let is_long = flags >> 6 == 3 && draw.u8().is_multiple_of(16);
    let sql = draw.rest();
    let planned = plan(sql, &facts);
    check_sound(&planned);
    check_values(sql, &planned);
    check_cache(sql, &facts, &planned);
    check_facts(sql, &facts, &planned);
    check_appended(sql, &facts, &planned);
    hiding::check(sql, &facts);
    tree::tables(sql, &facts);
    let _ = tables(sql, &facts);
    if let Some(Local::ExplainRoute(inner)) = &planned.local {
        check_sound(&plan(inner, &facts));
    }
    if is_long && !sql.is_empty() {
        check_long(sql, &facts);
    }
}

fn check_sound(plan: &Plan) {
    assert!(plan.statements >= 1);
    assert_eq!(plan.local.is_some(), plan.route == Route::Local);
    assert!(plan.assigns.iter().all(|assign| assign.literal == assign.value.is_some()));
    if matches!(plan.route, Route::Read | Route::Any) {
        let harmless = Effects::SET_SESSION | Effects::USE_SCHEMA;
        assert!(plan.effects.without(harmless).is_empty(), "{plan:?}");
        assert!(plan.asks.without(Asks::TRACKERS).is_empty(), "{plan:?}");
    }
}

/// The places where the gate writes a value of its own into the text: in order, apart, and a call each.
fn check_values(sql: &[u8], plan: &Plan) {
    let mut end = 0;
    for span in &plan.values {
        assert!(end <= span.start && span.start < span.end && span.end as usize <= sql.len(), "{span:?}");
        let call = &sql[span.start as usize..span.end as usize];
        let name: &[u8] = match span.value {
            SessionValue::ConnectionId => b"connection_id",
            SessionValue::RowCount => b"row_count",
        };
        let is_call = call.len() > name.len() && call[..name.len()].eq_ignore_ascii_case(name);
        let is_variable = span.value == SessionValue::ConnectionId && call.starts_with(b"@@");
        assert!(is_call || is_variable, "{span:?}");
        end = span.end;
    }
    assert!(plan.values.len() <= weir_planner::limits::VALUES_MAX);
}

/// A small cache that other texts and facts have gone through.
fn check_cache(sql: &[u8], facts: &Facts, planned: &Plan) {
    let mut cache = PlanCache::new(4, 4 << 10);
    let other = Facts { ansi_quotes: !facts.ansi_quotes, charset: Charset::Single, ..*facts };
    for _ in 0..2 {
        assert_eq!(*cache.plan(sql, facts), *planned);
        assert_eq!(*cache.plan(sql, &other), plan(sql, &other));
        cache.plan(&sql[sql.len() / 2..], facts);
    }
    assert!(cache.bytes() <= 4 << 10);
}

/// Without a backslash it is all one whether backslashes escape, and so on.
fn check_facts(sql: &[u8], facts: &Facts, planned: &Plan) {
    let same = |why: &str, other: Facts| assert_eq!(plan(sql, &other), *planned, "{why}");
    if !sql.contains(&b'\\') {
        same("no backslash", Facts { no_backslash_escapes: !facts.no_backslash_escapes, ..*facts });
    }
    if !sql.contains(&b'"') {
        same("no double quote", Facts { ansi_quotes: !facts.ansi_quotes, ..*facts });
    }
    if sql.is_ascii() {
        SETS.into_iter().for_each(|charset| same("ASCII", Facts { charset, ..*facts }));
    }
    if !sql.contains(&b';') {
        same("one statement", Facts { multi_statements: !facts.multi_statements, ..*facts });
    }
}

/// What makes a read a write also does so behind any text that is a read.
fn check_appended(sql: &[u8], facts: &Facts, planned: &Plan) {
    if planned.route != Route::Read || planned.kind != Kind::Select {
        return;
    }
    for behind in ["\n FOR UPDATE", "\n LOCK IN SHARE MODE", "\n INTO @v", "\n FOR SHARE SKIP LOCKED", ", @v := 1"] {
        let longer = plan(&[sql, b"\n", behind.as_bytes()].concat(), facts);
        assert_eq!(longer.route, Route::Primary, "behind it stands {behind:?}: {longer:?}");
    }
}

fn check_long(sql: &[u8], facts: &Facts) {
    let long: Vec<u8> = sql.iter().cycle().take(LONG_TEXT_BYTES).copied().collect();
    let began = Instant::now();
    check_sound(&plan(&long, facts));
    let took = began.elapsed();
    assert!(took < LONG_TEXT_LIMIT, "{LONG_TEXT_BYTES} bytes took {took:?}");
}

/// The planner's own cases, each under the usual facts and under odd ones.
pub fn seeds() -> Vec<Vec<u8>> {
    let folder = seeds::folder("../../planner/cases");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .flatten()
        .map(|file| file.path())
        .collect();
    files.sort();
    let mut seeds = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let cases = text.lines().filter(|line| !line.starts_with('#') && !line.starts_with('@'));
        for (number, (sql, _)) in cases.filter_map(|line| line.rsplit_once(" => ")).enumerate() {
            let flags = if number % 4 == 3 { number as u8 } else { 0x08 };
            seeds.push([&[flags, (number % 6) as u8], sql.as_bytes()].concat());
        }
    }
    seeds
}
