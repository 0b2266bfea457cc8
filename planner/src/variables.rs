//! Session system variables that can be carried from one connection to another (S22, S23).
//!
//! Invariant: the table is sorted by name, and each variable in it was carried on a server: set to another value, its
//! tracker's value written into `SET name=value` on a second connection, and found equal there. Everything else pins.
//!
//! Left out with intent: what acts on one statement or one log (`timestamp`, `insert_id`, `last_insert_id`, `rand_seed1`,
//! `sql_log_bin`, `gtid_next`, `pseudo_thread_id`), what leaves results behind on its connection (`profiling`,
//! `optimizer_trace`), what changes the answers' shape (`resultset_metadata`), what is the gate's own
//! (`session_track_*`), and the format of the binary log.

/// How a value that the server's tracker reported is written into `SET name=value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableKind {
    /// Bare. MySQL refuses a quoted number.
    Number,
    /// In quotes. The tracker reports `character_set_results = NULL` as an empty value, which is written as `NULL`.
    Text,
    /// `ON` or `OFF`, bare or in quotes.
    Bool,
}

/// The kind of a variable that can be carried; None: it pins its session. `name` is in lower case.
pub fn variable_is_replayable(name: &str) -> Option<VariableKind> {
    let find = |table: &[(&str, VariableKind)]| {
        let at = table.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
        table.get(at).map(|(_, kind)| *kind)
    };
    find(REPLAYABLE).or_else(|| find(REPLAYABLE_ON_MARIADB))
}

/// The names of all variables that can be carried on MySQL: what a connection's tracker has to watch there.
pub fn replayable_names() -> impl Iterator<Item = &'static str> {
    REPLAYABLE.iter().map(|(name, _)| *name)
}

/// What it means for sharing that a session has this variable at this value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carry {
    /// It is carried to other connections by `SET`.
    Replay(VariableKind),
    /// It makes no difference: the tracker's own noise, or what every backend connection has anyway.
    Ignore,
    /// Its session stays on its connection.
    Pin,
}

/// Judges a variable and its value, as the tracker reports them or as a `SET` writes them.
///
/// `session_track_system_variables='*'` makes the tracker name `statement_id` after every statement. `sql_auto_is_null` is always switched off by Rails; on, it makes
/// `WHERE id IS NULL` ask for the last insert id.
pub fn carry(name: &str, value: &[u8]) -> Carry {
    let value = match value {
        [b'\'', inside @ .., b'\''] | [b'"', inside @ .., b'"'] => inside,
        _ => value,
    };
    let is = |known: &[u8]| value.eq_ignore_ascii_case(known);
    match name {
        "statement_id" => Carry::Ignore,
        // The engine keeps each client's own trackers apart from the gate's.
        _ if name.starts_with("session_track_") => Carry::Ignore,
        "sql_auto_is_null" if !(is(b"off") || is(b"0") || is(b"false")) => Carry::Pin,
        _ => variable_is_replayable(name).map_or(Carry::Pin, Carry::Replay),
    }
}

/// True when `SET name=DEFAULT` does not lead back to what a new connection has: MySQL leaves these two OFF, whatever the
/// global value is. They are set to a value instead.
pub fn variable_has_wrong_default(name: &str) -> bool {
    matches!(name, "foreign_key_checks" | "unique_checks")
}

