//! Objects from elsewhere into a mirror: one request, one pack, straight into libgit2's indexer.
//!
//! libgit2's own fetch would write a file for every new ref and knows only the original protocol. What is asked for is
//! what the mirror lacks; what is offered are ids that it holds with all their history. A pack that is cut short or
//! false leaves nothing behind.

use std::{collections::BTreeSet, io::Read};

use git2::{Indexer, Odb, OdbLookupFlags, Oid};

use super::{
    Access, Error, Mirror, Refs,
    http::AGENT,
    link::Dialect,
    list::{SERVICE, list_refs, open_local},
    packet::{Packet, Packets, text, write_line},
    packs,
    talk::{self, Talk},
};

/// The longest pack that is read, in bytes.
const LIMIT: u64 = 4 << 30;
/// How many ids are offered: enough that every branch and many tags are known, few enough for a server's patience.
const OFFERS: usize = 512;

/// Brings the objects of `refs` into a mirror whose holders' refs are `known`.
///
/// # Errors
/// Every error of a server; [`Error::Local`].
pub(super) fn fetch(
    mirror: &Mirror,
    access: &Access,
    known: &[Refs],
    refs: &Refs,
) -> Result<(), Error> {
    let odb = mirror.odb()?;
    let wants = lacking(&odb, refs);
    if wants.is_empty() {
        return Ok(());
    }
    if let Some(directory) = access.address.directory() {
        copy(mirror, &open_local(&directory)?, (&wants, known))?;
        return settled(&odb, refs);
    }
    let agent = talk::agent(access)?;
    let talk = Talk::new(access, &agent);
    if talk.dialect() == Dialect::Unknown {
        list_refs(access)?;
    }
    let offers = offers(&odb, known, refs);
    let fetched = ask(mirror, talk, &wants, &offers).and_then(|()| settled(&odb, refs));
    match fetched {
        // What the mirror says that it holds it may have lost, with what led to it: then a pack that stands on it can't be
        // read, or what is wanted is thought to be here. Only a pack that stands on nothing helps.
        Err(Error::Unpackable(why)) if !offers.is_empty() => {
            tracing::warn!(why, "everything is asked for");
            ask(mirror, talk, &wants, &[])?;
            settled(&odb, refs)
        }
        other => other,
    }
}

/// Brings what is wanted into a mirror that says that it holds what it offers.
fn ask(
    mirror: &Mirror,
    talk: Talk<'_>,
    wants: &BTreeSet<Oid>,
    offers: &[Oid],
) -> Result<(), Error> {
    match talk.dialect() {
        Dialect::Zero => download(mirror, talk, &request_zero(wants, offers), Dialect::Zero),
        _ => download(mirror, talk, &request_two(wants, offers), Dialect::Two),
    }
}

/// Returns whether everything that these refs point at is there.
///
/// # Errors
/// [`Error::Corrupt`].
pub(super) fn has_all(odb: &Odb<'_>, refs: &Refs) -> Result<bool, Error> {
    let refreshed = odb.refresh();
    refreshed.map_err(|error| Error::Corrupt(error.message().into()))?;
    Ok(lacking(odb, refs).is_empty())
}

/// Returns the ids of `refs` whose objects are not there.
fn lacking(odb: &Odb<'_>, refs: &Refs) -> BTreeSet<Oid> {
    let ids = refs
        .iter()
        .filter_map(|(_, target)| Oid::from_str(&target.id).ok());
    ids.filter(|id| !odb.exists_ext(*id, OdbLookupFlags::NO_REFRESH))
        .collect()
}

/// Checks that what was asked for has come.
///
/// # Errors
/// [`Error::Unpackable`]
fn settled(odb: &Odb<'_>, refs: &Refs) -> Result<(), Error> {
    let refreshed = odb.refresh();
    refreshed.map_err(|error| Error::Corrupt(error.message().into()))?;
    match lacking(odb, refs).first() {
        None => Ok(()),
        Some(id) => Err(Error::Unpackable(format!(
            "the server did not send object {id}"
        ))),
    }
}

/// Returns ids that the mirror holds with all their history, most useful first: branches, then the tags that are left.
fn offers(odb: &Odb<'_>, known: &[Refs], refs: &Refs) -> Vec<Oid> {
    let some = |refs: &Refs, heads: bool| -> Vec<Oid> {
        let names = refs
            .iter()
            .rev()
            .filter(|(name, _)| name.starts_with("refs/heads/") == heads);
        names
            .filter_map(|(_, target)| Oid::from_str(&target.commit).ok())
            .collect()
    };
    let all = |heads: bool| known.iter().flat_map(move |refs| some(refs, heads));
    let mut seen = BTreeSet::new();
    all(true)
        .chain(some(refs, true))
        .chain(all(false))
        .filter(|id| seen.insert(*id) && odb.exists_ext(*id, OdbLookupFlags::NO_REFRESH))
        .take(OFFERS)
        .collect()
}

fn request_two(wants: &BTreeSet<Oid>, offers: &[Oid]) -> Vec<u8> {
    let mut body = Vec::with_capacity((wants.len() + offers.len()) * 50 + 200);
    write_line(&mut body, "command=fetch\n");
    write_line(&mut body, &format!("agent={}\n", AGENT.replace(' ', "-")));
    body.extend_from_slice(b"0001");
    for line in ["thin-pack\n", "no-progress\n", "ofs-delta\n"] {
        write_line(&mut body, line);
    }
    for id in wants {
        write_line(&mut body, &format!("want {id}\n"));
    }
    for id in offers {
        write_line(&mut body, &format!("have {id}\n"));
    }
    write_line(&mut body, "done\n");
    body.extend_from_slice(b"0000");
    body
}

