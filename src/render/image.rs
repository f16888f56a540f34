//! Images of functions: whether a text names one, its parts, and the whole name of one that is written short.

/// The prefix of images that are written without one, as upstream has it.
pub const DEFAULT_IMAGE_PREFIX: &str = "ghcr.io/kptdev/krm-functions-catalog/";

/// Returns the whole name of an image: with the prefix if it has no directory, with `tag` in the place of its own tag or digest if that is
/// not empty, and with the tag `latest` if it has none at all.
///
/// # Errors
/// `tag` is none. Constraints on versions, which are answered by a registry, are none.
pub(super) fn resolved(image: &str, tag: &str, prefix: &str) -> Result<String, String> {
    let prefix = if image.contains('/') { "" } else { prefix };
    let slash = if prefix.is_empty() || prefix.ends_with('/') {
        ""
    } else {
        "/"
    };
    let image = format!("{prefix}{slash}{image}");
    let (name, own_tag, digest) = parts(&image);
    if tag.is_empty() {
        let is_complete = own_tag.is_some() || digest.is_some();
        return Ok(if is_complete {
            image
        } else {
            format!("{image}:latest")
        });
    }
    if is_tag(tag) {
        return Ok(format!("{name}:{tag}"));
    }
    Err(format!(
        "no tag could be found matching the version constraint {tag:?}"
    ))
}

/// Returns whether a text names an image: `[host[:port]/]path[:tag][@sha256:digest]`.
pub(super) fn is_image(image: &str) -> bool {
    let (name, tag, digest) = parts(image);
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => {
            (Some(host), path)
        }
        _ => (None, name),
    };
    host.is_none_or(is_host)
        && path.split('/').all(is_component)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest)
}

/// Returns the name, the tag and the digest.
pub(super) fn parts(image: &str) -> (&str, Option<&str>, Option<&str>) {
    let (rest, digest) = match image.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (image, None),
    };
    match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag), digest),
        _ => (rest, None, digest),
    }
}

fn is_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "0"));
    let is_label = |label: &str| {
        let is_inside = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty()
            && label.chars().all(is_inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.split('.').all(is_label) && !port.is_empty() && port.chars().all(|c| c.is_ascii_digit())
}

/// Returns whether a text is the last part of an image's path.
pub(super) fn is_name(text: &str) -> bool {
    is_component(text)
}

/// Returns whether a text is words of small letters and digits with separators between.
fn is_component(part: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = part.split(is_word).filter(|between| !between.is_empty());
    let is_separator =
        |between: &str| matches!(between, "." | "_" | "__") || between.chars().all(|c| c == '-');
    part.starts_with(is_word) && part.ends_with(is_word) && separators.into_iter().all(is_separator)
}

/// Returns whether a text is a tag of an image.
pub(super) fn is_tag(tag: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= 128
        && tag.starts_with(is_word)
        && tag.chars().all(|c| is_word(c) || ".-".contains(c))
}

fn is_digest(digest: &str) -> bool {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_becomes_a_whole_one() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (image, tag, want) in [
            ("set-labels", "", "p.io/c/set-labels:latest".to_owned()),
            ("set-labels:v1", "", "p.io/c/set-labels:v1".into()),
            ("set-labels:v1", "v0.2.0", "p.io/c/set-labels:v0.2.0".into()),
            ("ghcr.io/x/y", "", "ghcr.io/x/y:latest".into()),
            ("localhost:5000/y", "v2", "localhost:5000/y:v2".into()),
            (&format!("x/y@{digest}"), "", format!("x/y@{digest}")),
            (&format!("x/y:v1@{digest}"), "v2", "x/y:v2".into()),
        ] {
            assert_eq!(resolved(image, tag, "p.io/c").unwrap(), want);
            assert_eq!(resolved(image, tag, "p.io/c/").unwrap(), want);
        }
        let told = resolved("x", ">= 0.1, < 1", "p/").unwrap_err();
        assert!(told.ends_with("constraint \">= 0.1, < 1\""), "{told}");
    }

    #[test]
    fn what_is_no_image_is_told() {
        let digest = format!("a@sha256:{}", "0".repeat(64));
        for image in [
            "a",
            "a/b",
            "a-b__c.d--e:v1.2_3-x",
            "ghcr.io/a/b",
            "localhost:5000/a",
            "Host.io/a",
            &digest,
        ] {
            assert!(is_image(image), "{image}");
        }
        for image in [
            "",
            "A",
            "a/B",
            "a b",
            "a:",
            "a:-x",
            "-a",
            "a-",
            "a..b",
            "a//b",
            "/a",
            "a@sha256:0",
            "a@md5:0",
            "a.io:x/b",
            "a___b",
            "$(x)/y",
        ] {
            assert!(!is_image(image), "{image}");
        }
    }
}
