//! The files of a draft, replaced whole. In comes an edit of them, out goes the record that has them. What is no text was
//! never shown to the caller, and stays unless it is given anew.

use std::collections::BTreeMap;

use super::{
    Call, Engine, Error, Record,
    found::{Outline, kptfile_of},
    update::{key_of, observed, written},
    write::{Base, Setback, Undertaking},
};
use crate::{
    api::PackageRev,
    cache::Name,
    package::{Files, KPTFILE, Lifecycle, Violation, check_files, has_pipeline, heal},
    sync::Work,
};

/// The texts among a package's files.
pub type Texts = BTreeMap<String, String>;

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
        edit: impl Fn(&PackageRev, &Texts, &[String]) -> Result<Texts, E>,
        call: &Call,
    ) -> Result<(Record, Files), E> {
        loop {
            let taken = self.take(name, patient, call).await;
            let (lock, record) = taken.map_err(|error| of_files(name, error))?;
            let base = record.clone();
            let current = self.files(&record).await?;
            let (texts, binary) = sort(&current);
            let wanted = edit(&record, &texts, &binary)?;
            let files = heal(with_binary(wanted, &current, &binary), &current);
            if files == current {
                return Ok((record, files));
            }
            check(name, &record, &files)?;
            let undertaking = self.replacement(&record, files.clone(), call).await?;
            if call.dry_run {
                return Ok((undertaking.rehearsed(&record, Lifecycle::Draft), files));
            }
            match self.carry_out(undertaking, lock, call).await {
                Ok(Some(record)) => return Ok((record, files)),
                Ok(None) => return Err(Error::NotFound(super::About::Request).into()),
                Err(Setback::Told(error)) => return Err(error.into()),
                Err(_) if patient => self.moved_on(&base, call).await?,
                Err(_) => return Err(Error::Modified.into()),
            }
        }
    }

    async fn replacement(
        &self,
        record: &Record,
        files: Files,
        call: &Call,
    ) -> Result<Undertaking, Error> {
        let home = self.home_of(record).await?;
        let observed = observed(record)?;
        let kptfile = files.get(KPTFILE).map_or(&[][..], Vec::as_slice);
        let outline = Outline {
            kptfile: kptfile_of(kptfile),
            ..Outline::of(observed)
        };
        let step = written(observed, files, false);
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
        violations.extend(pipeline(files));
    }
    if violations.is_empty() {
        return Ok(());
    }
    Err(Error::Invalid {
        name: name.name.clone(),
        violations,
    })
}

/// Returns that a package has a pipeline, which can't be run: it is never stored unrendered.
pub(super) fn pipeline(files: &Files) -> Option<Violation> {
    let path = has_pipeline(files)?;
    let why = "this server does not render packages yet, so a package whose Kptfile has a pipeline can't be written; remove the pipeline";
    Some(Violation::forbidden(
        format!("spec.resources[{path}].pipeline"),
        why,
    ))
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
