//! What holds a core's sessions back, or ends what they do, where operators have set limits.

use crate::admission::Admission;
use crate::filters::Entry;
use crate::link::errands::Errands;
use crate::mail::CoreId;
use crate::session::seat::Turns;
use std::sync::Arc;

#[derive(Debug, Default)]
pub struct Restraint {
    /// There are permissions or filters.
    pub(crate) is_ruled: bool,
    /// Texts are looked at when they are planned: for these, for digests, or for their limit.
    pub(crate) is_watched: bool,
    /// There is a `digest_running_max`.
    pub(crate) limits_forms: bool,
    /// Of the statement that passes the filters right now: those that want a copy of it.
    pub(crate) mirrors: Vec<Arc<Entry>>,
    pub(crate) turns: Turns,
    pub(crate) admission: Admission,
    pub(crate) errands: Errands,
}

impl Restraint {
    pub fn new(seed: u64, core: CoreId) -> Restraint {
        Restraint { errands: Errands::new(seed, core), ..Restraint::default() }
    }
}
