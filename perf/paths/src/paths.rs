//! The paths that are counted. Each checks in its beginning that it is the path that it says.

mod engine;
mod parts;

use crate::path::Path;

type Make = fn() -> Box<dyn Path>;

/// Name, what is walked, how it is made.
pub const ALL: &[(&str, &str, Make)] = &[
    ("frame", "header and command byte of a point select, and where its text is", parts::frame),
    ("scan_100_rows", "scan of a reply of 100 rows of 100 bytes", parts::scan_100_rows),
    ("plan_hit", "plan of a point select that is in the cache", parts::plan_hit),
    ("plan_miss", "plan of a point select that is in no cache, which is full", parts::plan_miss),
    ("acquire_release", "a pool's connection leased and given back", parts::acquire_release),
    ("select_to_lease", "point select, plan cached: from the client's bytes to the lease", engine::select_to_lease),
    ("miss_to_lease", "the same, plan not cached", engine::miss_to_lease),
    ("execute_to_lease", "the same, prepared", engine::execute_to_lease),
    (
        "select_to_backend",
        "point select, plan cached: from the client's bytes to those sent on",
        engine::select_to_backend,
    ),
    ("miss_to_backend", "the same, plan not cached", engine::miss_to_backend),
    ("execute_to_backend", "the same, prepared", engine::execute_to_backend),
    (
        "reply_1_row",
        "the reply to a point select, from the backend's bytes to those for the client",
        engine::reply_1_row,
    ),
    ("reply_100_rows", "the same with 100 rows of 100 bytes", engine::reply_100_rows),
    ("reply_ok_gtid", "the OK of a write with its GTID", engine::reply_ok_gtid),
    ("point_select", "one whole point select, text", engine::point_select),
    (
        "point_select_traced_1_of_100",
        "the same where one of a hundred has a span",
        engine::point_select_traced_1_of_100,
    ),
    ("point_select_traced", "the same where each has a span", engine::point_select_traced),
    ("point_execute", "one whole point select, prepared", engine::point_execute),
];

pub fn find(name: &str) -> Option<Make> {
    ALL.iter().find(|(known, ..)| *known == name).map(|(_, _, make)| *make)
}
