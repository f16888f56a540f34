//! What Git says, settled into records; what the records say, fed into the cache.

mod adopt;
mod due;
mod feed;
mod marker;
mod observe;
pub mod schedule;
mod settle;
mod subject;

pub use feed::Feed;
pub use subject::Subject;
