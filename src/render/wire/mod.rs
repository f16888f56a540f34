//! The list of a function as text, for functions that are elsewhere: a `ResourceList` in YAML.
//!
//! Out goes the list, each resource with its comments and with annotations that say where it is kept. In comes what the function
//! made of it; what it left as it was is what it was, to the byte, and what it wrote anew keeps the comments and the order of before.

mod annotations;
mod decode;
mod encode;
mod results;
mod split;

pub use decode::decode;
pub use encode::encode;

/// Most bytes of what a function may answer: twice what a package may have, as it says where everything is kept.
pub const MOST_BYTES_OF_ANSWER: usize = 2 * crate::package::MOST_BYTES;

#[cfg(test)]
mod tests;
