//! Package revisions.
