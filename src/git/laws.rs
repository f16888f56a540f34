//! What holds for whatever a server or a stranger's repository sends: nothing panics or goes on for ever, what was cut short
//! is never taken for less, and what is taken in was checked. `PROPTEST_CASES` says how many are tried.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    Access, Address, Error, RefEdit, Refs, commit,
    list::{read_advertisement, read_two},
    packet::{Packet, Packets, write_line},
    refs::is_id,
    report::Hearing,
    talk::{self, Talk},
    tree,
};

fn access() -> Access {
    super::prepare().unwrap();
    Access::anonymous(Address::parse("http://git.example/r.git", false).unwrap())
}

/// An answer, and the damage that is done to it: bytes changed, put in, or lost.
fn damage() -> impl Strategy<Value = Vec<(u8, prop::sample::Index, u8)>> {
    vec((0..3_u8, any::<prop::sample::Index>(), any::<u8>()), 1..6)
}

fn damaged(answer: &[u8], damage: &[(u8, prop::sample::Index, u8)]) -> Vec<u8> {
    let mut answer = answer.to_vec();
    for (how, at, byte) in damage {
        let at = at.index(answer.len() + 1);
        match how {
            0 if at < answer.len() => answer[at] = *byte,
            1 if at < answer.len() => drop(answer.remove(at)),
            _ => answer.insert(at, *byte),
        }
    }
    answer
}

/// Names that refs have, and some that none may have.
fn names() -> impl Strategy<Value = String> {
    let part = select(&["a", "b-c", "v1", "ü", "..", ".git", "x.lock", "", "~", "@{"][..]);
    let place = select(&["refs/heads/", "refs/tags/", "refs/notes/", ""][..]);
    (place, vec(part, 1..4)).prop_map(|(place, parts)| format!("{place}{}", parts.join("/")))
}

fn ids() -> impl Strategy<Value = String> {
    vec(select(&[b'0', b'1', b'a', b'f'][..]), 40)
        .prop_map(|digits| String::from_utf8(digits).unwrap())
}

fn edit(name: &str) -> RefEdit {
    RefEdit {
        name: name.into(),
        from: None,
        to: Some("a".repeat(40)),
    }
}

type Told = BTreeMap<String, (String, Option<String>)>;

/// Refs as a server tells them: name, id, and the commit behind a tag.
fn told() -> impl Strategy<Value = Told> {
    prop::collection::btree_map(names(), (ids(), prop::option::of(ids())), 0..12)
}

/// Returns those of the refs that a repository can hold.
fn possible(told: &Told) -> Refs {
    let mut refs = Refs::default();
    for (name, (id, commit)) in told {
        refs.insert(name, id, commit.as_deref());
    }
    refs
}

fn checked(refs: &Refs) -> Result<(), TestCaseError> {
    for (name, target) in refs.iter() {
        prop_assert!(git2::Reference::is_valid_name(name), "{name:?}");
        prop_assert!(is_id(&target.id) && is_id(&target.commit), "{target:?}");
    }
    Ok(())
}

/// Writes refs as a server of protocol 2 does.
fn answer_of_two(told: &Told) -> Vec<u8> {
    let mut answer = Vec::new();
    for (name, (id, commit)) in told {
        let peeled = commit.as_ref().map(|commit| format!(" peeled:{commit}"));
        let peeled = peeled.unwrap_or_default();
        write_line(&mut answer, &format!("{id} {name}{peeled}\n"));
    }
    answer.extend_from_slice(b"0000");
    answer
}

/// Writes refs as a server of the original protocol does.
fn advertisement(told: &Told) -> Vec<u8> {
    let mut answer = Vec::new();
    write_line(&mut answer, "# service=git-upload-pack\n");
    answer.extend_from_slice(b"0000");
    let mut abilities = "\0side-band-64k ofs-delta";
    for (name, (id, commit)) in told {
        write_line(&mut answer, &format!("{id} {name}{abilities}\n"));
        abilities = "";
        if let Some(commit) = commit {
            write_line(&mut answer, &format!("{commit} {name}^{{}}\n"));
        }
    }
    answer.extend_from_slice(b"0000");
    answer
}

/// Returns every frame of a stream, and how it ended.
fn frames(bytes: &[u8]) -> (Vec<String>, Result<(), std::io::ErrorKind>) {
    let mut packets = Packets::new(bytes);
    let mut seen = Vec::new();
    loop {
        match packets.next() {
            Ok(Some(packet)) => seen.push(format!("{packet:?}")),
            Ok(None) => return (seen, Ok(())),
            Err(error) => return (seen, Err(error.kind())),
        }
    }
}