fn request_zero(wants: &BTreeSet<Oid>, offers: &[Oid]) -> Vec<u8> {
    let mut body = Vec::with_capacity((wants.len() + offers.len()) * 50 + 200);
    let agent = AGENT.replace(' ', "-");
    let mut abilities = format!(" side-band-64k thin-pack ofs-delta no-progress agent={agent}");
    for id in wants {
        write_line(&mut body, &format!("want {id}{abilities}\n"));
        abilities.clear();
    }
    body.extend_from_slice(b"0000");
    for id in offers {
        write_line(&mut body, &format!("have {id}\n"));
    }
    write_line(&mut body, "done\n");
    body
}

/// Sends a request and writes the pack in its answer.
fn download(mirror: &Mirror, talk: Talk<'_>, body: &[u8], dialect: Dialect) -> Result<(), Error> {
    let reader = talk.ask(SERVICE, body, dialect, LIMIT)?;
    let mut packets = Packets::new(std::io::BufReader::with_capacity(1 << 16, reader));
    skip_to_pack(talk, &mut packets, dialect)?;
    let odb = mirror.odb()?;
    let mut pack = packs::writer(mirror, &odb)?;
    let mut any = dialect == Dialect::Zero && first_of_zero(talk, &mut packets, &mut pack)?;
    loop {
        match packets.next().map_err(|error| talk.broken(&error))? {
            Some(Packet::Data([1, data @ ..])) => {
                any = true;
                packs::write(&mut pack, data)?;
            }
            Some(Packet::Data([3, words @ ..])) => return Err(talk.told(words)),
            Some(Packet::Data(_)) => {}
            Some(_) => break,
            None => return Err(Error::Protocol("the pack was cut short".into())),
        }
    }
    if any {
        packs::commit(pack).map(drop)
    } else {
        Err(Error::Protocol("the server sent no pack".into()))
    }
}

/// Reads up to where the pack begins.
fn skip_to_pack<R: Read>(
    talk: Talk<'_>,
    packets: &mut Packets<R>,
    dialect: Dialect,
) -> Result<(), Error> {
    if dialect == Dialect::Zero {
        return Ok(());
    }
    loop {
        match packets.next().map_err(|error| talk.broken(&error))? {
            Some(Packet::Data(b"packfile\n" | b"packfile")) => return Ok(()),
            Some(Packet::Data(line)) if line.starts_with(b"ERR ") => {
                return Err(talk.told(&line[4..]));
            }
            Some(Packet::Data(_) | Packet::Delimiter) => {}
            Some(_) | None => return Err(Error::Protocol("the server sent no pack".into())),
        }
    }
}

/// In the original protocol, reads the acknowledgements and the first piece of the pack that follows them.
fn first_of_zero<R: Read>(
    talk: Talk<'_>,
    packets: &mut Packets<R>,
    pack: &mut Indexer<'_>,
) -> Result<bool, Error> {
    loop {
        match packets.next().map_err(|error| talk.broken(&error))? {
            Some(Packet::Data([1, data @ ..])) => return packs::write(pack, data).map(|()| true),
            Some(Packet::Data([3, words @ ..])) => return Err(talk.told(words)),
            Some(Packet::Data([2, ..])) => {}
            Some(Packet::Data(line)) => match text(line) {
                Some(line) if line == "NAK" || line.starts_with("ACK ") => {}
                _ => return Err(talk.told(line)),
            },
            _ => return Err(Error::Protocol("the server sent no pack".into())),
        }
    }
}

/// Copies objects from a repository of this machine.
fn copy(
    mirror: &Mirror,
    from: &git2::Repository,
    (wants, known): (&BTreeSet<Oid>, &[Refs]),
) -> Result<(), Error> {
    let odb = mirror.odb()?;
    let mut pack = packs::writer(mirror, &odb)?;
    let failed = |error: git2::Error| Error::Protocol(error.message().to_string());
    let mut walk = from.revwalk().map_err(failed)?;
    let mut builder = from.packbuilder().map_err(failed)?;
    for id in wants {
        if from.find_tag(*id).is_ok() {
            builder.insert_object(*id, None).map_err(failed)?;
        }
        if let Ok(commit) = from
            .find_object(*id, None)
            .and_then(|object| object.peel_to_commit())
        {
            walk.push(commit.id()).map_err(failed)?;
        }
    }
    for id in shared(&odb, from, known) {
        walk.hide(id).map_err(failed)?;
    }
    builder.insert_walk(&mut walk).map_err(failed)?;
    packs::copy(&mut builder, &mut pack)?;
    packs::commit(pack).map(drop)
}

/// Returns the commits that the mirror's holders know and that the other repository has too.
fn shared(ours: &Odb<'_>, from: &git2::Repository, known: &[Refs]) -> BTreeSet<Oid> {
    let ids = known
        .iter()
        .flat_map(Refs::iter)
        .filter_map(|(_, target)| Oid::from_str(&target.commit).ok());
    ids.filter(|id| ours.exists(*id) && from.find_commit(*id).is_ok())
        .collect()
}
