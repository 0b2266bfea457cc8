//! `SHOW WEIR …` of the whole gate: the table for each word, made of a picture of it.
//!
//! Invariant: it is pure; what is missing (a core that did not answer, rows that found no room) is said in the table's note. No
//! password and no literal of a statement is in any table.

mod digests;
mod events;
mod places;
mod sessions;
mod status;
mod variables;

use crate::config::Config;
use crate::gate::events::Events;
use crate::status::Picture;
use std::time::SystemTime;
use weir_core::show::{Show, Shown, What, backends, filters};

/// What tables are made of.
pub struct Scene<'a> {
    pub picture: &'a Picture,
    pub events: &'a Events,
    /// With the settings as they are now.
    pub config: &'a Config,
    /// By backend: the tablet that tells of it.
    pub tablets: Vec<Option<String>>,
}

/// Err: why there is none, as a sentence.
pub fn answer(show: &Show, scene: &Scene<'_>) -> Result<Shown, String> {
    let picture = scene.picture;
    let mut shown = match show.what {
        What::Status => status::table(picture),
        What::Backends => {
            let views: Vec<_> = picture.backends.iter().map(|(view, _)| view.clone()).collect();
            return show.finish(backends::table(&views));
        }
        What::Pools => sessions::pools(picture),
        What::Sessions => sessions::table(picture),
        What::Pins => sessions::pins(picture),
        What::PinsByAccount => sessions::pins_by_account(picture),
        What::Digests => {
            let mut shown = digests::table(picture, SystemTime::now());
            if !scene.config.settings.digests {
                shown.note("statements are not counted: set digests = true under [gate], and start again".to_string());
            }
            shown
        }
        What::FlushDigests => Shown::default(),
        What::Topology => return show.finish(places::table(scene)),
        What::Variables => return show.finish(variables::table(scene.config)),
        What::Events => events::table(scene.events),
        What::Filters => return show.finish(filters::table(picture.filters.as_ref())),
    };
    let silent = picture.silent();
    if !silent.is_empty() {
        let names: Vec<String> = silent.iter().map(u32::to_string).collect();
        shown.note(format!("core {} did not answer in time: what it knows is missing", names.join(", ")));
    }
    show.finish(shown)
}

fn row<const N: usize>(cells: [&dyn ToString; N]) -> Vec<String> {
    cells.iter().map(|cell| cell.to_string()).collect()
}

#[cfg(test)]
mod tests;
