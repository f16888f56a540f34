//! Trees and blobs as they are stored. Read raw: a hostile tree is only bytes here, and nothing is copied before it was
//! judged.

use git2::{ObjectType, Odb, OdbObject, Oid};

use super::Error;

/// The largest tree or commit that is read, in bytes.
const LARGEST: usize = 32 << 20;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// A file, executable or not.
    File,
    /// A symbolic link: a blob that holds its target.
    Link,
    /// A directory.
    Directory,
    /// A commit of another repository.
    Submodule,
}

/// One entry of a tree.
pub(super) struct Entry<'a> {
    pub(super) mode: Mode,
    /// The mode as it is written.
    pub(super) digits: &'a [u8],
    pub(super) name: &'a [u8],
    pub(super) id: Oid,
}

/// Returns the object of this id and kind.
///
/// # Errors
/// [`Error::Corrupt`] when it is missing or another kind; [`Error::TooLarge`].
pub(super) fn read<'a>(
    odb: &'a Odb<'_>,
    id: Oid,
    kind: ObjectType,
) -> Result<OdbObject<'a>, Error> {
    let (size, _) = odb
        .read_header(id)
        .map_err(|error| Error::object(id, &error))?;
    if size > LARGEST {
        return Err(Error::TooLarge(format!("object {id} has {size} bytes")));
    }
    let object = odb.read(id).map_err(|error| Error::object(id, &error))?;
    if object.kind() == kind {
        Ok(object)
    } else {
        Err(Error::Corrupt(format!("object {id} is no {kind}")))
    }
}

/// Returns the entries of a tree's bytes.
pub(super) fn entries(data: &[u8]) -> impl Iterator<Item = Result<Entry<'_>, Error>> {
    let mut rest = data;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some((entry, left)) = split(rest) else {
            rest = &[];
            return Some(Err(Error::Corrupt("a tree cannot be read".into())));
        };
        rest = left;
        Some(Ok(entry))
    })
}

/// Splits `<octal mode> <name>\0<20 bytes of id>` off.
fn split(data: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let space = data.iter().take(8).position(|byte| *byte == b' ')?;
    let digits = &data[..space];
    let mode = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()?;
    let data = &data[space + 1..];
    let end = data.iter().position(|byte| *byte == 0)?;
    let (name, data) = (&data[..end], &data[end + 1..]);
    let (id, rest) = data.split_at_checked(20)?;
    let mode = match mode & 0o170_000 {
        0o040_000 => Mode::Directory,
        0o120_000 => Mode::Link,
        0o160_000 => Mode::Submodule,
        0o100_000 => Mode::File,
        _ => return None,
    };
    let id = Oid::from_bytes(id).ok()?;
    let entry = Entry {
        mode,
        digits,
        name,
        id,
    };
    Some((entry, rest))
}

/// Returns the tree at a path below a tree, or nothing if there is no directory.
///
/// # Errors
/// [`Error::Corrupt`]; [`Error::TooLarge`].
pub(super) fn descend(odb: &Odb<'_>, root: Oid, path: &str) -> Result<Option<Oid>, Error> {
    let mut current = root;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        match find(odb, current, part.as_bytes())? {
            Some((Mode::Directory, id)) => current = id,
            _ => return Ok(None),
        }
    }
    Ok(Some(current))
}

/// Returns the entry of this name in a tree.
///
/// # Errors
/// [`Error::Corrupt`]; [`Error::TooLarge`].
pub(super) fn find(odb: &Odb<'_>, tree: Oid, name: &[u8]) -> Result<Option<(Mode, Oid)>, Error> {
    let object = read(odb, tree, ObjectType::Tree)?;
    for entry in entries(object.data()) {
        let entry = entry?;
        if entry.name == name {
            return Ok(Some((entry.mode, entry.id)));
        }
    }
    Ok(None)
}

/// Returns the blob of the Kptfile that makes a tree a package, or nothing.
///
/// # Errors
/// [`Error::Corrupt`]; [`Error::TooLarge`].
pub(super) fn kptfile(odb: &Odb<'_>, tree: Oid) -> Result<Option<Oid>, Error> {
    let found = find(odb, tree, b"Kptfile")?;
    Ok(found.and_then(|(mode, id)| matches!(mode, Mode::File | Mode::Link).then_some(id)))
}

/// Returns whether a name can be that of a file or directory of a package: no way out of it, and nothing that a
/// checkout would take for Git's own directory on any system.
pub(super) fn is_harmless(name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name).to_lowercase();
    let visible: String = text.chars().filter(|c| !is_ignorable(*c)).collect();
    // To Windows a backslash is a slash.
    let mut parts = visible.split('\\');
    !name.is_empty()
        && !name.contains(&b'/')
        && name != b"."
        && name != b".."
        && !parts.any(is_gits_own)
}

/// Returns whether a checkout on some system would take a name for that of Git's own directory.
fn is_gits_own(name: &str) -> bool {
    let stem = name.split(':').next().unwrap_or_default();
    matches!(stem.trim_end_matches([' ', '.']), ".git" | "git~1")
}

/// Characters that HFS+ ignores in names (git's `fsck` lists them).
fn is_ignorable(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_out_or_into_git_are_not_harmless() {
        for name in [
            "",
            ".",
            "..",
            "a/b",
            ".git",
            ".GIT",
            ".Git",
            ".git.",
            ".git ",
            "GIT~1",
            ".g\u{200c}it",
            ".git::$INDEX_ALLOCATION",
            "a\\.git",
            ".git\\hooks",
        ] {
            assert!(!is_harmless(name.as_bytes()), "{name:?}");
        }
        for name in [
            "Kptfile",
            ".gitignore",
            ".github",
            "...",
            "a..b",
            "git",
            "über",
            "a b",
            ".gitmodules",
        ] {
            assert!(is_harmless(name.as_bytes()), "{name:?}");
        }
        assert!(is_harmless(b"\xff\xfe"));
    }

    #[test]
    fn what_is_no_tree_is_told_and_ends() {
        for bytes in [
            &b"garbage"[..],
            b"100644 a\0short",
            b"10x644 a\0",
            b"777777777 a\0",
            b"100644 ",
        ] {
            let read: Vec<_> = entries(bytes).collect();
            assert!(
                matches!(read.as_slice(), [Err(Error::Corrupt(_))]),
                "{bytes:?}"
            );
        }
    }
}
