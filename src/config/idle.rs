//! Flags that are taken so that command lines of upstream's Porch still fit, though they mean nothing here.

use clap::{ArgAction, Args};

/// Flags of upstream's Porch, and of Kubernetes' API servers, that mean nothing here.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Accepted, and without effect")]
pub struct Idle {
    /// Records are kept in the cluster.
    #[arg(long, hide = true, value_name = "TYPE")]
    pub cache_type: Option<String>,
    /// There is no database.
    #[arg(long, hide = true, value_name = "NAME")]
    pub db_cache_driver: Option<String>,
    /// There is no database.
    #[arg(long, hide = true, value_name = "SOURCE")]
    pub db_cache_data_source: Option<String>,
    /// There is no database.
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub db_push_drafts_to_git: Option<bool>,
    /// `ca.crt` in a Repository's Secret is trusted for that Repository.
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub use_user_cabundle: Option<bool>,
    /// A failed sync is tried again by its kind of failure.
    #[arg(long, hide = true, value_name = "N")]
    pub repo_operation_retry_attempts: Option<u64>,
    /// A failed sync is tried again by its kind of failure.
    #[arg(long, hide = true, value_name = "TEXT", action = ArgAction::Append)]
    pub retryable_git_errors: Vec<String>,
    /// Lists never wait for a repository.
    #[arg(long, hide = true, value_name = "DURATION")]
    pub list_timeout_per_repo: Option<String>,
    /// Lists never wait for a repository.
    #[arg(long, hide = true, value_name = "N")]
    pub max_parallel_repo_lists: Option<u64>,
    /// There are no gates.
    #[arg(long, hide = true, value_name = "GATES")]
    pub feature_gates: Option<String>,
    /// There is no such debugging here.
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub profiling: Option<bool>,
    /// Requests in flight are bounded instead.
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub enable_priority_and_fairness: Option<bool>,
    /// An unreadable `ConfigMap` never ends the server: `/readyz` tells it.
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub authentication_tolerate_lookup_failure: Option<bool>,
}

/// Whether a flag was given, its name, and why it does nothing.
type Given = (bool, &'static str, &'static str);

/// Why flags do nothing.
const STORAGE: &str = "records are kept in the cluster's own storage";
const RETRY: &str = "a failed sync is tried again by its kind of failure";
const LIST: &str = "lists are answered from memory";
const TRUSTED: &str = "ca.crt in a Repository's Secret is trusted for that Repository";
const LOOKUP: &str = "a lookup that fails is told by /readyz and tried again";

impl Idle {
    /// Returns what was given though it does nothing, with the reason.
    #[must_use]
    pub fn given(&self) -> Vec<(&'static str, &'static str)> {
        let all = self.of_storage().into_iter().chain(self.of_work());
        let given = all.chain(self.of_servers()).filter(|(given, ..)| *given);
        given.map(|(_, flag, why)| (flag, why)).collect()
    }

    fn of_storage(&self) -> [Given; 4] {
        let source = self.db_cache_data_source.is_some();
        let drafts = self.db_push_drafts_to_git.is_some();
        [
            (self.cache_type.is_some(), "--cache-type", STORAGE),
            (self.db_cache_driver.is_some(), "--db-cache-driver", STORAGE),
            (source, "--db-cache-data-source", STORAGE),
            (drafts, "--db-push-drafts-to-git", STORAGE),
        ]
    }

    fn of_work(&self) -> [Given; 5] {
        let retry = self.repo_operation_retry_attempts.is_some();
        let errors = !self.retryable_git_errors.is_empty();
        let timeout = self.list_timeout_per_repo.is_some();
        let parallel = self.max_parallel_repo_lists.is_some();
        [
            (
                self.use_user_cabundle.is_some(),
                "--use-user-cabundle",
                TRUSTED,
            ),
            (retry, "--repo-operation-retry-attempts", RETRY),
            (errors, "--retryable-git-errors", RETRY),
            (timeout, "--list-timeout-per-repo", LIST),
            (parallel, "--max-parallel-repo-lists", LIST),
        ]
    }

    fn of_servers(&self) -> [Given; 4] {
        let fair = self.enable_priority_and_fairness.is_some();
        let tolerate = self.authentication_tolerate_lookup_failure.is_some();
        let (bounded, profiles) = (
            "requests in flight are bounded instead",
            "there is no profiling over HTTP",
        );
        [
            (
                self.feature_gates.is_some(),
                "--feature-gates",
                "there are no gates",
            ),
            (self.profiling.is_some(), "--profiling", profiles),
            (fair, "--enable-priority-and-fairness", bounded),
            (tolerate, "--authentication-tolerate-lookup-failure", LOOKUP),
        ]
    }
}
