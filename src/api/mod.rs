//! Wire types: what clients send and receive, and what is stored. Data only: no rules, no I/O.
//!
//! Names and optionality follow upstream's published API, so that its clients work unchanged: strings, numbers,
//! lists and maps that are empty are left out, structs are always present.

mod compact;
mod function_config;
mod package_rev;
mod pairs;
mod porch;
mod propagation;
mod repository;
mod task;

pub use compact::CompactJson;
pub use function_config::{
    BinaryExecutor, ContainerOverrides, FunctionConfig, FunctionConfigSpec, FunctionConfigStatus,
    GoExecutor, PodExecutor, TemplateOverrides,
};
pub use package_rev::{
    FORMAT, GitObserved, IntendedEdit, Intent, KptfileObserved, Observed, Owner, PackageRev,
    PackageRevSpec, PackageRevStatus, UserMetadata,
};
pub use pairs::Pairs;
pub use porch::{
    Condition, GitLock, Locator, PackageMetadata, PackageRevision, PackageRevisionResources,
    PackageRevisionResourcesSpec, PackageRevisionResourcesStatus, PackageRevisionSpec,
    PackageRevisionStatus, ParentReference, PorchPackage, PorchPackageSpec, PorchPackageStatus,
    ReadinessGate, RenderStatus, Result, ResultField, ResultFile, ResultItem, ResultList,
    ResultResource,
};
pub use propagation::{FOREGROUND, ORPHAN, Propagation};
pub use repository::{
    GitRepository, OciRepository, REPOSITORY_CONFLICT, Repository, RepositorySpec,
    RepositoryStatus, SecretRef, Sync,
};
pub use task::{
    CloneTask, EditTask, GitPackage, InitTask, OciPackage, PackageRevisionRef, Task, UpgradeTask,
    UpstreamPackage,
};

/// The group of the aggregated API.
pub const GROUP: &str = "porch.kpt.dev";
/// The only served version of [`GROUP`].
pub const VERSION: &str = "v1alpha1";
/// The group of the CRDs.
pub const CONFIG_GROUP: &str = "config.porch.kpt.dev";
/// The label that marks the newest published revision of a package; computed, never the user's.
pub const LATEST_LABEL: &str = "kpt.dev/latest-revision";
/// The label of a record that names its Repository; hidden from users.
pub const REPOSITORY_LABEL: &str = "internal.porch.kpt.dev/repository";
/// The finalizer of every record: a record deleted by hand is held until its Repository goes.
pub const RECORD_FINALIZER: &str = "internal.porch.kpt.dev/packagerevision";
/// The label of the marker, the record that is never served.
pub const MARKER_LABEL: &str = "internal.porch.kpt.dev/marker";

/// Returns whether a value is what its type starts as; for `skip_serializing_if`.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
