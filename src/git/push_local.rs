//! A push into a repository of this machine. Every ref is locked, then every lease checked, then the objects are written,
//! then the refs: all edits or none, unless the machine fails in the very last step. What the repository's own settings
//! forbid is refused as git would; hooks are not run, for this room runs no program.

use std::{path::Path, thread, time::Duration};

use git2::{ErrorCode, Oid, Repository, Signature, Transaction};

use super::{Error, Pack, Pushed, RefEdit, Refusal, Refused, list::open_local, push_turn::Turn};

/// How often a lock that somebody holds is tried, and how long is waited between: git's patience is a tenth of a second.
const TRIES: u32 = 10;
const BETWEEN: Duration = Duration::from_millis(10);
/// From so many objects on they are written as one pack, as git does.
const MANY: usize = 100;

/// Makes edits and stores what they need.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Local`], when nothing was done; [`Error::Uncertain`] when some may have been.
pub(super) fn push(directory: &Path, pack: &Pack, edits: &[RefEdit]) -> Result<Pushed, Error> {
    let repository = open_local(directory)?;
    let local = |error: git2::Error| Error::local(directory, &error.message());
    let common = repository.commondir();
    // It ends after the locks do.
    let _turn = Turn::take(common, edits).map_err(|error| Error::local(common, &error))?;
    let mut transaction = repository.transaction().map_err(local)?;
    let mut refused = Vec::new();
    for edit in edits {
        let why = match lock(&mut transaction, &edit.name) {
            Ok(true) => judge(&repository, edit).map_err(local)?,
            Ok(false) => Some(Refusal::Moved),
            Err(error) => conflict(&repository, edit)
                .ok_or_else(|| local(error))?
                .into(),
        };
        refused.extend(why.map(|why| (edit.name.clone(), why)));
    }
    if refused.is_empty() {
        store(&repository, pack).map_err(local)?;
        refused.extend(lacking(&repository, edits).map_err(local)?);
    }
    if !refused.is_empty() {
        return Ok(all_refused(edits, &refused));
    }
    for edit in edits {
        write(&mut transaction, edit).map_err(local)?;
    }
    let failed = |error: git2::Error| {
        let at = directory.display();
        let why = error.message();
        Error::Uncertain(format!(
            "{at}: whether the push was done is not known: {why}"
        ))
    };
    transaction.commit().map_err(failed)?;
    let refused = Vec::new();
    Ok(Pushed {
        refused,
        atomic: true,
    })
}

/// Returns what would become of edits now, and makes none.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Local`].
pub(super) fn rehearse(directory: &Path, edits: &[RefEdit]) -> Result<Pushed, Error> {
    let repository = open_local(directory)?;
    let local = |error: git2::Error| Error::local(directory, &error.message());
    let mut refused = Vec::new();
    for edit in edits {
        // Whether it would be a fast-forward can't be asked: its commit is not there.
        let unsent = RefEdit {
            from: None,
            ..edit.clone()
        };
        let why = if current(&repository, &edit.name).map_err(local)? != edit.from {
            Some(Refusal::Moved)
        } else if let Some(conflict) = conflict(&repository, edit) {
            Some(conflict)
        } else {
            let why = forbidden(&repository, &unsent).map_err(local)?;
            why.map(|why| Refusal::Declined(why.into()))
        };
        refused.extend(why.map(|why| (edit.name.clone(), why)));
    }
    if refused.is_empty() {
        return Ok(Pushed {
            refused: Vec::new(),
            atomic: true,
        });
    }
    Ok(all_refused(edits, &refused))
}

/// Returns the refusal of all edits: those that were judged, and their neighbours.
fn all_refused(edits: &[RefEdit], judged: &[(String, Refusal)]) -> Pushed {
    let refused = |edit: &RefEdit| {
        let own = judged.iter().find(|(name, _)| *name == edit.name);
        Refused {
            name: edit.name.clone(),
            why: own.map_or(Refusal::Neighbour, |(_, why)| why.clone()),
        }
    };
    Pushed {
        refused: edits.iter().map(refused).collect(),
        atomic: true,
    }
}

