//! The sqlcommenter comment: what an application's library says about a statement, in front of it or behind it.
//!
//! ```text
//!   SELECT … /*action='list',traceparent='00-<32 hex>-<16 hex>-01'*/
//! ```
//! Invariant: a text and the same without the comment that is taken off behind it have one plan, or the shorter one's is the primary's:
//! a comment is a gap, and the end of a text is one, too. Where that is not sure (a `;` before it would leave an empty statement
//! behind, and `--` is a comment only before a gap) it is left. What it says is nobody's order: it is read for traces alone.
//!
//! Source: sqlcommenter's specification (keys and values are URL-encoded, values in single quotes).

/// A trace's context, as one comment says it: values of its keys as they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceComment<'a> {
    /// `traceparent`.
    pub parent: &'a [u8],
    /// `tracestate`.
    pub state: Option<&'a [u8]>,
}

/// Of a comment behind the text, or in front of it.
pub fn trace_comment(text: &[u8]) -> Option<TraceComment<'_>> {
    let bare = text.trim_ascii_end();
    let bare = bare.strip_suffix(b";").unwrap_or(bare).trim_ascii_end();
    behind(bare).and_then(|(_, inside)| said(inside)).or_else(|| said(in_front(text)?))
}

/// The text without a comment behind it that has a trace's parent: so that a text that differs in that alone has one plan.
#[inline]
pub(crate) fn without_trace(text: &[u8]) -> &[u8] {
    if text.ends_with(b"*/") { cut(text) } else { text }
}

#[cold]
fn cut(text: &[u8]) -> &[u8] {
    let Some((before, _)) = behind(text).filter(|(_, inside)| value(inside, PARENT).is_some()) else { return text };
    let before = before.trim_ascii_end();
    match before.last() {
        None | Some(b';' | b'-') => text,
        Some(_) => before,
    }
}

/// What is before the comment at the end, and what is in it.
fn behind(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let open = text.strip_suffix(b"*/")?;
    let from = open.len().saturating_sub(COMMENT_BYTES_MAX);
    let at = open.get(from..)?.windows(2).rposition(|two| two == b"/*")?.saturating_add(from);
    let (before, comment) = open.split_at_checked(at)?;
    Some((before, plain(comment.get(2..)?)?))
}

fn in_front(text: &[u8]) -> Option<&[u8]> {
    let comment = text.trim_ascii_start().strip_prefix(b"/*")?;
    let comment = comment.get(..COMMENT_BYTES_MAX).unwrap_or(comment);
    let end = comment.windows(2).position(|two| two == b"*/")?;
    plain(comment.get(..end)?)
}

/// Neither one that the server executes or takes for a hint (`!`, `+`, `M!`), nor two.
fn plain(inside: &[u8]) -> Option<&[u8]> {
    let begins_with_key = inside.first().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_whitespace());
    let is_one = !inside.windows(2).any(|two| two == b"*/");
    (begins_with_key && is_one).then_some(inside)
}

fn said(inside: &[u8]) -> Option<TraceComment<'_>> {
    let parent = value(inside, PARENT)?;
    Some(TraceComment { parent, state: value(inside, STATE) })
}

fn value<'a>(inside: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    inside.split(|byte| *byte == b',').find_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(key)?.strip_prefix(b"='")?;
        value.strip_suffix(b"'")
    })
}

const PARENT: &[u8] = b"traceparent";
const STATE: &[u8] = b"tracestate";

