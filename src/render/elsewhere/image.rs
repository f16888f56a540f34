//! Which files an image stands for in a directory of executables. Text in, names of files out; nothing that leads out of a directory.

use crate::render::image::parts;

/// Returns the names of the files that may be an image's executable, best first: `NAME@TAG` for exactly this tag, and `NAME` for any.
/// `NAME` is the last part of the image's path. An image by digest has none: no file is known to be what was pinned.
/// Neither has one that would lead out of a directory.
pub(super) fn file_names(image: &str) -> Vec<String> {
    let is_way_out = image.split('/').any(|part| matches!(part, "" | "." | ".."));
    let (path, tag, digest) = parts(image);
    if is_way_out || digest.is_some() {
        return Vec::new();
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    if !is_word(name) || tag.is_some_and(|tag| !is_word(tag)) {
        return Vec::new();
    }
    let exact = tag.map(|tag| format!("{name}@{tag}"));
    exact.into_iter().chain([name.to_string()]).collect()
}

/// Returns whether a text can be a part of a file's name: what images may have, and not beginning with a dot or a dash.
fn is_word(text: &str) -> bool {
    let is_sign = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(is_sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_stand_for_files_in_the_directory_only() {
        for (image, names) in [
            (
                "ghcr.io/a/set-labels:v0.2",
                &["set-labels@v0.2", "set-labels"][..],
            ),
            ("localhost:5000/a/set-labels", &["set-labels"]),
            ("set-labels:v1", &["set-labels@v1", "set-labels"]),
            ("a/set-labels@sha256:00", &[]),
            ("a/..", &[]),
            ("a/.", &[]),
            ("a/", &[]),
            ("", &[]),
            ("a/.hidden", &[]),
            ("a/-rf", &[]),
            ("a/b:../../c", &[]),
            ("a/b:..", &[]),
            ("a/b\\c", &[]),
            ("a/b\0", &[]),
            ("a/b c", &[]),
        ] {
            assert_eq!(file_names(image), names, "{image:?}");
        }
    }
}
