//! The comparison of two traces of one session: MySQL's own and the gate's.
//!
//! Invariant: everything on the wire is compared, byte for byte, but for what is listed here.
//!
//! | left out | because |
//! |---|---|
//! | the id of a prepared statement | it is only a name; the gate gives its own |
//! | sequence numbers of a login | full and fast authentication take different numbers of packets, by what is cached |
//! | the value of a GTID tracker | each run is a transaction of its own |
//! | the status flag `QUERY_WAS_SLOW` | it tells of time |
//! | warnings, and the flags of `FORETOLD`, in the EOF after column definitions | the gate has no such EOF from its backend; they come at the end of the rows, for which it doesn't wait |
//! | the number in the errors 1243 and 1421 | it is such an id |
//! | behind that number, and the last full stop of 1835 | the gate says these itself, in MySQL's words; MariaDB has others |
//! | the order of variables in trackers | MariaDB's is that of a hash |
//! | the length of a column `…_Gtid_Set` | it is that of the set at the moment |
//! | digits in the answer to `COM_STATISTICS` | they tell of time and load |
//! | the value of the tracked variable `statement_id` | the server counts the statements of all sessions |
//! | rows of a step marked `~`, and sequence numbers | they tell of others, or of time |

use std::fmt::Write as _;

use weir_net::column::{Column, cells};
use weir_net::flags::{Capabilities, Status};
use weir_net::outcome::{EofPacket, OkPacket};
use weir_net::statement::patch_statement_id;
use weir_net::track::{Track, Tracks, put_track};

use super::limits;
use super::reply::{Piece, Reply, What};
use super::run::{Event, Outcome, Trace};
use super::wire::refusal;

/// One event as lines, one for each packet: equal lines are equal packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The step, for people.
    step: String,
    pub lines: Vec<String>,
}

/// What is compared of a trace. Small, even where the trace holds large rows.
pub fn shown(trace: &Trace) -> Vec<Shown> {
    let one = |event: &Event| Shown {
        step: format!("line {}, {}: {}", event.line, event.label, cut(event.source.as_bytes())),
        lines: lines(event),
    };
    trace.iter().map(one).collect()
}

impl Shown {
    /// The step and what came of it.
    pub fn text(&self) -> String {
        format!("{}\n      {}", self.step, self.lines.join("\n      "))
    }

    /// True if any packet says this.
    /// The step has these words in it.
    pub fn is_of(&self, words: &str) -> bool {
        self.step.contains(words)
    }

    pub fn says(&self, words: &str) -> bool {
        self.lines.iter().any(|line| line.contains(words))
    }
}

/// Where two traces part first.
pub fn first_difference(direct: &[Shown], gate: &[Shown]) -> Option<(usize, String)> {
    let at = direct.iter().zip(gate).position(|(direct, gate)| direct.lines != gate.lines)?;
    difference(&direct[at], &gate[at]).map(|text| (at, text))
}

/// Every difference, in words.
pub fn differences(direct: &[Shown], gate: &[Shown]) -> Vec<String> {
    assert_eq!(direct.len(), gate.len(), "both ran the same script");
    direct.iter().zip(gate).filter_map(|(direct, gate)| difference(direct, gate)).collect()
}

fn difference(direct: &Shown, gate: &Shown) -> Option<String> {
    let (expected, got) = (&direct.lines, &gate.lines);
    if expected == got {
        return None;
    }
    let at = expected.iter().zip(got).take_while(|(expected, got)| expected == got).count();
    let line = |lines: &[String]| lines.get(at).cloned().unwrap_or_else(|| "(nothing more)".to_owned());
    let mut text = format!("{}\n", direct.step);
    let _ = writeln!(text, "    packet {} of {} directly, of {} by the gate", at + 1, expected.len(), got.len());
    let _ = writeln!(text, "    MySQL: {}", line(expected));
    let _ = write!(text, "    gate:  {}", line(got));
    Some(text)
}

fn lines(event: &Event) -> Vec<String> {
    match &event.outcome {
        Outcome::Reply(reply) => {
            let compared = reply.pieces.iter().filter(|piece| !event.is_shape || !is_row(piece));
            // How the server goes about what others change (lists of databases) may differ, too.
            let shape = |piece| content(piece, reply).replace(" NO_INDEX", "");
            compared.map(|piece| if event.is_shape { shape(piece) } else { line(piece, reply) }).collect()
        }
        Outcome::LoggedIn(payload, capabilities) => vec![format!("logged in: {}", login(payload, *capabilities))],
        Outcome::Refused(payload) => vec![format!("refused: {}", refusal(payload))],
        other => vec![format!("{other:?}")],
    }
}

fn is_row(piece: &Piece) -> bool {
    matches!(piece.what, What::Row | What::BinaryRow)
}

fn line(piece: &Piece, reply: &Reply) -> String {
    format!("#{} {}", piece.seq, content(piece, reply))
}

