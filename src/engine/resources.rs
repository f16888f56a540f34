//! The files of a draft, replaced whole. In comes an edit of them, out goes the record that has them. What is no text was
//! never shown to the caller, and stays unless it is given anew.

use std::collections::BTreeMap;

use super::{
    Call, Engine, Error, Record,
    found::{Outline, kptfile_of},
    locks::Lock,
    render::{NOT_PUSHED, PUSHED, failed, is_light, only_reports},
    report::Report,
    share,
    update::{key_of, observed, written},
    write::{Base, Setback, Undertaking},
};
use crate::{
    api::{CompactJson, PackageRev, RenderStatus, UserMetadata},
    cache::{Name, name_of},
    package::{Files, KPTFILE, Lifecycle, Violation, check_files, has_pipeline, heal},
    render::Rendered,
    sync::Work,
    yaml,
};

/// The texts among a package's files.
pub type Texts = BTreeMap<String, String>;

/// The annotation of a revision whose files are to be stored though their pipeline fails: the request fails all the same.
const PUSH_ON_FAILURE: &str = "porch.kpt.dev/push-on-render-failure";
/// The field that a failed pipeline is told of.
const FIELD: &str = "spec.resources";

/// What is wanted of a package's files.
pub struct Wanted {
    /// The texts among them.
    pub texts: Texts,
    /// Who owns which of them, as `managedFields`; nothing if nobody is said to.
    pub managed_fields: Option<CompactJson>,
}

/// What a replacement of files left.
pub struct Replaced {
    /// The record as it is then.
    pub record: Record,
    /// The files as they were stored.
    pub files: Files,
    /// What the functions of the package said; nothing if none ran.
    pub status: Option<RenderStatus>,
}

impl Engine {
    /// Replaces the files of the revision of this name as `edit` says, which is given the record and its texts. If somebody
    /// was faster and the caller named no version (`patient`), it is asked again.
    ///
    /// # Errors
    /// [`Error`], or what `edit` says.
    pub async fn replace<E: From<Error>>(
        &self,
        name: &Name,
        patient: bool,
        edit: impl Fn(&PackageRev, &Texts, &[String]) -> Result<Wanted, E>,
        call: &Call,
    ) -> Result<Replaced, E> {
        loop {
            let taken = self.take(name, patient, call).await;
            let (lock, record) = taken.map_err(|error| of_files(name, error))?;
            let base = record.clone();
            let current = self.files(&record).await?;
            let (texts, binary) = sort(&current);
            let Wanted {
                texts,
                managed_fields,
            } = edit(&record, &texts, &binary)?;
            let owners = owned(&record, managed_fields);
            let files = with_binary(texts, &current, &binary);
            let (files, current) = self.healed(files, current, call).await?;
            let stored = self.store((record, lock), owners, (files, &current), call);
            match stored.await {
                Ok(replaced) => return Ok(replaced),
                Err(Setback::Told(error)) => return Err(error.into()),
                // What a stranger did is not recorded for a rehearsal: it would lose again.
                Err(Setback::Lost(_)) if call.dry_run => return Err(Error::Modified.into()),
                Err(_) if patient => self.moved_on(&base, call).await?,
                Err(_) => return Err(Error::Modified.into()),
            }
        }
    }

    /// Stores files in the place of the current ones, rendered; and who owns which of them, where that is said.
    async fn store(
        &self,
        (record, lock): (Record, Lock),
        owners: Option<UserMetadata>,
        (files, current): (Files, &Files),
        call: &Call,
    ) -> Result<Replaced, Setback> {
        if files == *current && !may_render(&record, &files) {
            return Ok(Replaced {
                record: self.owned_by((record, lock), owners, call).await?,
                files,
                status: None,
            });
        }
        let name = name_of(&record);
        if let Err(refused) = check(&name, &record, &files) {
            if !self.comes_to(files, current, call).await? {
                return Err(refused.into());
            }
            return Ok(Replaced {
                record: self.owned_by((record, lock), owners, call).await?,
                files: current.clone(),
                status: None,
            });
        }
        let (rendered, mut report) = self.outcome(files, current, call).await?;
        let changes = rendered.files != *current;
        let failure = rendered.error.as_deref();
        if failure.is_some() {
            self.tell(&record, &std::mem::take(&mut report), call);
        }
        if let Some(why) = failure.filter(|_| !pushes_on_failure(&record)) {
            return Err(failed(&name.name, FIELD, NOT_PUSHED, why).into());
        }
        let failure = failure.map(|why| failed(&name.name, FIELD, PUSHED, why));
        let record = if changes {
            let mut undertaking = self.replacement(&record, &rendered.files, call).await?;
            undertaking.metadata = self.shared(owners, &record, &undertaking, call)?;
            if call.dry_run {
                self.rehearse(&mut undertaking, call).await?;
                undertaking.rehearsed(&record, Lifecycle::Draft)
            } else {
                let done = self.carry_out(undertaking, lock, call).await?;
                let record = done.ok_or(Error::NotFound(super::About::Request))?;
                self.tell(&record, &report, call);
                record
            }
        } else {
            self.owned_by((record, lock), owners, call).await?
        };
        match failure {
            Some(failure) => Err(failure.into()),
            None => Ok(Replaced {
                record,
                files: rendered.files,
                // A dry run that changes nothing shows no difference either.
                status: rendered.status.filter(|_| changes || !call.dry_run),
            }),
        }
    }

