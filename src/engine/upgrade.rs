//! A package brought up to a newer upstream: where the three packages are that are merged. In comes a creation, out come
//! the files that it begins with.

use super::{
    Call, Engine, Error, Record,
    create::Creation,
    render::is_light,
    source::{Source, is_on_branch, lock_of},
    update::observed,
};
use crate::{
    api::{PackageRevisionRef, UpgradeTask},
    cache::view,
    package::{
        PLACEHOLDER, Violation,
        tasks::{self, UpgradeTarget},
        upgrade::Strategy,
    },
};

/// The field of the task.
const TASK: &str = "spec.tasks[0].upgrade";

impl Engine {
    /// Returns the files of a package with what became of its upstream between two revisions.
    pub(super) async fn upgraded(
        &self,
        creation: &Creation,
        task: &UpgradeTask,
        call: &Call,
    ) -> Result<Source, Error> {
        let old = self
            .source_of(creation, ("oldUpstreamRef", &task.old_upstream_ref))
            .await?;
        let new = ("newUpstreamRef", &task.new_upstream_ref);
        let new = self
            .published(creation, new, "target upstream revision")
            .await?;
        let local = ("localPackageRevisionRef", &task.local_package_revision_ref);
        let local = self.published(creation, local, "source revision").await?;
        let own = view::package_key(&local, observed(&local)?);
        if own != creation.key.package {
            let why = format!(
                "the revision to be upgraded must be from same package {}/{}",
                creation.key.package.repository, creation.key.package.package
            );
            let field = format!("{TASK}.localPackageRevisionRef.name");
            let name = task.local_package_revision_ref.name.as_str();
            return Err(creation.refused(Violation::invalid(field, name, why)));
        }
        let (old, upstream) = (self.files(&old).await?, self.files(&new).await?);
        let Source { files, tree } = self.source(creation, &local).await?;
        let target = UpgradeTarget {
            name: creation.key.package.package.clone(),
            strategy: Strategy::of(&task.strategy),
            origin: lock_of(observed(&new)?).into(),
        };
        let is_light = is_light([&old, &upstream, &files]);
        let work = move || tasks::upgrade(&old, &upstream, &files, &target);
        let merged = self.weighed(is_light, work, call).await?;
        let files = merged.map_err(|problem| {
            let why = format!(
                "error updating the package {:?} to revision {:?}: {problem}",
                creation.key.package.package, task.new_upstream_ref.name
            );
            creation.refused(Violation::forbidden(TASK, why))
        })?;
        Ok(Source { files, tree })
    }

    async fn source_of(
        &self,
        creation: &Creation,
        (member, reference): (&str, &PackageRevisionRef),
    ) -> Result<Record, Error> {
        let field = format!("{TASK}.{member}.name");
        self.named(creation, &reference.name, &field).await
    }

    /// Returns a revision that must be published, and with a number: what is on the branch moves.
    async fn published(
        &self,
        creation: &Creation,
        (member, reference): (&str, &PackageRevisionRef),
        what: &str,
    ) -> Result<Record, Error> {
        let record = self.source_of(creation, (member, reference)).await?;
        let known = observed(&record)?;
        let name = &reference.name;
        let why = if known.revision == PLACEHOLDER && is_on_branch(known) {
            let repository = view::repository(&record);
            format!("{what} may not be the placeholder package revision {repository}/{name}")
        } else if known.lifecycle.is_published() {
            return Ok(record);
        } else {
            format!(
                "all source PackageRevisions of upgrade task must be published, {name:?} is not"
            )
        };
        let field = format!("{TASK}.{member}.name");
        Err(creation.refused(Violation::invalid(field, name.as_str(), why)))
    }
}
