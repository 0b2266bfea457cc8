//! What holds a core's sessions back, or ends what they do, where operators have set limits.

use crate::admission::Admission;
use crate::session::overtime::Hunts;
use crate::session::seat::Turns;

#[derive(Debug, Default)]
pub struct Restraint {
    pub(crate) hunts: Hunts,
    pub(crate) turns: Turns,
    pub(crate) admission: Admission,
}
