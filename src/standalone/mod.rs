//! To be.

pub mod credentials;
pub mod demo;