    /// Returns the user's half of a record in which what the new files change of the revision is the writer's; nothing if it
    /// stays as it is.
    fn shared(
        &self,
        owners: Option<UserMetadata>,
        record: &PackageRev,
        undertaking: &Undertaking,
        call: &Call,
    ) -> Result<Option<UserMetadata>, Error> {
        let Some(outline) = &undertaking.outline else {
            return Ok(owners);
        };
        let changes_files = owners.is_some();
        let mut metadata = owners.unwrap_or_else(|| record.spec.metadata.clone());
        let kptfile = (observed(record)?, &outline.kptfile);
        let now = (self.sync().clock)();
        let changes = share::of_revision(&mut metadata, kptfile, (call, now));
        Ok((changes || changes_files).then_some(metadata))
    }

    /// Returns whether files that may not be stored come out of their pipeline as those that are: whoever declares what a
    /// revision was made from may go on to do so when it is published.
    async fn comes_to(&self, files: Files, current: &Files, call: &Call) -> Result<bool, Error> {
        if !check_files(&files).is_empty() || has_pipeline(&files).is_none() {
            return Ok(false);
        }
        let Rendered { files, error, .. } = self.render(files, call).await?;
        Ok(error.is_none() && only_reports(&files, current) && remarks(&files) == remarks(current))
    }

    /// Writes who owns which file, where that is all that changes.
    async fn owned_by(
        &self,
        (record, lock): (Record, Lock),
        owners: Option<UserMetadata>,
        call: &Call,
    ) -> Result<Record, Setback> {
        match owners {
            Some(metadata) => self.rewrite(record, metadata, lock, call).await,
            None => Ok(record),
        }
    }

    /// Returns the new files with the comments that they lost, and the current ones.
    async fn healed(
        &self,
        files: Files,
        current: Files,
        call: &Call,
    ) -> Result<(Files, Files), Error> {
        let is_light = is_light([&files, &current]);
        let work = move || (heal(files, &current), current);
        self.weighed(is_light, work, call).await
    }

    /// Returns what files become, and what is told of that.
    async fn outcome(
        &self,
        files: Files,
        current: &Files,
        call: &Call,
    ) -> Result<(Rendered, Report), Error> {
        let unchanged = files == *current;
        let mut rendered = self.render(files, call).await?;
        if unchanged && only_reports(&rendered.files, current) {
            // What its functions say when they have nothing to do is no reason to write.
            rendered.files.clone_from(current);
        }
        let report = Report::of(&rendered.steps, rendered.error.as_deref());
        if let Some(status) = &mut rendered.status {
            report.put(status, (self.sync().clock)());
        }
        Ok((rendered, report))
    }

    async fn replacement(
        &self,
        record: &Record,
        files: &Files,
        call: &Call,
    ) -> Result<Undertaking, Error> {
        let home = self.home_of(record).await?;
        let observed = observed(record)?;
        let kptfile = files.get(KPTFILE).map_or(&[][..], Vec::as_slice);
        let outline = Outline {
            kptfile: kptfile_of(kptfile),
            ..Outline::of(observed)
        };
        let step = written(observed, files.clone(), false);
        Ok(Undertaking {
            work: Work {
                deed: step.deed,
                message: step.message,
                directory: observed.git.directory.clone(),
                workspace: observed.workspace.clone(),
                author: call.caller.author(&home.repository),
                time: (self.sync().clock)(),
            },
            home,
            key: key_of(record, observed),
            base: Base::Known(record.clone()),
            metadata: None,
            outline: Some(outline),
            publishes: false,
        })
    }
}

/// The most bytes that are kept of who owns which file: a record has little room. Beyond, all are the sync manager's.
const MOST_OWNERS: usize = 128 * 1024;

/// Returns the user's half of a record with other owners of files; nothing if they are the same.
fn owned(record: &PackageRev, owners: Option<CompactJson>) -> Option<UserMetadata> {
    let owners = owners.filter(|owners| owners.size() <= MOST_OWNERS);
    let known = &record.spec.metadata;
    (known.files_managed_fields != owners).then(|| UserMetadata {
        files_managed_fields: owners,
        ..known.clone()
    })
}

/// Returns the error in upstream's words for files.
fn of_files(name: &Name, error: Error) -> Error {
    let Name { namespace, name } = name;
    match error {
        Error::Busy(_) => Error::Busy(format!(
            "another request is already in progress on package revision resources \"{namespace}/{name}\""
        )),
        other => other,
    }
}

/// Returns whether files are stored though their pipeline fails.
fn pushes_on_failure(record: &PackageRev) -> bool {
    let annotations = &record.spec.metadata.annotations;
    annotations
        .get(PUSH_ON_FAILURE)
        .is_some_and(|value| value == "true")
}

