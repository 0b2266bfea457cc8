//! Functions by name: what a call `name(…)` may do (S03).
//!
//! Invariant: a name that is in no table is somebody's own function, of which nothing is known.

use crate::word::{Word, kw, word};

mod names;

use names::{ADJACENT, ADJACENT_LONG, FREE, FREE_LONG, FREE_SINCE_9, KEYWORDS, KEYWORDS_LONG, SERVER, SERVER_LONG};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// A keyword before a parenthesis: no call at all.
    Keyword,
    /// No side effects, and the same answer wherever the rows are the same.
    Free,
    /// As `Free` when the parenthesis follows at once, else somebody's own function.
    FreeWhenAdjacent,
    /// About one server.
    Server,
    GetLock,
    ReleaseLock,
    ReleaseAllLocks,
    LastInsertId,
    RowCount,
    FoundRows,
    ConnectionId,
    Unknown,
}

impl Call {
    /// What `text(` does, on a server of this version; `packed` is the packed form of `text`.
    pub(crate) fn of(packed: Word, text: &[u8], server_version: u32) -> Call {
        if packed == 0 {
            return Call::of_long(text);
        }
        match packed {
            kw::IN | kw::VALUES | kw::AND | kw::FROM | kw::ON => Call::Keyword,
            kw::COUNT => Call::FreeWhenAdjacent,
            kw::GET_LOCK => Call::GetLock,
            kw::RELEASE_LOCK => Call::ReleaseLock,
            kw::LAST_INSERT_ID => Call::LastInsertId,
            kw::ROW_COUNT => Call::RowCount,
            kw::FOUND_ROWS => Call::FoundRows,
            kw::CONNECTION_ID => Call::ConnectionId,
            _ if holds(&FREE_PACKED, packed) => Call::Free,
            _ if holds(&KEYWORDS_PACKED, packed) => Call::Keyword,
            _ if holds(&ADJACENT_PACKED, packed) => Call::FreeWhenAdjacent,
            _ if holds(&SERVER_PACKED, packed) => Call::Server,
            _ if server_version >= 90_000 && holds(&FREE_SINCE_9_PACKED, packed) => Call::Free,
            _ => Call::Unknown,
        }
    }

    fn of_long(text: &[u8]) -> Call {
        let is_in = |names: &[&str]| names.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(text));
        match text {
            _ if is_in(FREE_LONG) => Call::Free,
            _ if is_in(KEYWORDS_LONG) => Call::Keyword,
            _ if is_in(ADJACENT_LONG) => Call::FreeWhenAdjacent,
            _ if is_in(SERVER_LONG) => Call::Server,
            _ if text.eq_ignore_ascii_case(b"release_all_locks") => Call::ReleaseAllLocks,
            _ => Call::Unknown,
        }
    }
}

fn holds(sorted: &[Word], packed: Word) -> bool {
    sorted.binary_search(&packed).is_ok()
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // At compile time, where a panic is an error.
const fn pack<const N: usize>(names: &[&str]) -> [Word; N] {
    let mut packed = [0; N];
    let mut at = 0;
    while at < N {
        packed[at] = word(names[at]);
        assert!(at == 0 || packed[at - 1] < packed[at], "names are sorted by length, then by letter");
        at += 1;
    }
    packed
}

static FREE_PACKED: [Word; FREE.len()] = pack(FREE);
static FREE_SINCE_9_PACKED: [Word; FREE_SINCE_9.len()] = pack(FREE_SINCE_9);
static ADJACENT_PACKED: [Word; ADJACENT.len()] = pack(ADJACENT);
static SERVER_PACKED: [Word; SERVER.len()] = pack(SERVER);
static KEYWORDS_PACKED: [Word; KEYWORDS.len()] = pack(KEYWORDS);

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str) -> Call {
        let packed = if name.len() > 16 { 0 } else { word(name) };
        Call::of(packed, name.as_bytes(), 80_400)
    }

    #[test]
    fn names_are_found_in_any_case_and_length() {
        assert_eq!(call("concat"), Call::Free);
        assert_eq!(call("st_multilinestringfromwkb"), Call::Free);
        assert_eq!(call("WAIT_FOR_EXECUTED_GTID_SET"), Call::Server);
        assert_eq!(call("release_all_locks"), Call::ReleaseAllLocks);
        assert_eq!(call("my_function"), Call::Unknown);
        assert_eq!(call("a_function_with_a_very_long_name"), Call::Unknown);
        assert_eq!(call("VECTOR_DIM"), Call::Unknown);
        assert_eq!(Call::of(word("VECTOR_DIM"), b"VECTOR_DIM", 90_100), Call::Free);
    }
}
