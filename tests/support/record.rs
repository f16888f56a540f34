//! Records as a scan would leave them.

use porch::{
    api::{GitObserved, Observed, Owner, PackageRev, PackageRevSpec},
    package::Lifecycle,
};

/// Returns a record of the package `package` in the Repository `r`.
pub fn record(package: &str, revision: i64) -> PackageRev {
    let workspace = format!("v{revision}");
    let name = format!("r.{package}.{workspace}");
    let observed = Observed {
        format: 1,
        package: package.into(),
        workspace,
        revision,
        lifecycle: Lifecycle::Published,
        git: GitObserved {
            repo: "https://git.example/r.git".into(),
            ..GitObserved::default()
        },
        ..Observed::default()
    };
    let spec = PackageRevSpec {
        repository: Owner {
            name: "r".into(),
            uid: "u".into(),
        },
        observed: Some(observed),
        ..PackageRevSpec::default()
    };
    PackageRev::new(&name, spec)
}
