//! A statement as rules look at it: what its text alone tells, read when a rule asks for it first.

use super::comments::{Cut, cut};
use crate::digest::digest;
use crate::facts::Facts;
use crate::limits::FILTER_DIGEST_BYTES_MAX;
use crate::plan::Kind;
use crate::tables::{Uses, named};
use std::cell::OnceCell;

/// One statement.
#[derive(Debug)]
pub struct Seen<'a> {
    pub(super) sql: &'a [u8],
    facts: &'a Facts,
    pub(super) kind: Kind,
    /// Of tables that are named without one.
    pub(super) schema: Vec<u8>,
    cut: OnceCell<Cut<'a>>,
    digest: OnceCell<String>,
    uses: OnceCell<Uses>,
}

impl<'a> Seen<'a> {
    /// `kind`: of its plan.
    pub fn new(sql: &'a [u8], facts: &'a Facts, kind: Kind, schema: &[u8]) -> Seen<'a> {
        let (cut, digest, uses) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Seen { sql, facts, kind, schema: schema.to_vec(), cut, digest, uses }
    }

    pub(super) fn cut(&self) -> &Cut<'a> {
        self.cut.get_or_init(|| cut(self.sql, self.facts))
    }

    pub(super) fn digest(&self) -> &str {
        self.digest.get_or_init(|| digest(self.sql, self.facts, FILTER_DIGEST_BYTES_MAX))
    }

    /// Those that the text names; what routines and triggers use, no text tells.
    pub(super) fn uses(&self) -> &Uses {
        self.uses.get_or_init(|| named(self.sql, self.facts))
    }
}
