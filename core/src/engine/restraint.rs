//! What holds a core's sessions back, or ends what they do, where operators have set limits.

use crate::admission::Admission;
use crate::session::overtime::Hunts;
use crate::session::seat::Turns;

#[derive(Debug, Default)]
pub struct Restraint {
    /// There are permissions or filters.
    pub(crate) is_ruled: bool,
    /// Texts are looked at when they are planned: for these, or for digests.
    pub(crate) is_watched: bool,
    pub(crate) hunts: Hunts,
    pub(crate) turns: Turns,
    pub(crate) admission: Admission,
}
