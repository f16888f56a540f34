//! Which images are functions of this program, if no FunctionConfig says otherwise: those of the kpt functions catalogue, in the
//! versions that do what these do. Pure.

use super::image::{DEFAULT_IMAGE_PREFIX, parts};

/// Where the images of the catalogue are, now and earlier.
const HOMES: &[&str] = &[DEFAULT_IMAGE_PREFIX, "gcr.io/kpt-fn/"];

/// Names with the versions: `v0.4` stands for each of its patches too. In the catalogue a patch does not change what a function
/// does, and another number before it may; so each has one, but for two whose numbers differ in other things than what is here:
/// `set-labels` looks into the same fields in both, and the scripts that `starlark` runs are the same.
const FUNCTIONS: &[(&str, &[&str])] = &[
    ("apply-replacements", &["v0.1"]),
    ("apply-setters", &["v0.2"]),
    ("create-setters", &["v0.1"]),
    ("ensure-name-substring", &["v0.2"]),
    ("search-replace", &["v0.2"]),
    ("set-annotations", &["v0.1"]),
    ("set-image", &["v0.1"]),
    ("set-labels", &["v0.1", "v0.2"]),
    ("set-namespace", &["v0.4"]),
    ("starlark", &["v0.4", "v0.5"]),
    ("upsert-resource", &["v0.2"]),
];

/// Versions that do something else than those after them: of a function, by these very tags, the name of how it was.
const EARLIER: &[(&str, &[&str], &str)] = &[(
    "apply-replacements",
    &["v0.1.0", "v0.1.1"],
    "apply-replacements-v0.1.1",
)];

/// Returns the name of the function of this program that an image stands for, in the catalogue or below `home`; nothing for one
/// from elsewhere, for another version, and for a digest, which says exactly which image is meant.
#[must_use]
pub fn catalogued(image: &str, home: &str) -> Option<&'static str> {
    let homes = HOMES.iter().chain([&home]);
    let here = homes.filter(|home| !home.is_empty()).find_map(|home| {
        let below = image.strip_prefix(home.trim_end_matches('/'))?;
        below.strip_prefix('/')
    });
    let (name, tag, digest) = parts(here.unwrap_or(image));
    if digest.is_some() {
        return None;
    }
    let tag = tag.unwrap_or(LATEST);
    let (name, versions) = FUNCTIONS.iter().find(|(known, _)| *known == name)?;
    let known = |version: &&str| {
        let patch = tag.strip_prefix(*version);
        patch.is_some_and(|patch| patch.is_empty() || is_patch(patch))
    };
    let mut earlier = EARLIER.iter();
    let earlier = earlier.find(|(one, tags, _)| one == name && tags.contains(&tag));
    let name = earlier.map_or(*name, |(.., earlier)| earlier);
    (tag == LATEST || versions.iter().any(known)).then_some(name)
}

/// Returns the names of the functions of this program, with those that a few earlier versions have.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let earlier = EARLIER.iter().map(|(.., name)| *name);
    FUNCTIONS.iter().map(|(name, _)| *name).chain(earlier)
}

/// Returns the function of this program that has this name.
pub(super) fn named(name: &str) -> Option<&'static str> {
    names().find(|known| *known == name)
}

/// The tag of an image that names none.
pub(super) const LATEST: &str = "latest";

fn is_patch(text: &str) -> bool {
    let number = text.strip_prefix('.').unwrap_or_default();
    !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::native;

    #[test]
    fn images_of_the_catalogue_are_known_by_name_and_version() {
        for (image, name) in [
            (
                "ghcr.io/kptdev/krm-functions-catalog/set-namespace:v0.4.5",
                Some("set-namespace"),
            ),
            ("gcr.io/kpt-fn/set-namespace:v0.4.1", Some("set-namespace")),
            ("set-namespace:v0.4", Some("set-namespace")),
            ("set-namespace", Some("set-namespace")),
            ("set-namespace:latest", Some("set-namespace")),
            ("set-namespace:v0.41", None),
            // What others did under the same name.
            ("gcr.io/kpt-fn/set-namespace:v0.3.4", None),
            ("gcr.io/kpt-fn/starlark:v0.3.0", None),
            ("apply-setters:v0.1", None),
            ("set-namespace:v0.4.x", None),
            ("set-namespace:v0.4.", None),
            ("set-namespace:v9", None),
            ("gcr.io/kpt-fn/starlark:v0.4.3", Some("starlark")),
            (
                "gcr.io/kpt-fn/apply-replacements:v0.1.1",
                Some("apply-replacements-v0.1.1"),
            ),
            (
                "apply-replacements:v0.1.0",
                Some("apply-replacements-v0.1.1"),
            ),
            ("apply-replacements:v0.1", Some("apply-replacements")),
            ("apply-replacements:v0.1.11", Some("apply-replacements")),
            ("apply-replacements", Some("apply-replacements")),
            ("docker.io/me/set-namespace:v0.4", None),
            ("gcr.io/kpt-fn/set-namespace@sha256:0123", None),
            ("gcr.io/kpt-fn/set-namespace:v0.4@sha256:0123", None),
            ("kubeconform:v0.1", None),
            ("", None),
        ] {
            assert_eq!(catalogued(image, ""), name, "{image}");
        }
    }

    #[test]
    fn a_mirror_of_the_catalogue_is_one_too() {
        let image = "registry.example.com/mirror/set-namespace:v0.4";
        assert_eq!(catalogued(image, ""), None);
        for home in [
            "registry.example.com/mirror",
            "registry.example.com/mirror/",
        ] {
            assert_eq!(catalogued(image, home), Some("set-namespace"));
        }
    }

    #[test]
    fn whatever_is_in_the_table_is_in_this_program() {
        for name in names() {
            assert!(native(name).is_some(), "{name}");
        }
    }
}
