//! The trace context: which trace a statement belongs to, by its client's word.
//!
//! ```text
//!   00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
//!   version      trace's id             parent's span    flags: 1 is "sampled"
//! ```
//! Source: W3C "Trace Context", `traceparent`. What stands beside it is [`state`](super::state)'s.

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Context {
    None,
    /// What is said is no context: it counts as none, and is counted.
    Wrong,
    /// The caller does not want it traced.
    Unsampled,
    /// With the `tracestate` that came with it, if that is one.
    Sampled(Parent, Option<Box<str>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    pub trace: [u8; 16],
    pub span: [u8; 8],
}

impl Context {
    pub fn of(text: Option<&[u8]>) -> Context {
        match text {
            None => Context::None,
            Some(text) => decode(text).unwrap_or(Context::Wrong),
        }
    }

    /// Looked for by `find` where it is needed.
    pub fn with_state(self, find: impl FnOnce() -> Option<Box<str>>) -> Context {
        match self {
            Context::Sampled(parent, None) => Context::Sampled(parent, find()),
            other => other,
        }
    }
}

/// A later version may say more behind another dash; what it has in front is read as of this one.
fn decode(text: &[u8]) -> Option<Context> {
    let (head, rest) = text.split_at_checked(HEAD_BYTES)?;
    let [version, trace, span, flags] = [head.get(..2)?, head.get(3..35)?, head.get(36..52)?, head.get(53..)?];
    let is_divided = [2, 35, 52].iter().all(|at| head.get(*at) == Some(&b'-'));
    let [version] = bytes(version)?;
    let is_whole = rest.is_empty() || version > 0 && rest.first() == Some(&b'-');
    let (trace, span, [flags]) = (bytes(trace)?, bytes(span)?, bytes(flags)?);
    if !is_divided || !is_whole || version == VERSION_INVALID || trace == [0; 16] || span == [0; 8] {
        return None;
    }
    Some(match flags & SAMPLED {
        0 => Context::Unsampled,
        _ => Context::Sampled(Parent { trace, span }, None),
    })
}

/// Two digits each, lower case alone.
fn bytes<const N: usize>(hex: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    if hex.len() != 2 * N {
        return None;
    }
    for (to, two) in out.iter_mut().zip(hex.chunks_exact(2)) {
        *to = digit(two[0])? << 4 | digit(two[1])?;
    }
    Some(out)
}

const HEAD_BYTES: usize = 55;
const VERSION_INVALID: u8 = 0xff;
const SAMPLED: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    #[test]
    fn contexts_are_read_strictly() {
        let of = |text: &str| Context::of(Some(text.as_bytes()));
        let right = format!("00-{TRACE}-{SPAN}-01");
        let parent = Parent {
            trace: [0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c],
            span: [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31],
        };
        assert_eq!(Context::of(None), Context::None);
        assert_eq!(of(&right), Context::Sampled(parent, None));
        // Other flags say nothing about that; a later version may go on.
        for sampled in
            [format!("00-{TRACE}-{SPAN}-ff"), format!("01-{TRACE}-{SPAN}-03-more"), format!("cc-{TRACE}-{SPAN}-01")]
        {
            assert_eq!(of(&sampled), Context::Sampled(parent, None), "{sampled}");
        }
        for unsampled in [format!("00-{TRACE}-{SPAN}-00"), format!("00-{TRACE}-{SPAN}-02")] {
            assert_eq!(of(&unsampled), Context::Unsampled, "{unsampled}");
        }
        let zeros = |n: usize| "0".repeat(n);
        let wrong = [
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", zeros(32)),
            format!("00-{TRACE}-{}-01", zeros(16)),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!("0g-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-01 "),
            format!("01-{TRACE}-{SPAN}-01more"),
            format!(" {right}"),
            format!("00_{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}_{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}_01"),
            format!("00-{}x-{SPAN}-01", &TRACE[..31]),
        ];
        for text in wrong {
            assert_eq!(of(&text), Context::Wrong, "{text}");
        }
        for len in 0..right.len() {
            assert_eq!(of(&right[..len]), Context::Wrong, "{len}");
        }
    }
}
