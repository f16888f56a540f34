//! Who owns which field of an object that is written, if that is kept.
//!
//! In comes an object as it will be; out goes the same with its owners said in its metadata. The clock is read here: to the
//! second, as metadata has it.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    decoder::Decoder,
    metadata::{OWNERS, member},
};
use crate::apiserver::{Author, Failure, Owner, Owners, Ownership, PatchKind, Verb, Write};

fn ownership(decoder: &Decoder) -> Ownership<'_> {
    Ownership {
        shape: &decoder.shape,
        api_version: &decoder.api_version,
        halves: false,
        maker: decoder.maker,
    }
}

fn author(write: &Write) -> Author {
    let now = Timestamp::now();
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    Author {
        owner: Owner {
            manager: write.options.field_manager.clone(),
            applies: write.verb == Verb::Patch(PatchKind::Apply),
            subresource: write.subresource.clone(),
        },
        now: now.to_string().into(),
        force: write.options.force,
    }
}

/// Says that whoever makes an object owns all of it.
pub(super) fn begin(decoder: &Decoder, object: &mut Value, write: &Write) {
    let (ownership, author) = (ownership(decoder), author(write));
    let owners = if author.owner.applies {
        Some(ownership.begin(object, &author))
    } else {
        ownership.track(None, object, &author)
    };
    if let Some(owners) = owners {
        owners.write(member(object, "metadata"));
    }
}

/// Returns what is wrong with an object that is to be applied.
pub(super) fn faults(decoder: &Decoder, applied: &Value) -> Vec<String> {
    ownership(decoder).faults(applied)
}

/// Returns what `live` becomes when `applied` is applied to it, and who then owns what.
///
/// # Errors
/// [`Failure::ApplyConflict`] if others own what would change.
pub(super) fn apply(
    decoder: &Decoder,
    live: &Value,
    applied: &Value,
    write: &Write,
) -> Result<(Value, Owners), Failure> {
    ownership(decoder).apply(live, applied, &author(write))
}

/// Says who owns what after a change of `live` that was no apply. One who says it himself is believed, but for a
/// subresource; one who says that it is nobody makes it be forgotten.
pub(super) fn go_on(decoder: &Decoder, live: &Value, object: &mut Value, write: &Write) {
    let said = object["metadata"].get(OWNERS).is_some();
    if !said || !write.subresource.is_empty() {
        keep(live, object);
    }
    let owners = ownership(decoder).track(Some(live), object, &author(write));
    owners.unwrap_or_default().write(member(object, "metadata"));
}

/// Leaves the owners as they are.
pub(super) fn keep(live: &Value, object: &mut Value) {
    let metadata = member(object, "metadata");
    match live["metadata"].get(OWNERS) {
        Some(owners) => metadata.insert(OWNERS.into(), owners.clone()),
        None => metadata.shift_remove(OWNERS),
    };
}
