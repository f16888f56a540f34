//! Who owns what a write changes on the other side of it: of the revision, a write of its files; of the files, a write of the
//! revision. In come the user's half of a record and what was and will be, out goes the same half in which all of that is
//! the writer's. Pure. It never begins to keep what nobody kept so far.

use jiff::Timestamp;

use super::Call;
use crate::{
    api::{KptfileObserved, Observed, UserMetadata},
    package::Files,
    sync::{Creditor, credit, credit_files},
};

/// Returns whose a change is.
fn creditor(call: &Call, now: Timestamp) -> Creditor<'_> {
    Creditor {
        manager: &call.manager,
        now,
    }
}

/// Says in `metadata` that what a Kptfile says otherwise than before is the writer's; returns whether that changes anything.
pub(super) fn of_revision(
    metadata: &mut UserMetadata,
    (old, kptfile): (&Observed, &KptfileObserved),
    (call, now): (&Call, Timestamp),
) -> bool {
    let Some(managed) = &mut metadata.managed_fields else {
        return false;
    };
    let new = Observed {
        kptfile: kptfile.clone(),
        ..old.clone()
    };
    let before = managed.clone();
    managed.change(|managed| credit(managed, (old, &new), &creditor(call, now)));
    *managed != before
}

/// Says in `metadata` that files which become others are the writer's.
pub(super) fn of_files(
    metadata: &mut UserMetadata,
    (old, new): (&Files, &Files),
    (call, now): (&Call, Timestamp),
) {
    let Some(managed) = &mut metadata.files_managed_fields else {
        return;
    };
    let changed = new
        .iter()
        .filter(|(path, file)| old.get(*path) != Some(file));
    let gone = old.keys().filter(|path| !new.contains_key(*path));
    let paths = changed
        .map(|(path, _)| (path.as_str(), true))
        .chain(gone.map(|path| (path.as_str(), false)));
    managed.change(|managed| credit_files(managed, paths, &creditor(call, now)));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::time::Instant;

    use super::*;
    use crate::engine::{Begin, Caller};

    fn call() -> Call {
        Call {
            caller: Caller::default(),
            manager: "writer".into(),
            dry_run: false,
            deadline: Instant::now(),
            begin: Begin::if_(|| true),
        }
    }

    fn files(files: &[(&str, &str)]) -> Files {
        let each = files.iter();
        each.map(|(path, content)| ((*path).into(), content.as_bytes().to_vec()))
            .collect()
    }

    #[test]
    fn files_that_become_others_are_the_writers_and_what_is_gone_is_nobodys() {
        let fields = |paths: &[&str]| {
            let paths = paths.iter().map(|path| (format!("f:{path}"), json!({})));
            json!({ "f:spec": { "f:resources": Value::Object(paths.collect()) } })
        };
        let all = fields(&["Kptfile", "a.yaml", "gone", "same"]);
        let kept = json!([{
            "manager": "one", "operation": "Apply", "time": "then", "fieldsV1": all,
        }]);
        let mut metadata = UserMetadata {
            files_managed_fields: Some(kept.into()),
            ..UserMetadata::default()
        };
        let old = files(&[
            ("Kptfile", "1"),
            ("a.yaml", "1"),
            ("gone", "1"),
            ("same", "1"),
        ]);
        let new = files(&[
            ("Kptfile", "2"),
            ("a.yaml", "2"),
            ("new", "1"),
            ("same", "1"),
        ]);
        of_files(
            &mut metadata,
            (&old, &new),
            (&call(), Timestamp::UNIX_EPOCH),
        );
        let managed = metadata.files_managed_fields.unwrap().value();
        let told = |at: usize| (managed[at]["manager"].as_str(), &managed[at]["fieldsV1"]);
        assert_eq!(told(0), (Some("one"), &fields(&["same"])));
        assert_eq!(
            told(1),
            (Some("writer"), &fields(&["Kptfile", "a.yaml", "new"]))
        );
        assert_eq!(managed.as_array().unwrap().len(), 2);
        let mut unkept = UserMetadata::default();
        of_files(&mut unkept, (&old, &new), (&call(), Timestamp::UNIX_EPOCH));
        assert_eq!(unkept, UserMetadata::default(), "it is not begun");
    }
}
