//! What Git says, settled into records; what the records say, fed into the cache.

mod feed;
mod marker;
mod touches;

pub use feed::Feed;