/// `tx_isolation` and `tx_read_only` are the names of before 8.0.
const REPLAYABLE: &[(&str, VariableKind)] = &[
    ("auto_increment_increment", VariableKind::Number),
    ("auto_increment_offset", VariableKind::Number),
    ("autocommit", VariableKind::Bool),
    ("big_tables", VariableKind::Bool),
    ("binlog_row_image", VariableKind::Text),
    ("block_encryption_mode", VariableKind::Text),
    ("bulk_insert_buffer_size", VariableKind::Number),
    ("character_set_client", VariableKind::Text),
    ("character_set_connection", VariableKind::Text),
    ("character_set_filesystem", VariableKind::Text),
    ("character_set_results", VariableKind::Text),
    ("character_set_server", VariableKind::Text),
    ("collation_connection", VariableKind::Text),
    ("collation_server", VariableKind::Text),
    ("completion_type", VariableKind::Text),
    ("cte_max_recursion_depth", VariableKind::Number),
    ("default_collation_for_utf8mb4", VariableKind::Text),
    ("default_storage_engine", VariableKind::Text),
    ("default_table_encryption", VariableKind::Bool),
    ("default_tmp_storage_engine", VariableKind::Text),
    ("default_week_format", VariableKind::Number),
    ("div_precision_increment", VariableKind::Number),
    ("enable_cascade_triggers", VariableKind::Bool),
    ("enable_secondary_engine_statistics", VariableKind::Bool),
    ("end_markers_in_json", VariableKind::Bool),
    ("eq_range_index_dive_limit", VariableKind::Number),
    ("explain_format", VariableKind::Text),
    ("explain_json_format_version", VariableKind::Number),
    ("explicit_defaults_for_timestamp", VariableKind::Bool),
    ("foreign_key_checks", VariableKind::Bool),
    ("generated_random_password_length", VariableKind::Number),
    ("group_concat_max_len", VariableKind::Number),
    ("group_replication_consistency", VariableKind::Text),
    ("histogram_generation_max_mem_size", VariableKind::Number),
    ("information_schema_stats_expiry", VariableKind::Number),
    ("innodb_ddl_buffer_size", VariableKind::Number),
    ("innodb_ddl_threads", VariableKind::Number),
    ("innodb_ft_enable_stopword", VariableKind::Bool),
    ("innodb_lock_wait_timeout", VariableKind::Number),
    ("innodb_parallel_read_threads", VariableKind::Number),
    ("innodb_strict_mode", VariableKind::Bool),
    ("innodb_table_locks", VariableKind::Bool),
    ("interactive_timeout", VariableKind::Number),
    ("internal_tmp_mem_storage_engine", VariableKind::Text),
    ("join_buffer_size", VariableKind::Number),
    ("keep_files_on_create", VariableKind::Bool),
    ("lc_messages", VariableKind::Text),
    ("lc_time_names", VariableKind::Text),
    ("lock_wait_timeout", VariableKind::Number),
    ("long_query_time", VariableKind::Number),
    ("low_priority_updates", VariableKind::Bool),
    ("max_error_count", VariableKind::Number),
    ("max_execution_time", VariableKind::Number),
    ("max_heap_table_size", VariableKind::Number),
    ("max_join_size", VariableKind::Number),
    ("max_length_for_sort_data", VariableKind::Number),
    ("max_points_in_geometry", VariableKind::Number),
    ("max_seeks_for_key", VariableKind::Number),
    ("max_sort_length", VariableKind::Number),
    ("max_sp_recursion_depth", VariableKind::Number),
    ("min_examined_row_limit", VariableKind::Number),
    ("myisam_sort_buffer_size", VariableKind::Number),
    ("myisam_stats_method", VariableKind::Text),
    ("net_read_timeout", VariableKind::Number),
    ("net_retry_count", VariableKind::Number),
    ("net_write_timeout", VariableKind::Number),
    ("old_alter_table", VariableKind::Bool),
    ("optimizer_max_subgraph_pairs", VariableKind::Number),
    ("optimizer_prune_level", VariableKind::Number),
    ("optimizer_search_depth", VariableKind::Number),
    ("optimizer_switch", VariableKind::Text),
    ("parser_max_mem_size", VariableKind::Number),
    ("preload_buffer_size", VariableKind::Number),
    ("print_identified_with_as_hex", VariableKind::Bool),
    ("query_alloc_block_size", VariableKind::Number),
    ("query_prealloc_size", VariableKind::Number),
    ("range_alloc_block_size", VariableKind::Number),
    ("range_optimizer_max_mem_size", VariableKind::Number),
    ("read_buffer_size", VariableKind::Number),
    ("read_rnd_buffer_size", VariableKind::Number),
    ("restrict_fk_on_non_standard_key", VariableKind::Bool),
    ("secondary_engine_cost_threshold", VariableKind::Number),
    ("select_into_buffer_size", VariableKind::Number),
    ("select_into_disk_sync", VariableKind::Bool),
    ("select_into_disk_sync_delay", VariableKind::Number),
    ("set_operations_buffer_size", VariableKind::Number),
    ("show_create_table_skip_secondary_engine", VariableKind::Bool),
    ("show_create_table_verbosity", VariableKind::Bool),
    ("show_gipk_in_create_table_and_information_schema", VariableKind::Bool),
    ("sort_buffer_size", VariableKind::Number),
    ("sql_auto_is_null", VariableKind::Bool),
    ("sql_big_selects", VariableKind::Bool),
    ("sql_buffer_result", VariableKind::Bool),
    ("sql_generate_invisible_primary_key", VariableKind::Bool),
    ("sql_mode", VariableKind::Text),
    ("sql_notes", VariableKind::Bool),
    ("sql_quote_show_create", VariableKind::Bool),
    ("sql_require_primary_key", VariableKind::Bool),
    ("sql_safe_updates", VariableKind::Bool),
    ("sql_select_limit", VariableKind::Number),
    ("sql_warnings", VariableKind::Bool),
    ("terminology_use_previous", VariableKind::Text),
    ("time_zone", VariableKind::Text),
    ("tmp_table_size", VariableKind::Number),
    ("transaction_alloc_block_size", VariableKind::Number),
    ("transaction_allow_batching", VariableKind::Bool),
    ("transaction_isolation", VariableKind::Text),
    ("transaction_prealloc_size", VariableKind::Number),
    ("transaction_read_only", VariableKind::Bool),
    ("tx_isolation", VariableKind::Text),
    ("tx_read_only", VariableKind::Bool),
    ("unique_checks", VariableKind::Bool),
    ("updatable_views_with_limit", VariableKind::Text),
    ("use_secondary_engine", VariableKind::Text),
    ("wait_timeout", VariableKind::Number),
    ("windowing_use_high_precision", VariableKind::Bool),
    ("xa_detach_on_prepare", VariableKind::Bool),
];