proptest! {
    #[test]
    fn lines_are_read_back_and_a_stream_cut_within_one_is_told(
        lines in vec("[ -~]{0,40}", 0..8), cut in any::<prop::sample::Index>()
    ) {
        let mut bytes = Vec::new();
        let mut ends = vec![0];
        for line in &lines {
            write_line(&mut bytes, line);
            ends.push(bytes.len());
        }
        let expected: Vec<String> = lines
            .iter()
            .map(|line| format!("{:?}", Packet::Data(line.as_bytes())))
            .collect();
        prop_assert_eq!(frames(&bytes), (expected.clone(), Ok(())));
        let cut = cut.index(bytes.len() + 1);
        let (seen, end) = frames(&bytes[..cut]);
        prop_assert_eq!(&seen[..], &expected[..seen.len()]);
        prop_assert_eq!(end.is_ok(), ends.contains(&cut));
    }

    #[test]
    fn whatever_bytes_come_as_frames_there_is_an_end(bytes in vec(any::<u8>(), 0..300)) {
        let (seen, _) = frames(&bytes);
        prop_assert!(seen.len() <= bytes.len() / 4);
    }

    #[test]
    fn a_list_of_refs_is_what_was_told_and_never_less(
        told in told(), cut in any::<prop::sample::Index>(), damage in damage()
    ) {
        let access = access();
        let agent = talk::agent(&access).unwrap();
        let talk = Talk::new(&access, &agent);
        let expected = possible(&told);
        let answer = answer_of_two(&told);
        prop_assert_eq!(read_two(talk, &answer[..]).unwrap(), expected.clone());
        let cut = cut.index(answer.len());
        prop_assert!(read_two(talk, &answer[..cut]).is_err(), "cut at {}", cut);
        if let Ok(refs) = read_two(talk, &damaged(&answer, &damage)[..]) {
            checked(&refs)?;
        }
    }

    #[test]
    fn an_advertisement_is_what_was_told_and_never_less(
        told in told(), cut in any::<prop::sample::Index>(), damage in damage()
    ) {
        let access = access();
        let agent = talk::agent(&access).unwrap();
        let talk = Talk::new(&access, &agent);
        let expected = possible(&told);
        let answer = advertisement(&told);
        prop_assert_eq!(read_advertisement(talk, &answer[..]).unwrap(), Some(expected));
        let cut = cut.index(answer.len());
        prop_assert!(read_advertisement(talk, &answer[..cut]).is_err(), "cut at {}", cut);
        if let Ok(Some(refs)) = read_advertisement(talk, &damaged(&answer, &damage)[..]) {
            checked(&refs)?;
        }
    }

    #[test]
    fn a_push_counts_as_done_only_where_the_report_says_so(
        fates in prop::collection::btree_map("refs/heads/[a-e]{1,3}", prop::option::of("[a-z ]{1,20}"), 1..6),
        banded in any::<bool>(), step in 1..40_usize, cut in any::<prop::sample::Index>(), damage in damage()
    ) {
        let access = access();
        let agent = talk::agent(&access).unwrap();
        let talk = Talk::new(&access, &agent);
        let mut report = Vec::new();
        write_line(&mut report, "unpack ok\n");
        for (name, fate) in &fates {
            let line = fate.as_ref().map_or_else(|| format!("ok {name}\n"), |why| format!("ng {name} {why}\n"));
            write_line(&mut report, &line);
        }
        report.extend_from_slice(b"0000");
        let mut answer = report.clone();
        if banded {
            answer.clear();
            for piece in report.chunks(step) {
                answer.extend_from_slice(format!("{:04x}\u{1}", piece.len() + 5).as_bytes());
                answer.extend_from_slice(piece);
            }
            answer.extend_from_slice(b"0000");
        }
        let edits: Vec<RefEdit> = fates.keys().map(|name| edit(name)).collect();
        let read = |bytes: &[u8]| Hearing::new(banded).read(talk, bytes, &edits);
        let heard = read(&answer).unwrap();
        for (name, fate) in &fates {
            let said = &heard.statuses[name];
            prop_assert_eq!(said.is_none(), fate.is_none(), "{} {:?}", name, said);
        }
        // Of what was cut off nothing is known to have failed, or to have been done.
        match read(&answer[..cut.index(answer.len())]) {
            Ok(part) => prop_assert_eq!(part.statuses, heard.statuses),
            Err(error) => prop_assert!(matches!(error, Error::Uncertain(_)), "{error:?}"),
        }
        let _ = read(&damaged(&answer, &damage));
    }

    #[test]
    fn any_bytes_are_read_as_a_commit(bytes in vec(any::<u8>(), 0..300), words in "[ -~\n]{0,200}") {
        commit::parse(&bytes);
        let text = format!("tree {0}\nparent {0}\nauthor {words}\n\nkpt:{words}", "a".repeat(40));
        commit::parse(text.as_bytes());
    }

    #[test]
    fn trees_are_read_back_and_any_bytes_have_an_end(
        entries in vec((select(&["100644", "100755", "120000", "40000", "160000"][..]), "[ -~]{1,20}", vec(any::<u8>(), 20)), 0..8),
        damage in damage(),
    ) {
        let mut bytes = Vec::new();
        for (mode, name, id) in &entries {
            bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            bytes.extend_from_slice(id);
        }
        let read: Result<Vec<_>, _> = tree::entries(&bytes).collect();
        let read = read.unwrap();
        prop_assert_eq!(read.len(), entries.len());
        for (read, (mode, name, id)) in read.iter().zip(&entries) {
            prop_assert_eq!(read.digits, mode.as_bytes());
            prop_assert_eq!(read.name, name.as_bytes());
            prop_assert_eq!(read.id.as_bytes(), &id[..]);
        }
        let hurt = damaged(&bytes, &damage);
        let read: Vec<_> = tree::entries(&hurt).collect();
        prop_assert!(read.len() <= hurt.len());
        let broken = read.iter().position(Result::is_err);
        prop_assert!(broken.is_none_or(|at| at + 1 == read.len()), "nothing follows what can't be read");
    }
}
