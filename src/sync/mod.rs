//! What Git says, settled into records; what the records say, fed into the cache.

mod feed;
mod find;
mod marker;
mod touches;

pub use feed::Feed;
pub use find::Unknown;
