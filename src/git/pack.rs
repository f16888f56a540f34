//! New objects as one pack (gitformat-pack, version 2). No deltas: what is new is small, and packs without them can be
//! joined by writing their objects one after the other.

use std::{
    collections::BTreeMap,
    fmt,
    io::Write,
    sync::{Arc, OnceLock},
};

use flate2::{Compression, write::ZlibEncoder};
use git2::{ObjectType, Oid};

/// An object that is in no repository yet.
pub(super) struct Object {
    pub(super) id: Oid,
    pub(super) kind: ObjectType,
    pub(super) content: Vec<u8>,
    /// As it stands in a pack. Made when first needed, and kept: a push may be repeated.
    packed: OnceLock<Vec<u8>>,
}

impl Object {
    /// Returns the object of this content.
    pub(super) fn new(id: Oid, kind: ObjectType, content: Vec<u8>) -> Self {
        let packed = OnceLock::new();
        Self {
            id,
            kind,
            content,
            packed,
        }
    }

    fn packed(&self) -> &[u8] {
        self.packed.get_or_init(|| pack(self.kind, &self.content))
    }
}

/// New objects, to be sent with the refs that need them. Clones share them.
#[derive(Clone, Default)]
pub struct Pack {
    objects: Arc<BTreeMap<Oid, Arc<Object>>>,
}

impl Pack {
    /// Returns the pack of these objects.
    pub(super) fn of(objects: BTreeMap<Oid, Arc<Object>>) -> Self {
        let objects = Arc::new(objects);
        Self { objects }
    }

    /// Returns one pack with the objects of all.
    #[must_use]
    pub fn joined(packs: &[Self]) -> Self {
        match packs {
            [one] => one.clone(),
            all => {
                let pairs = all.iter().flat_map(|pack| pack.objects.iter());
                Self::of(pairs.map(|(id, object)| (*id, object.clone())).collect())
            }
        }
    }

    /// Returns how many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Appends the bytes of the pack; of an empty one too, as servers want one with every ref that is made or moved.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        let count = u32::try_from(self.objects.len()).expect("memory holds fewer objects");
        out.extend_from_slice(b"PACK\0\0\0\x02");
        out.extend_from_slice(&count.to_be_bytes());
        for object in self.objects.values() {
            out.extend_from_slice(object.packed());
        }
        let hash = sha1_smol::Sha1::from(&out[begin..]).digest();
        out.extend_from_slice(&hash.bytes());
    }

    /// Returns the bytes of the pack.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// Returns the commits among the objects.
    pub(super) fn commits(&self) -> Vec<Oid> {
        let commits = self
            .objects()
            .filter(|object| object.kind == ObjectType::Commit);
        commits.map(|object| object.id).collect()
    }

    /// Returns the objects.
    pub(super) fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values()
    }
}

impl fmt::Debug for Pack {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Pack({} objects)", self.objects.len())
    }
}

/// Returns an object as it stands in a pack: kind and size in as few bytes as possible, then the content, compressed.
fn pack(kind: ObjectType, content: &[u8]) -> Vec<u8> {
    let kind = match kind {
        ObjectType::Commit => 1,
        ObjectType::Tree => 2,
        ObjectType::Tag => 4,
        ObjectType::Blob | ObjectType::Any => 3,
    };
    let mut size = content.len();
    let mut out = Vec::with_capacity(size / 2 + 16);
    let mut byte = kind << 4 | low_bits(size, 4);
    size >>= 4;
    while size > 0 {
        out.push(byte | 0x80);
        byte = low_bits(size, 7);
        size >>= 7;
    }
    out.push(byte);
    let mut encoder = ZlibEncoder::new(out, Compression::fast());
    encoder
        .write_all(content)
        .and_then(|()| encoder.finish())
        .expect("memory takes every byte")
}

fn low_bits(size: usize, count: u32) -> u8 {
    let low = size & ((1 << count) - 1);
    u8::try_from(low).expect("at most seven bits were asked for")
}
