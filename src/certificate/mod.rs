//! X.509: what a certificate says, and new ones made.
//!
//! In come certificates as bytes; out go names and times, or new certificates with their keys. Whether a certificate is to
//! be believed is not asked here: whoever reads one must have verified it first. Keys are never printed.

mod make;
mod read;

pub use make::{Authority, Pair, self_signed};
pub use read::{Details, details, pem_chain};

/// Why a certificate can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its bytes are no certificate: another one is needed.
    #[error("this is no X.509 certificate: {0}")]
    Malformed(&'static str),
    /// There is no certificate, or no key, where one is expected: the file or the Secret must change.
    #[error("{0}")]
    Missing(String),
    /// A new one can't be made.
    #[error("a certificate can't be made: {0}")]
    Making(#[from] rcgen::Error),
}
