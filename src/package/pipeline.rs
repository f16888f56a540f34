//! Whether a package has functions that must run before it can be stored.

use serde_json::Value;

use super::{Files, KPTFILE, files::name_of};
use crate::yaml;

/// Returns the path of the first Kptfile, at the root or in a subpackage, that has a mutator or validator; nothing if none has.
/// One that can't be read has none that could be run.
#[must_use]
pub fn has_pipeline(files: &Files) -> Option<&str> {
    let mut kptfiles = files.iter().filter(|(path, _)| name_of(path) == KPTFILE);
    let found = kptfiles.find(|(_, content)| has_functions(content));
    found.map(|(path, _)| path.as_str())
}

fn has_functions(content: &[u8]) -> bool {
    let text = std::str::from_utf8(content).unwrap_or_default();
    let kptfile: Value = yaml::from_str(text).unwrap_or_default();
    ["/pipeline/mutators", "/pipeline/validators"]
        .iter()
        .filter_map(|list| kptfile.pointer(list))
        .any(|list| !list.is_null() && list.as_array().is_none_or(|list| !list.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_kptfile_with_a_function_is_found() {
        for (kptfiles, want) in [
            (vec![("Kptfile", "kind: Kptfile\n")], None),
            (vec![("Kptfile", "pipeline:\n")], None),
            (
                vec![("Kptfile", "pipeline: {mutators: [], validators: }\n")],
                None,
            ),
            (
                vec![
                    ("Kptfile", "not: [yaml"),
                    ("Kptfile.yaml", "pipeline: {mutators: [{image: i}]}"),
                ],
                None,
            ),
            (
                vec![("Kptfile", "pipeline: {mutators: [{image: i}]}")],
                Some("Kptfile"),
            ),
            (
                vec![("Kptfile", "pipeline: {validators: [{exec: e}]}")],
                Some("Kptfile"),
            ),
            (
                vec![("Kptfile", "pipeline: {validators: odd}")],
                Some("Kptfile"),
            ),
            (
                vec![
                    ("Kptfile", ""),
                    ("a/b/Kptfile", "pipeline: {mutators: [{}]}"),
                ],
                Some("a/b/Kptfile"),
            ),
        ] {
            let files: Files = kptfiles
                .iter()
                .map(|(path, text)| ((*path).into(), text.as_bytes().to_vec()))
                .collect();
            assert_eq!(has_pipeline(&files), want, "{kptfiles:?}");
        }
    }
}
