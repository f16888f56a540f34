//! All checks of the writing suites, each against a server of its own: `crate::server` says which.

macro_rules! checks {
    ($($room:ident :: $check:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                let server = crate::server::Server::start(stringify!($check)).await;
                crate::$room::$check(&server.examined).await;
                server.end().await;
            }
        )*
    };
}

checks![
    life::a_package_from_its_first_draft_to_its_end,
    life::what_was_not_published_goes_without_a_trace,
    life::what_is_gone_is_gone_at_once,
    life::a_directory_and_an_author_of_the_repository,
    life::a_branch_is_made_where_that_is_wanted,
    life::the_kptfile_and_the_object_agree,
    life::the_answers_version_can_be_used_at_once,
    refusals::creations_that_are_refused,
    refusals::updates_that_are_refused,
    refusals::old_versions_are_refused,
    hostile::what_nobody_should_send,
    copies::copies_of_registered_revisions,
    copies::copies_from_elsewhere,
    copies::deployments_and_parents,
    contents::files_that_are_refused,
    contents::as_many_files_as_may_be,
    contents::texts_survive,
    contents::packages_with_functions_are_left_as_they_are,
    contents::packages_begin_and_end_as_wholes,
    owned::metadata_survives,
    owned::finalizers_hold,
    owned::dry_runs_change_nothing,
    owned::collections_go,
    owned::namespaces_that_are_not_there,
    applied::what_is_applied_is_made_and_owned,
    applied::what_the_kptfile_says_is_owned_too,
    applied::lifecycles_have_owners,
    applied::files_have_owners,
    applied::what_a_write_changes_elsewhere_is_its_writers,
    applied::what_was_found_is_the_sync_managers,
    declared::what_is_declared_is_left_alone_once_it_is_there,
    declared::controllers_compare_before_they_apply,
    declared::controllers_take_over_what_others_applied,
    crowd::of_many_equal_writes_one_wins,
    crowd::patches_without_a_version_all_succeed,
    crowd::many_are_published_at_once,
    rendering::packages_are_rendered,
    rendering::pipelines_that_fail_change_nothing,
    rendering::failures_that_are_pushed,
    rendering::packages_are_upgraded,
    upgrades::a_package_from_its_upstream_to_the_next,
    upgrades::upgrades_that_are_odd,
    strangers::a_strangers_push_is_never_overwritten,
    strangers::locked_refs,
    strangers::servers_that_refuse,
    strangers::dry_runs_ask_the_git_server,
    strangers::a_server_that_is_gone,
    strangers::answers_that_are_lost_or_late,
];
