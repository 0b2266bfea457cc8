//! MariaDB's GTIDs in the same set: `domain-server-sequence`, each pair of domain and server as a source of its own.
//!
//! ```text
//! source   "mariadb" 0 | domain 4 | server 4        sixteen bytes in the place of a uuid
//! 0-1-57   1..=57 of (0, 1)                         in a domain a server's numbers only grow
//! ```
//! A server says two things, and either alone would promise too much: its position (`gtid_current_pos`: the last number of each
//! domain that a reader can see) does not tell on whose branch it is, and its log's state (`gtid_binlog_state`: the last
//! number of each server in each domain) is ahead of what can be seen. What a reader finds of a server is the lesser of both.
//! So a former primary that went on alone does not cover what its heir wrote, as with MySQL's uuids.
//! Rule: MariaDB "Global Transaction ID".

use crate::error::Malformed;
use crate::gtid::{GtidSet, Sid};
use crate::reader::Reader;

const MARK: [u8; 8] = *b"mariadb\0";

impl Sid {
    /// Of what this server writes in this domain.
    pub fn of_domain(domain: u32, server: u32) -> Self {
        let ([a, b, c, d, e, f, g, h], [i, j, k, l], [m, n, o, p]) = (MARK, domain.to_be_bytes(), server.to_be_bytes());
        Self::of([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
    }

    /// Domain and server, where this is MariaDB's.
    pub fn domain(&self) -> Option<(u32, u32)> {
        let mut reader = Reader::new(&self.uuid);
        let (mark, domain, server): ([u8; 8], [u8; 4], [u8; 4]) =
            (reader.array().ok()?, reader.array().ok()?, reader.array().ok()?);
        (mark == MARK).then(|| (u32::from_be_bytes(domain), u32::from_be_bytes(server)))
    }

    /// Written by the server of this uuid, in whatever domain.
    pub(super) fn is_of(&self, uuid: [u8; 16]) -> bool {
        let server = |sid: &Self| sid.domain().map(|(_, server)| server);
        self.uuid == uuid || server(self).is_some_and(|own| server(&Self::of(uuid)) == Some(own))
    }
}

impl GtidSet {
    /// What a reader finds on a MariaDB server, by its position and its log's state.
    pub fn of_mariadb(position: &[u8], state: &[u8]) -> Result<Self, Malformed> {
        let (mut seen, state) = (Self::parse(position)?, Self::parse(state)?);
        for (domain, head) in heads(&seen) {
            let own = state.iter().filter_map(|(sid, _, last)| Some((sid, sid.domain()?, last)));
            let own: Vec<_> =
                own.filter(|(_, (of, _), _)| *of == domain).map(|(sid, _, last)| (sid.clone(), last)).collect();
            own.into_iter().for_each(|(sid, last)| seen.add(sid, 1, last.min(head)));
        }
        Ok(seen)
    }

    /// The last number of each domain, whoever wrote it: as long as the server keeps its data, it never gets smaller.
    pub fn domain_heads(&self) -> Self {
        let mut set = Self::new();
        heads(self).into_iter().for_each(|(domain, head)| set.add(Sid::of_domain(domain, 0), 1, head));
        set
    }
}

fn heads(set: &GtidSet) -> Vec<(u32, u64)> {
    let mut heads: Vec<(u32, u64)> = Vec::new();
    for (sid, _, last) in set.iter() {
        let Some((domain, _)) = sid.domain() else { continue };
        match heads.iter_mut().find(|(known, _)| *known == domain) {
            Some((_, head)) => *head = (*head).max(last),
            None => heads.push((domain, last)),
        }
    }
    heads
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> GtidSet {
        GtidSet::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn texts_come_back_and_nonsense_does_not() {
        for text in ["0-1-57", "0-1-57,0-2-60,7-4294967295-18", ""] {
            assert_eq!(parse(text).to_string(), text);
        }
        // Longer than the groups of a uuid are, and beside one.
        assert_eq!(parse("4294967295-12345678-1").to_string(), "4294967295-12345678-1");
        assert_eq!(parse(" 0-1-0 , 0-2-3 ").to_string(), "0-2-3");
        for text in
            ["0-1", "0-1-", "0-1-2-3", "0-1-x", "4294967296-1-1", "0-4294967296-1", "0-1-99999999999999999999", "-1-2"]
        {
            assert!(GtidSet::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    /// S63: a reader finds what is both on its branch and within its position.
    #[test]
    fn position_and_state_together() {
        let check = |position: &str, state: &str, need: &str| {
            GtidSet::of_mariadb(position.as_bytes(), state.as_bytes()).unwrap().contains(&parse(need))
        };
        assert!(check("0-1-57", "0-1-57", "0-1-57") && !check("0-1-57", "0-1-58", "0-1-58"), "logged and not yet seen");
        // The heir 2 went on behind 57; 1 went on alone.
        assert!(check("0-2-60", "0-1-57,0-2-60", "0-1-57,0-2-60"));
        assert!(!check("0-1-61", "0-1-61", "0-2-60"), "another branch");
        assert!(check("0-1-57", "", "0-1-57"), "restored from a backup, with an empty log");
        assert!(!check("0-1-57,1-1-3", "0-1-57", "1-1-4"));
    }

    #[test]
    fn heads_and_owners() {
        let set = parse("0-1-57,0-2-60,7-1-3");
        assert_eq!(set.domain_heads().to_string(), "0-0-60,7-0-3");
        assert!(parse("3e11fa47-71ca-11e1-9e33-c80aa9429562:1").domain_heads().is_empty());
        assert_eq!(set.without_server(Sid::of_domain(0, 1).uuid).to_string(), "0-2-60");
    }
}
