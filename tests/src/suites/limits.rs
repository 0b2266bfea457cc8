//! The limits of the drivers' own suites, each with its unit and its reason.

use std::time::Duration;

/// How long one run of one suite may take: Django's takes the longest, some minutes on two busy cores.
pub const RUN_WAIT: Duration = Duration::from_secs(1_500);
/// Pause between two turns of the noise: less than with the corpus, since a suite has connections of its own to wait for.
pub const NOISE_PAUSE: Duration = Duration::from_millis(20);
/// Tests that are named one by one where a suite differs: later ones mostly follow from the first.
pub const SHOWN_TESTS_MAX: usize = 60;
/// Lines of an output that tell why it did not come to an end.
pub const SHOWN_LINES_MAX: usize = 25;