/// Locks a ref; returns whether it could be had.
fn lock(transaction: &mut Transaction<'_>, name: &str) -> Result<bool, git2::Error> {
    for _ in 0..TRIES {
        match transaction.lock_ref(name) {
            Ok(()) => return Ok(true),
            Err(error) if error.code() == ErrorCode::Locked => thread::sleep(BETWEEN),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Returns why a locked ref must not be changed.
fn judge(repository: &Repository, edit: &RefEdit) -> Result<Option<Refusal>, git2::Error> {
    let now = current(repository, &edit.name)?;
    if now != edit.from {
        return Ok(Some(Refusal::Moved));
    }
    if let Some(conflict) = conflict(repository, edit) {
        return Ok(Some(conflict));
    }
    let why = forbidden(repository, edit)?;
    Ok(why.map(|why| Refusal::Declined(why.into())))
}

/// Returns the id that a ref points at itself.
fn current(repository: &Repository, name: &str) -> Result<Option<String>, git2::Error> {
    match repository.find_reference(name) {
        // A symbolic ref is nothing that was ever expected.
        Ok(found) => Ok(Some(
            found.target().map_or_else(String::new, |id| id.to_string()),
        )),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the refusal of a new ref whose name is a directory of others, or has another as its directory.
fn conflict(repository: &Repository, edit: &RefEdit) -> Option<Refusal> {
    if edit.from.is_some() || edit.to.is_none() {
        return None;
    }
    let above = edit.name.match_indices('/').map(|(at, _)| &edit.name[..at]);
    let above = above
        .skip(2)
        .find(|name| repository.find_reference(name).is_ok());
    let below = || {
        let pattern = format!("{}/*", edit.name);
        let mut names = repository.references_glob(&pattern).ok()?;
        let name = names.names().next()?.ok()?.to_string();
        Some(name)
    };
    let other = above.map(str::to_string).or_else(below)?;
    let words = format!("cannot create {:?}: {other:?} exists", edit.name);
    Some(Refusal::Declined(words))
}

/// Returns what the repository's settings have against an edit.
fn forbidden(repository: &Repository, edit: &RefEdit) -> Result<Option<&'static str>, git2::Error> {
    if !edit.name.starts_with("refs/heads/") {
        return Ok(None);
    }
    let settings = repository.config()?.snapshot()?;
    let set = |name: &str| settings.get_bool(name).unwrap_or(false);
    let head = repository.find_reference("HEAD")?;
    let is_head = head
        .symbolic_target()
        .is_ok_and(|name| name == Some(&edit.name));
    let Some(to) = &edit.to else {
        return Ok(match (is_head, set("receive.denyDeletes")) {
            (true, _) => Some("deletion of the current branch prohibited"),
            (_, true) => Some("deletion prohibited"),
            _ => None,
        });
    };
    if is_head && !repository.is_bare() {
        return Ok(Some("branch is currently checked out"));
    }
    let Some(from) = edit
        .from
        .as_ref()
        .filter(|_| set("receive.denyNonFastForwards"))
    else {
        return Ok(None);
    };
    let forward =
        from == to || repository.graph_descendant_of(Oid::from_str(to)?, Oid::from_str(from)?)?;
    Ok((!forward).then_some("non-fast-forward"))
}

/// Writes objects beside those that are there.
fn store(repository: &Repository, pack: &Pack) -> Result<(), git2::Error> {
    let odb = repository.odb()?;
    if pack.len() < MANY {
        for object in pack.objects() {
            odb.write(object.kind, &object.content)?;
        }
        return Ok(());
    }
    let mut writer = odb.packwriter()?;
    let written = std::io::Write::write_all(&mut writer, &pack.bytes());
    written.map_err(|error| git2::Error::from_str(&error.to_string()))?;
    writer.commit().map(drop)
}

/// Returns the refusals of edits whose objects are not there.
fn lacking(
    repository: &Repository,
    edits: &[RefEdit],
) -> Result<Vec<(String, Refusal)>, git2::Error> {
    let odb = repository.odb()?;
    let mut all = Vec::new();
    for edit in edits {
        let Some(to) = &edit.to else { continue };
        if !odb.exists(Oid::from_str(to)?) {
            let why = Refusal::Incomplete("missing necessary objects".into());
            all.push((edit.name.clone(), why));
        }
    }
    Ok(all)
}

/// Notes the new value of a locked ref.
fn write(transaction: &mut Transaction<'_>, edit: &RefEdit) -> Result<(), git2::Error> {
    let Some(to) = &edit.to else {
        return transaction.remove(&edit.name);
    };
    let porch = Signature::now("Package Orchestration Service", "porch@kpt.dev")?;
    transaction.set_target(&edit.name, Oid::from_str(to)?, Some(&porch), "push")
}
