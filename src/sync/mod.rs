//! What Git says, settled into records; what the records say, fed into the cache.

pub mod schedule;
