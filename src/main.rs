//! Porch.
fn main() {}
