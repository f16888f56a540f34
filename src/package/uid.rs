//! UIDs that follow from names, as upstream computes them: owner references of the incumbent's objects rest on them.

use uuid::{Uuid, uuid};

/// The namespace that upstream hashes in (UUID version 5).
const SPACE: Uuid = uuid!("aac71d91-5c67-456f-8fd2-902ef6da820e");

/// Returns the UID of a `PackageRevision` and of its `PackageRevisionResources`.
#[must_use]
pub fn revision_uid(namespace: &str, name: &str) -> String {
    uid("packagerevision:", namespace, name)
}

/// Returns the UID of a `PorchPackage`.
#[must_use]
pub fn package_uid(namespace: &str, name: &str) -> String {
    uid("dbPackage:", namespace, name)
}

fn uid(prefix: &str, namespace: &str, name: &str) -> String {
    let text = format!(
        "{prefix}porch.kpt.dev/v1alpha1/{}/{}",
        namespace.to_lowercase(),
        name.to_lowercase()
    );
    Uuid::new_v5(&SPACE, text.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_upstreams() {
        assert_eq!(
            revision_uid("default", "repo.pkg.ws"),
            "97a1e6bc-186e-50d1-96e5-c1753b0e20fc"
        );
        assert_eq!(
            revision_uid("my-namespace", "my-repo.my-package.my-workspace"),
            "7007e8aa-0928-50f9-b980-92a44942f055"
        );
    }
}