/// Returns the comments of a package's Kptfile.
fn remarks(files: &Files) -> Vec<String> {
    let kptfile = files.get(KPTFILE).map(Vec::as_slice).unwrap_or_default();
    yaml::comments(&String::from_utf8_lossy(kptfile))
}

/// Returns whether files that are stored already may come out of their pipeline otherwise.
fn may_render(record: &PackageRev, files: &Files) -> bool {
    let draft = observed(record).is_ok_and(|it| it.lifecycle == Lifecycle::Draft);
    draft && record.spec.metadata.deletion_timestamp.is_none() && has_pipeline(files).is_some()
}

/// Refuses files that a draft may not have, and any for what is no draft.
fn check(name: &Name, record: &PackageRev, files: &Files) -> Result<(), Error> {
    let lifecycle = observed(record)?.lifecycle;
    let mut violations = Vec::new();
    if lifecycle != Lifecycle::Draft {
        let why = format!(
            "cannot update a package revision with lifecycle value {:?}; package must be Draft",
            lifecycle.as_str()
        );
        violations.push(Violation::forbidden("spec.resources", why));
    } else if record.spec.metadata.deletion_timestamp.is_some() {
        let why = "the package revision is being deleted";
        violations.push(Violation::forbidden("spec.resources", why));
    } else {
        violations = check_files(files);
    }
    if violations.is_empty() {
        return Ok(());
    }
    Err(Error::Invalid {
        name: name.name.clone(),
        violations,
    })
}

/// Returns the texts among files, and the paths of the others.
#[must_use]
pub fn sort(files: &Files) -> (Texts, Vec<String>) {
    let (mut texts, mut binary) = (Texts::new(), Vec::new());
    for (path, content) in files {
        match std::str::from_utf8(content) {
            Ok(text) => {
                texts.insert(path.clone(), text.into());
            }
            Err(_) => binary.push(path.clone()),
        }
    }
    (texts, binary)
}

fn with_binary(texts: Texts, current: &Files, binary: &[String]) -> Files {
    let kept = binary
        .iter()
        .filter_map(|path| Some((path.clone(), current.get(path)?.clone())));
    let mut files: Files = kept.collect();
    files.extend(
        texts
            .into_iter()
            .map(|(path, text)| (path, text.into_bytes())),
    );
    files
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn files(files: &[(&str, &[u8])]) -> Files {
        let each = files.iter();
        each.map(|(path, content)| ((*path).into(), content.to_vec()))
            .collect()
    }

    #[test]
    fn files_that_are_no_text_are_named_and_never_mangled() {
        let (texts, binary) = sort(&files(&[
            ("z.png", &[0x89, b'P', 0xff]),
            ("Kptfile", b"kind: Kptfile\n"),
            ("a.bin", &[0xc3, 0x28]),
            ("umlaut.yaml", "\u{e4}: \u{f6}\n".as_bytes()),
            ("empty", b""),
        ]));
        assert_eq!(binary, ["a.bin", "z.png"]);
        let same = |path: &str, content: &str| (path.to_owned(), content.to_owned());
        let want = [
            same("Kptfile", "kind: Kptfile\n"),
            same("empty", ""),
            same("umlaut.yaml", "\u{e4}: \u{f6}\n"),
        ];
        assert_eq!(texts, want.into());
    }

    #[test]
    fn owners_of_files_are_kept_unless_there_are_too_many_to_keep() {
        let owners = |size: usize| {
            let empty = CompactJson::from(json!([{"manager": ""}])).size();
            let owners = CompactJson::from(json!([{"manager": "m".repeat(size - empty)}]));
            assert_eq!(owners.size(), size);
            Some(owners)
        };
        let mut record = PackageRev::default();
        assert!(owned(&record, None).is_none(), "nothing changes");
        record.spec.metadata.labels = [("a".to_owned(), "b".to_owned())].into();
        let kept = owned(&record, owners(MOST_OWNERS)).unwrap();
        assert_eq!(kept.files_managed_fields, owners(MOST_OWNERS));
        assert_eq!(kept.labels, record.spec.metadata.labels);
        assert!(owned(&record, owners(MOST_OWNERS + 1)).is_none());
        record.spec.metadata = kept;
        assert!(owned(&record, owners(MOST_OWNERS)).is_none());
        // What was kept is not true any more: nobody is said to own them.
        let dropped = owned(&record, owners(MOST_OWNERS + 1)).unwrap();
        assert_eq!(dropped.files_managed_fields, None);
        assert_eq!(dropped.labels, record.spec.metadata.labels);
    }

    #[test]
    fn what_was_not_shown_stays_and_the_rest_is_replaced_whole() {
        let current = files(&[("a.bin", &[0xff]), ("b.bin", &[0xfe]), ("old", b"x")]);
        let (_, binary) = sort(&current);
        let texts: Texts = [
            ("b.bin".to_owned(), "now text".to_owned()),
            ("new".to_owned(), "y".to_owned()),
        ]
        .into();
        let want = files(&[("a.bin", &[0xff]), ("b.bin", b"now text"), ("new", b"y")]);
        assert_eq!(with_binary(texts, &current, &binary), want);
    }
}