/// Of a comment that is looked at.
const COMMENT_BYTES_MAX: usize = 2 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::cases::cases;
    use crate::{Facts, PlanCache, Route, plan};

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn trace_parent(text: &[u8]) -> Option<&[u8]> {
        trace_comment(text).map(|said| said.parent)
    }

    /// Of the comment that has the parent, wherever another one has one.
    #[test]
    fn a_state_stands_beside_its_parent() {
        let parent = format!("traceparent='{PARENT}'");
        for (text, state) in [
            (format!("SELECT 1 /*{parent},tracestate='a%3D1%2Cb%3D2'*/"), Some("a%3D1%2Cb%3D2")),
            (format!("/*tracestate='a%3D1', {parent}*/ SELECT 1"), Some("a%3D1")),
            (format!("/*{parent},tracestate='front'*/ SELECT 1 /*{parent}*/"), None),
            (format!("/*tracestate='front'*/ SELECT 1 /*{parent}*/"), None),
            (format!("SELECT 1 /*{parent},tracestate=a%3D1*/"), None),
            (format!("SELECT 1 /*{parent},xtracestate='a%3D1'*/"), None),
        ] {
            let said = trace_comment(text.as_bytes()).unwrap();
            assert_eq!(said, TraceComment { parent: PARENT.as_bytes(), state: state.map(str::as_bytes) }, "{text}");
        }
        assert_eq!(trace_comment(b"SELECT 1 /*tracestate='a%3D1'*/"), None);
    }

    #[test]
    fn a_parent_is_found_on_both_sides() {
        let with = |before: &str, behind: &str| format!("{before}/*traceparent='{PARENT}'*/{behind}");
        let found = [
            with("SELECT 1 ", ""),
            with("SELECT 1", " ;\n"),
            with(" ", " SELECT 1"),
            format!("SELECT 1 /*action='a%27b', traceparent='{PARENT}',framework='x'*/"),
            format!("/* action='a',traceparent='{PARENT}' */ SELECT 1 /*route='r'*/"),
            // Behind counts first.
            format!("/*traceparent='other'*/ SELECT 1 /*traceparent='{PARENT}'*/"),
        ];
        for text in &found {
            assert_eq!(trace_parent(text.as_bytes()), Some(PARENT.as_bytes()), "{text}");
        }
        let none = [
            "SELECT 1".to_string(),
            with("SELECT ", "1"),
            format!("SELECT '/*traceparent={PARENT}*/"),
            format!("SELECT 1 /*!traceparent='{PARENT}'*/"),
            format!("SELECT 1 /*+ traceparent='{PARENT}'*/"),
            format!("SELECT 1 /*M!traceparent='{PARENT}'*/"),
            format!("SELECT 1 /*xtraceparent='{PARENT}'*/"),
            format!("SELECT 1 /*traceparent=\"{PARENT}\"*/"),
            format!("SELECT 1 /*traceparent='{PARENT}'"),
            format!("SELECT /*traceparent='{PARENT}'*/ 1 */"),
            "*/".to_string(),
            "/*/".to_string(),
            String::new(),
        ];
        for text in &none {
            assert_eq!(trace_parent(text.as_bytes()), None, "{text}");
        }
    }

    /// Whatever stands before it: no read is made of what was none, and what is known of the text stays as it was.
    #[test]
    fn every_case_is_planned_alike_without_the_comment() {
        let (mut same, mut unsure, mut left) = (0, 0, 0);
        for case in cases() {
            let whole = [&case.sql, format!(" /*traceparent='{PARENT}'*/").as_bytes()].concat();
            let bare = without_trace(&whole);
            if bare.len() == whole.len() {
                left += 1;
                continue;
            }
            let (with, without) = (plan(&whole, &case.facts), plan(bare, &case.facts));
            if with == without {
                same += 1;
            } else {
                assert_eq!(without.route, Route::Primary, "{}", case.place);
                unsure += 1;
            }
        }
        assert!(same > 1_000 && unsure < 20 && left < 100, "{same} same, {unsure} unsure, {left} left");
    }

    #[test]
    fn texts_that_differ_in_their_trace_share_a_plan() {
        let mut cache = PlanCache::new(64, 1 << 16);
        let facts = Facts::default();
        for n in 0..5 {
            let text = format!("SELECT a FROM t /*traceparent='00-{n:032x}-{n:016x}-01'*/");
            cache.plan(text.as_bytes(), &facts);
        }
        cache.plan(b"SELECT a FROM t", &facts);
        assert_eq!((cache.misses(), cache.hits()), (1, 5));
        // An empty statement is one, and the server answers it.
        let two = format!("SELECT a FROM t; /*traceparent='{PARENT}'*/");
        assert_eq!(without_trace(two.as_bytes()).len(), two.len());
        assert_eq!(without_trace(b"SELECT 1 --/*traceparent='x'*/").len(), 30);
        assert_eq!(without_trace(b"SELECT 1 /*action='x'*/").len(), 23);
    }
}