fn content(piece: &Piece, reply: &Reply) -> String {
    let Piece { what, payload, .. } = piece;
    let content = match what {
        What::Ok | What::RowsEnd => ok(payload, reply.capabilities),
        What::ColumnsEof => columns_eof(payload),
        What::Err => without_id(&refusal(payload)),
        What::Column => match Column::decode(payload) {
            Ok(column) if column.name.ends_with(b"_Gtid_Set") => format!("{:?}", Column { length: 0, ..column }),
            Ok(column) => format!("{column:?} {}", hash(payload)),
            Err(malformed) => malformed.0.to_owned(),
        },
        What::Row => {
            let cells: Vec<String> = cells(payload)
                .map(|cell| match cell {
                    Ok(Some(bytes)) => format!("'{}'", cut(bytes)),
                    Ok(None) => "NULL".to_owned(),
                    Err(malformed) => malformed.0.to_owned(),
                })
                .collect();
            format!("{} {}", cut(cells.join(", ").as_bytes()), hash(payload))
        }
        What::PrepareOk => {
            // A whole packet, since that is what is patched elsewhere.
            let mut packet = [&[0; 4], payload.as_slice()].concat();
            patch_statement_id(&mut packet, 0);
            cut(&packet)
        }
        What::Text => cut(&payload.iter().copied().filter(|byte| !byte.is_ascii_digit()).collect::<Vec<u8>>()),
        What::Infile | What::ColumnCount | What::BinaryRow => format!("{} {}", cut(payload), hash(payload)),
    };
    format!("{what:?} {content}")
}

/// `(7)` in errors about a prepared statement is its id.
fn without_id(text: &str) -> String {
    if text.starts_with("1835 ") {
        return text.trim_end_matches('.').to_owned();
    }
    if !text.starts_with("1243 ") && !text.starts_with("1421 ") {
        return text.to_owned();
    }
    let is_id = |part: &&str| part.contains(')') && part.split(')').next().is_some_and(|id| id.parse::<u32>().is_ok());
    let parts = text
        .split('(')
        .map(|part| if is_id(&part) { part.trim_start_matches(|c: char| c.is_ascii_digit()) } else { part });
    let text = parts.collect::<Vec<_>>().join("(");
    let words = text.split(" given to ").next().unwrap_or_default();
    words.trim_end_matches('.').to_owned()
}

fn columns_eof(payload: &[u8]) -> String {
    match EofPacket::decode(payload) {
        Ok(eof) => format!("{:?}", eof.status.minus(FORETOLD).minus(Status::QUERY_WAS_SLOW)),
        Err(malformed) => malformed.0.to_owned(),
    }
}

/// What MySQL says before the rows and again after them, and nobody acts on before.
const FORETOLD: Status = Status::NO_GOOD_INDEX
    .union(Status::NO_INDEX)
    .union(Status::IN_TRANS)
    .union(Status::IN_TRANS_READONLY)
    .union(Status::AUTOCOMMIT)
    .union(Status::SESSION_STATE_CHANGED);

/// MariaDB since 11.4 greets with a proof of its certificate, and then with some of its variables: the gate has another certificate, and
/// says none of that (README).
fn login(payload: &[u8], capabilities: Capabilities) -> String {
    let packet = OkPacket::decode(payload, capabilities);
    let Some(packet) = packet.ok().filter(|packet| packet.info.starts_with(&[1])) else {
        return ok(payload, capabilities);
    };
    let mut track = Vec::new();
    let is_variable = |one: &Track<'_>| matches!(one, Track::Variable { .. });
    Tracks::new(packet.track).flatten().filter(|one| !is_variable(one)).for_each(|one| put_track(&mut track, &one));
    let status = match track.is_empty() {
        true => packet.status.minus(Status::SESSION_STATE_CHANGED),
        false => packet.status,
    };
    let mut bare = Vec::new();
    OkPacket { info: b"", track: &track, status, ..packet }.encode(&mut bare, capabilities);
    ok(&bare, capabilities)
}

/// An OK packet, or the EOF that stands for it. The header byte counts: it tells the two apart.
fn ok(payload: &[u8], capabilities: Capabilities) -> String {
    let Ok(packet) = OkPacket::decode(payload, capabilities) else {
        return format!("malformed {}", cut(payload));
    };
    let OkPacket { affected_rows, last_insert_id, status, warnings, info, track, header } = packet;
    let status = status.minus(Status::QUERY_WAS_SLOW);
    let mut text = format!(
        "{header:#04x} affected {affected_rows}, insert id {last_insert_id}, {status:?}, {warnings} warnings, info '{}'",
        cut(info)
    );
    let mut tracks: Vec<String> = Vec::new();
    for one in Tracks::new(track) {
        tracks.push(match one {
            Ok(Track::Gtids(_)) => "Gtids".to_owned(),
            Ok(Track::Variable { name: b"statement_id", .. }) => "Variable statement_id".to_owned(),
            Ok(Track::Variable { name, value }) => format!("Variable {}={}", cut(name), cut(value)),
            Ok(Track::Schema(name)) => format!("Schema {}", cut(name)),
            Ok(Track::TransactionState(state)) => format!("TransactionState {}", cut(state)),
            Ok(Track::TransactionCharacteristics(text)) => format!("TransactionCharacteristics {}", cut(text)),
            Ok(other) => format!("{other:?}"),
            Err(malformed) => format!("{} in {}", malformed.0, track.escape_ascii()),
        });
    }
    // Those of variables come first, MariaDB's in the order of a hash.
    let variables = tracks.iter().take_while(|one| one.starts_with("Variable ")).count();
    tracks[..variables].sort();
    tracks.iter().for_each(|one| {
        let _ = write!(text, ", {one}");
    });
    text
}

