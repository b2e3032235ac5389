//! What `runner check` says about every kind of mistake: one file each in `tests/mistakes`, and one test for each file.
//!
//! A new kind of mistake is a new file there and its name in the list below; its snapshot is read aloud before it is accepted.
//! No file may depend on what is installed: programs that are missing are called `no-such-program`.
//!
//! `make e2e NAME=mistakes::auth_colon` runs the test of `auth-colon.yaml`.

use std::collections::BTreeSet;

use crate::support::{root, runner};

/// A test for each name, which is that of its file with `_` for `-`.
macro_rules! mistakes {
    ($($name:ident)+) => {
        $(
            #[test]
            fn $name() {
                is_reported(stringify!($name));
            }
        )+

        /// The names of all of them.
        const LISTED: &[&str] = &[$(stringify!($name)),+];
    };
}

/// Checks the file of a test, and compares what is said with its snapshot.
fn is_reported(test: &str) {
    let name = test.replace('_', "-");
    let output = runner()
        .args(["check", &format!("tests/mistakes/{name}.yaml")])
        .current_dir(root())
        .env("NO_COLOR", "1")
        .output()
        .expect("the binary was built for this test");
    assert_eq!(output.status.code(), Some(2), "{name}: {output:?}");
    assert!(output.stdout.is_empty(), "{name}: {output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    insta::assert_snapshot!(name, said);
}

#[test]
fn every_file_is_listed() {
    let folder = std::fs::read_dir(root().join("tests/mistakes")).expect("the folder stands beside this file");
    let files = folder.flatten().filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".yaml").map(str::to_owned));
    let files: BTreeSet<String> = files.collect();
    let listed: BTreeSet<String> = LISTED.iter().map(|test| test.replace('_', "-")).collect();
    assert!(files.len() >= 40, "only {} kinds of mistake were found", files.len());
    let unlisted: Vec<_> = files.difference(&listed).collect();
    assert!(unlisted.is_empty(), "add these files of `tests/mistakes` to the list in this file: {unlisted:#?}");
    let missing: Vec<_> = listed.difference(&files).collect();
    assert!(missing.is_empty(), "these are listed, and `tests/mistakes` has no such file: {missing:#?}");
}

