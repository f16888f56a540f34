//! Edits of refs, sent with the objects that they need. In come packs and leased edits, out comes what was refused and
//! why. Every edit names what it replaces, so nothing is overwritten that the caller has not seen; whether a move is a
//! fast-forward is not asked. A push is sent once: it is never repeated unless it is certain that nothing was done.

use std::collections::BTreeSet;

use super::{
    Access, Error, Pack, list_some, prepare, push_local,
    receive::{self, Answer},
    refs::is_id,
    verdict,
};

/// A change of one ref, leased: it is made only if the ref still is what `from` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefEdit {
    /// Full name: a branch or a tag.
    pub name: String,
    /// What it is; nothing: it must be absent.
    pub from: Option<String>,
    /// What it becomes; nothing: it goes.
    pub to: Option<String>,
}

/// What became of a push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Edits that were not made, in their order; all others were. Empty: everything was done.
    pub refused: Vec<Refused>,
    /// Whether all edits were made or none, as asked. It is not where the server can't promise that: then those before the
    /// first refused one are made. And git, though it promises, goes on without the edits that are
    /// [`Refusal::Incomplete`] or concern what it hides.
    pub atomic: bool,
}

/// An edit that was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Full name of the ref.
    pub name: String,
    /// Why.
    pub why: Refusal,
}

/// Why an edit was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The ref is not what was expected, or somebody is changing it: look again.
    Moved,
    /// The server's hook or rules said no, in these words.
    Declined(String),
    /// The server lacks objects that were not sent: send [`super::Workbench::whole_pack`].
    Incomplete(String),
    /// It was not judged: another edit of the same push was refused.
    Neighbour,
}

/// Sends packs and edits in one request, all of them or none; to a server that can't promise that, edit by edit in the
/// order given, up to the first that is refused. In a repository of this machine (`file://`) they are made under locks;
/// no hook is run there.
///
/// One lease is weaker than it looks: git deletes a ref, whatever it is, if it has forgotten the object that it should be.
///
/// # Errors
/// [`Error::Refused`] for edits that are none; every error of a server that was not reached or refused the request;
/// [`Error::TooLarge`] and [`Error::Full`] when it could not take the objects. With all of these nothing was done.
/// [`Error::Uncertain`] when the answer was lost: the refs must be looked at.
pub fn push(access: &Access, packs: &[Pack], edits: &[RefEdit]) -> Result<Pushed, Error> {
    prepare()?;
    check(edits)?;
    if edits.is_empty() {
        return Ok(Pushed::default());
    }
    let pack = Pack::joined(packs);
    if let Some(directory) = access.address.directory() {
        return push_local::push(&directory, &pack, edits);
    }
    let refused = match receive::send(access, &pack, edits)? {
        Answer::Singly => one_by_one(access, pack, edits)?,
        answer => refusals(access, edits, answer),
    };
    let atomic = refused.is_empty() || refused.len() == edits.len();
    Ok(Pushed { refused, atomic })
}

/// Asks whether edits could be made now, and makes none: whether the server takes pushes from whoever asks, can do what the
/// edits need, and has its refs where they expect them. What only a push finds out, such as the word of a hook, is not
/// known then.
///
/// # Errors
/// [`Error::Refused`] for edits that are none; every error of a server that was not reached or does not take the push.
pub fn rehearse(access: &Access, edits: &[RefEdit]) -> Result<Pushed, Error> {
    prepare()?;
    check(edits)?;
    if edits.is_empty() {
        return Ok(Pushed::default());
    }
    if let Some(directory) = access.address.directory() {
        return push_local::rehearse(&directory, edits);
    }
    let mut refused = receive::ask(access, edits)?;
    if refused.is_empty() {
        refused = moved(access, edits)?;
    }
    Ok(Pushed {
        refused,
        atomic: true,
    })
}

/// Returns the refusals of edits whose refs are not what they expect.
fn moved(access: &Access, edits: &[RefEdit]) -> Result<Vec<Refused>, Error> {
    let names: Vec<&str> = edits.iter().map(|edit| edit.name.as_str()).collect();
    let now = list_some(access, &names)?;
    let moved = |edit: &&RefEdit| now.get(&edit.name).map(|it| &it.id) != edit.from.as_ref();
    let moved = edits.iter().filter(moved).map(|edit| Refused {
        name: edit.name.clone(),
        why: Refusal::Moved,
    });
    Ok(moved.collect())
}

fn refusals(access: &Access, edits: &[RefEdit], answer: Answer) -> Vec<Refused> {
    match answer {
        Answer::Unable(refused) => refused,
        Answer::Heard(heard) => {
            let look = |names: &[&str]| list_some(access, names).ok();
            verdict::judge(edits, &heard, &look)
        }
        Answer::Singly => edits.iter().map(neighbour).collect(),
    }
}

/// Sends edits in requests of their own, up to the first that is refused: a server that makes them all at once, but not as
/// one, would go on behind it.
fn one_by_one(access: &Access, mut pack: Pack, edits: &[RefEdit]) -> Result<Vec<Refused>, Error> {
    for (at, edit) in edits.iter().enumerate() {
        let alone = std::slice::from_ref(edit);
        let answer = receive::send(access, &pack, alone).map_err(|error| partly(at, error))?;
        let mut refused = refusals(access, alone, answer);
        if !refused.is_empty() {
            refused.extend(edits[at + 1..].iter().map(neighbour));
            return Ok(refused);
        }
        if edit.to.is_some() {
            // The server has it all now.
            pack = Pack::default();
        }
    }
    Ok(Vec::new())
}

fn neighbour(edit: &RefEdit) -> Refused {
    let name = edit.name.clone();
    let why = Refusal::Neighbour;
    Refused { name, why }
}

/// Returns the error of an edit that so many were made before.
fn partly(made: usize, error: Error) -> Error {
    match (made, error) {
        (0, error) | (_, error @ Error::Uncertain(_)) => error,
        (made, error) => {
            Error::Uncertain(format!("{made} edits of a push were made, then: {error}"))
        }
    }
}

fn check(edits: &[RefEdit]) -> Result<(), Error> {
    let mut names = BTreeSet::new();
    let refuse = |edit: &RefEdit, why: &str| {
        let name = &edit.name;
        Err(Error::Refused(format!("invalid edit of {name:?}: {why}")))
    };
    for edit in edits {
        let place = edit.name.starts_with("refs/heads/") || edit.name.starts_with("refs/tags/");
        if !place || !git2::Reference::is_valid_name(&edit.name) {
            return refuse(edit, "this is no name of a branch or tag");
        }
        let mut ids = edit.from.iter().chain(&edit.to).peekable();
        if ids.peek().is_none() {
            return refuse(edit, "it changes nothing");
        }
        if !ids.all(|id| is_id(id) && id.bytes().any(|digit| digit != b'0')) {
            return refuse(edit, "this is no id of an object");
        }
        if !names.insert(&edit.name) {
            return refuse(edit, "there are two of it");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_after_an_edit_was_made_does_not_say_that_nothing_was_done() {
        let refused = || Error::Unauthorized("host".into());
        assert!(matches!(partly(0, refused()), Error::Unauthorized(_)));
        let told = partly(2, refused()).to_string();
        assert_eq!(
            told,
            "2 edits of a push were made, then: authentication required: host"
        );
        assert!(matches!(partly(2, refused()), Error::Uncertain(_)));
    }
}
