//! Whole documents written out. Strings that an older reader would take for something else (`on`, `0644`) are quoted.

use serde::Serialize;

/// Returns the value as one YAML document.
///
/// # Errors
/// If the value holds what YAML can't, such as a map with maps for keys.
pub fn to_string<T: Serialize>(value: &T) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(value)
}
