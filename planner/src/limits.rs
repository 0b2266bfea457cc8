//! The planner's limits, each with its unit and its reason.

/// Bytes of a text that the plan cache keeps. Longer texts carry data (bulk inserts) and hardly ever repeat.
pub const CACHED_TEXT_BYTES_MAX: usize = 4096;

/// Assignments that a plan lists. A longer `SET` is not understood, which is slow but right.
pub const ASSIGNS_MAX: usize = 64;

/// Calls of `CONNECTION_ID()` that a plan lists. A text with more is not understood.
pub const VALUES_MAX: usize = 16;

/// Calls of `GET_LOCK` whose names a plan lists. With more it lists none, and the lock pins until all are released.
pub const LOCKS_MAX: usize = 16;

/// User variables that a plan names. With more it names none, and they pin their session.
pub const USER_VARIABLES_MAX: usize = 32;

/// Bytes of a pattern of `SHOW VARIABLES LIKE` that the gate's own variables are compared with; names are shorter.
pub const PATTERN_BYTES_MAX: usize = 64;

/// Bytes of one literal that an assignment keeps. A longer one is reported as not literal: it pins its session.
pub const ASSIGNED_VALUE_BYTES_MAX: usize = 1024;

/// Bytes of a text that `tree` parses: `sqlparser` needs up to 5 ms for a list of 10,000 values.
pub const PARSED_TEXT_BYTES_MAX: usize = 16 * 1024;

/// Tables that a text may name before they are not known. The server joins 61 at most.
pub const TABLES_MAX: usize = 512;

/// Levels of parentheses that are followed to find tables; generated conditions stay below.
pub const TABLE_LEVELS_MAX: usize = 256;

/// Levels of nesting that `tree` lets the parser follow: what people write stays below, and what is deeper gives no tree.
pub const PARSED_DEPTH_MAX: usize = 64;

/// Bytes of a filter's name: it is a label of metrics.
pub const FILTER_NAME_BYTES_MAX: usize = 64;

/// Bytes of one value of a filter, as it stands between its quotes: expressions and templates are shorter.
pub const FILTER_VALUE_BYTES_MAX: usize = 4096;

/// Bytes of memory of a compiled expression of a filter; what is larger is refused when the filter is made.
pub const EXPRESSION_BYTES_MAX: usize = 1 << 20;

/// Bytes of a digest that is compared with a filter's template.
pub const FILTER_DIGEST_BYTES_MAX: usize = 4096;
