//! To be.

mod seed;

pub use seed::{Step, seed};