/// The start of a value as text, with its length if that is not all.
fn cut(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(limits::SHOWN_BYTES_MAX)];
    let text = match std::str::from_utf8(start) {
        Ok(text) => text.escape_debug().to_string(),
        Err(_) => start.escape_ascii().to_string(),
    };
    if start.len() < bytes.len() { format!("{text}… ({} bytes)", bytes.len()) } else { text }
}

/// Stands for the bytes that `cut` and decoding leave out (FNV-1a).
fn hash(bytes: &[u8]) -> String {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("[{:08x}]", bytes.iter().fold(0xcbf2_9ce4_8422_2325, step) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(pieces: Vec<Piece>) -> Trace {
        let capabilities = Capabilities::DEPRECATE_EOF | Capabilities::SESSION_TRACK;
        let outcome = Outcome::Reply(Reply { pieces, capabilities });
        vec![Event { line: 1, label: "a".to_owned(), is_shape: false, source: "SELECT 1".to_owned(), outcome }]
    }

    fn piece(what: What, payload: &[u8]) -> Piece {
        Piece { what, seq: 1, payload: payload.to_vec() }
    }

    /// A comparer that finds nothing would make every other test here pass.
    #[test]
    fn what_differs_is_found_and_what_must_differ_is_not() {
        let check = |a: Piece, b: Piece, is_equal: bool| {
            let found = differences(&shown(&trace(vec![a.clone()])), &shown(&trace(vec![b.clone()])));
            assert_eq!(found.is_empty(), is_equal, "{a:?} {b:?} {found:?}");
        };
        let ok = [0, 1, 2, 2, 0, 0, 0];
        check(piece(What::Ok, &ok), piece(What::Ok, &ok), true);
        for at in 1..ok.len() {
            let mut other = ok;
            other[at] ^= 1;
            check(piece(What::Ok, &ok), piece(What::Ok, &other), false);
        }
        let slow = [0, 1, 2, 2, 8, 0, 0];
        check(piece(What::Ok, &ok), piece(What::Ok, &slow), true);
        check(piece(What::Ok, &ok), Piece { seq: 2, ..piece(What::Ok, &ok) }, false);
        check(piece(What::Ok, &ok), piece(What::RowsEnd, &ok), false);
        check(piece(What::Row, b"\x01a"), piece(What::Row, b"\x01b"), false);
        check(piece(What::Row, b"\x01a"), piece(What::Row, b"\xfb"), false);
        let long = |last: u8| [&[0xfc, 0x90, 1][..], &[b'x'; 399], &[last]].concat();
        check(piece(What::Row, &long(b'x')), piece(What::Row, &long(b'y')), false);
        check(piece(What::BinaryRow, b"\0\0a"), piece(What::BinaryRow, b"\0\0b"), false);
        check(piece(What::Err, b"\xff\x10\x04#HY000a"), piece(What::Err, b"\xff\x10\x04#HY001a"), false);
        let prepared = |id: u8, params: u8| piece(What::PrepareOk, &[0, id, 0, 0, 0, 1, 0, params, 0, 0, 0, 0]);
        check(prepared(1, 1), prepared(2, 1), true);
        check(prepared(1, 1), prepared(1, 2), false);
        check(piece(What::Text, b"Uptime: 12"), piece(What::Text, b"Uptime: 345"), true);
        let fewer = differences(&shown(&trace(vec![piece(What::Ok, &ok)])), &shown(&trace(Vec::new())));
        assert_eq!(fewer.len(), 1);
    }

    #[test]
    fn rows_of_a_shape_may_differ_and_their_frame_may_not() {
        let mut direct = trace(vec![piece(What::ColumnCount, &[1]), piece(What::Row, b"\x01a")]);
        let mut gate = trace(vec![piece(What::ColumnCount, &[1])]);
        direct[0].is_shape = true;
        gate[0].is_shape = true;
        assert!(differences(&shown(&direct), &shown(&gate)).is_empty());
        let other = trace(vec![piece(What::ColumnCount, &[2])]);
        assert_eq!(differences(&shown(&direct), &shown(&other)).len(), 1);
    }
}