mistakes! {
    action_auth
    action_pass_in_command
    action_times
    auth_colon
    auth_late
    body_file_missing
    body_two_kinds
    cache_of_a_request
    carry_name
    carry_pointer
    carry_shadows
    carry_two_places
    carry_used_too_early
    closed_drain
    collect_metric_unknown
    collect_request
    collect_sources
    collect_table
    command_and_url
    command_exit
    command_metric_name
    command_metric_places
    command_metric_ratio
    command_named_as_target
    command_not_installed
    command_with_steps
    container_parts
    decimal
    delay_without_link
    draw
    draw_and_auth_elsewhere
    draw_and_carry
    draw_in_set_up
    draw_of_late
    duration_unknown_unit
    duration_without_unit
    duration_zero
    env_alone
    env_name
    env_none_declared
    env_secret_address
    env_secret_computed
    env_secret_computed_through_let
    env_secret_default
    env_undeclared
    env_unused
    exclude_every_default
    exclude_everything
    exclude_unknown_factor
    exclude_unknown_level
    expect_bound_without_unit
    expect_bound_wrong_unit
    expect_bounds_backwards
    expect_command_metric
    expect_is_a_map
    expect_is_a_text
    expect_metric_and_ratio
    expect_metric_unknown
    expect_no_bound
    expect_no_metric
    expect_phase_of_start_up
    expect_phases_and_levels
    expect_phases_of_a_metric
    expect_phases_the_same
    expect_phases_unknown
    expect_ratio_to_itself
    expect_ratio_unknown_level
    expect_ratio_without_levels
    expect_status
    expect_target_of_requests
    expect_unknown_level
    expect_unknown_names
    expectation_without_status
    experiment_name
    experiment_name_number
    expression_empty
    expression_id_in_target
    expression_in_block_text
    expression_in_fixed_text
    expression_index
    expression_late_computed
    expression_late_in_url
    expression_map_in_text
    expression_replica_in_workload
    expression_syntax
    expression_twice_on_a_line
    expression_type_error
    expression_unclosed
    expression_unknown_attribute
    expression_unknown_name
    expression_unknown_name_computed
    factor_expression_as_level
    factor_is_a_text
    factor_level_null
    factor_level_twice
    factor_no_default
    factor_no_levels
    factor_odd_name
    factor_reserved_name
    factor_unknown_default
    factor_unread
    factors_broken_not_missed
    factors_too_many_cells
    file_alias_bomb
    file_byte_order_mark
    file_duplicate_key
    file_empty
    file_is_a_list
    file_is_a_text
    file_key_is_no_text
    file_key_is_null
    file_let_bomb
    file_not_utf_8
    file_only_comments
    file_syntax_flow
    file_syntax_indent
    file_syntax_quote
    file_syntax_tab
    file_tag
    file_too_deep
    file_two_documents
    file_unknown_alias
    file_wide_letters
    file_windows_line_ends
    find_bad_bound
    find_no_condition
    find_range_backwards
    find_rate_too_low
    find_unknown_figure
    find_with_duration
    framed_and_url
    framed_frame
    framed_steps
    graph_bars_without_x
    graph_baseline
    graph_baseline_phase
    graph_broken_pair
    graph_command_metric_over_time
    graph_facet
    graph_factor
    graph_lines_x
    graph_metric
    graph_model_dollar
    graph_model_elsewhere
    graph_model_no_duration
    graph_model_syntax
    graph_model_text
    graph_model_type_error
    graph_model_unknown_name
    graph_no_shape
    graph_phase_of_start_up
    graph_quantiles
    graph_ratio_without_baseline
    graph_rounds_metric
    graph_rounds_unknown_key
    graph_rounds_x
    graph_stdev_over_time
    graph_step
    graph_two_shapes
    graph_where_factor
    graph_where_level
    graph_workload
    graph_y
    graphs_is_a_map
    header_name
    http_2_without_keep_alive
    http_redirects_no_number
    http_redirects_trust_a_path
    http_redirects_unknown_key
    http_streams_without_2
    http_version
    include_incomplete
    key_underscore
    key_unknown_body
    key_unknown_carry
    key_unknown_closed
    key_unknown_expect
    key_unknown_factor
    key_unknown_graph
    key_unknown_load
    key_unknown_range
    key_unknown_ready
    key_unknown_set_up
    key_unknown_set_up_step
    key_unknown_several
    key_unknown_step
    key_unknown_stop
    key_unknown_target
    key_unknown_top
    key_unknown_workload
    layout_leaves
    layout_nested
    layout_repetition_inside
    layout_shared
    let_name_of_factor
    let_reports_once
    let_reserved_name
    let_ring
    let_unused
    letters
    limits_errors_without_unit
    limits_host_load
    limits_lag
    limits_percentage
    limits_steady_state
    limits_unknown
    limits_watched
    link_elsewhere
    link_none_from_the_load
    link_shape
    link_to
    link_twice
    load_amount_and_duration
    load_amount_too_large
    load_amount_zero
    load_duration_too_long
    load_no_connections
    load_warm_up_empty
    load_without_end
    marker_of_ours
    missing_closed
    missing_connections
    missing_everything
    missing_experiment
    missing_no_workload
    missing_several_parts
    missing_url
    missing_workload_keys
    missing_workloads
    open_amount_too_long
    open_and_closed
    open_arrivals_unknown
    open_arrivals_with_every
    open_jitter_too_long
    open_jitter_with_rate
    open_no_connections
    open_ramp_too_low
    open_rate_too_high
    open_rate_too_low
    open_rate_without_unit
    open_rate_zero
    open_steps_empty
    open_steps_out_of_range
    open_steps_with_duration
    open_two_rates
    open_without_rate
    outcome_names
    outcome_too_many
    phases_and_amount
    phases_not_there
    phases_that_are_not_there
    phases_unknown
    phases_without_during
    phases_zero
    primary
    range_down
    range_endless
    range_text
    range_too_many
    range_two_ways
    range_without_end
    reconcile_names
    reconcile_number
    reconcile_source
    redis_parts
    redis_steps
    repetitions_none
    repetitions_too_many
    requests_with_metrics
    revisions_parts
    revisions_unknown_key
    rlimits
    set_up_command_with_headers
    set_up_factor_in_run
    set_up_is_a_list
    set_up_nothing_to_do
    set_up_program_missing
    set_up_request_with_dir
    set_up_scratch_in_cell
    set_up_several
    set_up_url
    several
    size_ambiguous
    size_fraction
    size_in_other_units
    step_name_twice
    step_no_method
    step_path_with_space
    step_path_without_slash
    step_two_methods
    steps_of_what
    target_address
    target_address_with_replicas
    target_after_itself
    target_after_ring
    target_after_unknown
    target_broken_is_not_missed
    target_command_empty
    target_dir_missing
    target_http_probe_without_port
    target_log_late
    target_log_regex
    target_name
    target_no_probe
    target_no_replicas
    target_nothing_to_start
    target_port_on_command_line
    target_port_too_large
    target_port_zero
    target_program_missing
    target_render_name
    target_replicas_on_one_port
    target_shared_port
    target_template_missing
    target_template_syntax
    target_template_unknown_name
    target_two_probes
    target_two_ways
    target_unknown_fixture
    target_when_is_no_truth
    target_when_never_true
    think_two_kinds
    tls_ca_and_no_verification
    tls_no_such_file
    tls_without_https
    tmpfs_size
    type_fraction
    type_list_for_map
    type_map_for_list
    type_map_for_number
    type_negative
    type_null
    type_null_item
    type_null_method
    type_number_for_text
    type_quoted_list
    type_text_for_list
    type_text_for_map
    type_text_for_number
    type_too_large
    type_truth_for_text
    value_of_one_cell
    variant_order
    variant_order_near
    variant_scratch
    variant_signal
    vtp_event
    vtp_subscriber
    vtp_without_author
    warm_up_auto_before
    warm_up_auto_find
    warm_up_auto_phases_short
    warm_up_auto_too_short
    warm_up_auto_wide_window
    warm_up_time
    warm_up_two_ends
    warm_up_word
    window_too_short
    workload_bad_url
    workload_no_steps
    workload_threads
    workload_url_port
}
