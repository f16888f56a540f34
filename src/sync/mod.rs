//! What Git says, settled into records; what the records say, fed into the cache.

mod feed;
mod marker;
pub mod schedule;

pub use feed::Feed;