/// Variables that only MariaDB has: carried there on 10.11 as above, and refused by a MySQL server, which so reports none of them.
/// Its tracker watches all variables, so that these need not be listed for it.
const REPLAYABLE_ON_MARIADB: &[(&str, VariableKind)] = &[
    ("alter_algorithm", VariableKind::Text),
    ("analyze_sample_percentage", VariableKind::Number),
    ("aria_sort_buffer_size", VariableKind::Number),
    ("aria_stats_method", VariableKind::Text),
    ("check_constraint_checks", VariableKind::Bool),
    ("column_compression_threshold", VariableKind::Number),
    ("column_compression_zlib_level", VariableKind::Number),
    ("column_compression_zlib_strategy", VariableKind::Text),
    ("column_compression_zlib_wrap", VariableKind::Bool),
    ("default_regex_flags", VariableKind::Text),
    ("expensive_subquery_limit", VariableKind::Number),
    ("histogram_size", VariableKind::Number),
    ("histogram_type", VariableKind::Text),
    ("idle_readonly_transaction_timeout", VariableKind::Number),
    ("idle_transaction_timeout", VariableKind::Number),
    ("idle_write_transaction_timeout", VariableKind::Number),
    ("in_predicate_conversion_threshold", VariableKind::Number),
    ("innodb_compression_default", VariableKind::Bool),
    ("innodb_snapshot_isolation", VariableKind::Bool),
    ("join_buffer_space_limit", VariableKind::Number),
    ("join_cache_level", VariableKind::Number),
    ("max_recursive_iterations", VariableKind::Number),
    ("max_rowid_filter_size", VariableKind::Number),
    ("max_session_mem_used", VariableKind::Number),
    ("max_statement_time", VariableKind::Number),
    ("mrr_buffer_size", VariableKind::Number),
    ("note_verbosity", VariableKind::Text),
    ("old_mode", VariableKind::Text),
    ("optimizer_extra_pruning_depth", VariableKind::Number),
    ("optimizer_join_limit_pref_ratio", VariableKind::Number),
    ("optimizer_max_sel_arg_weight", VariableKind::Number),
    ("optimizer_max_sel_args", VariableKind::Number),
    ("optimizer_selectivity_sampling_limit", VariableKind::Number),
    ("optimizer_use_condition_selectivity", VariableKind::Number),
    ("progress_report_time", VariableKind::Number),
    ("rowid_merge_buff_size", VariableKind::Number),
    ("sql_if_exists", VariableKind::Bool),
    ("standard_compliant_cte", VariableKind::Bool),
    ("system_versioning_alter_history", VariableKind::Text),
    ("system_versioning_insert_history", VariableKind::Bool),
    ("tmp_disk_table_size", VariableKind::Number),
    ("tmp_memory_table_size", VariableKind::Number),
    ("use_stat_tables", VariableKind::Text),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        for table in [REPLAYABLE, REPLAYABLE_ON_MARIADB] {
            assert!(table.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
        assert!(REPLAYABLE_ON_MARIADB.iter().all(|(name, _)| REPLAYABLE.iter().all(|(known, _)| known != name)));
    }

    #[test]
    fn what_must_pin_is_not_carried() {
        assert_eq!(variable_is_replayable("sql_mode"), Some(VariableKind::Text));
        assert_eq!(variable_is_replayable("group_concat_max_len"), Some(VariableKind::Number));
        assert_eq!(variable_is_replayable("foreign_key_checks"), Some(VariableKind::Bool));
        for name in "sql_log_bin gtid_next insert_id last_insert_id identity timestamp rand_seed1 pseudo_thread_id \
             session_track_gtids profiling optimizer_trace statement_id global nothing"
            .split_whitespace()
        {
            assert_eq!(variable_is_replayable(name), None, "{name}");
        }
    }

    #[test]
    fn values_matter_for_some() {
        assert_eq!(carry("statement_id", b"5"), Carry::Ignore);
        assert_eq!(carry("session_track_schema", b"1"), Carry::Ignore);
        assert_eq!(carry("session_track_schema", b"OFF"), Carry::Ignore);
        assert_eq!(carry("session_track_gtids", b"'OWN_GTID'"), Carry::Ignore);
        assert_eq!(carry("sql_auto_is_null", b"OFF"), Carry::Replay(VariableKind::Bool));
        assert_eq!(carry("sql_auto_is_null", b"1"), Carry::Pin);
        assert_eq!(carry("time_zone", b"UTC"), Carry::Replay(VariableKind::Text));
        assert_eq!(carry("gtid_next", b"AUTOMATIC"), Carry::Pin);
    }
}
