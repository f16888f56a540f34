//! For whom a front proxy speaks: its headers, read as Kubernetes reads them. Whether it is one was decided before.

use http::{HeaderMap, HeaderValue};
use percent_encoding::percent_decode_str;

use super::Identity;

/// What a front proxy's headers are called; of several names each counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// For the user's name.
    pub user: Vec<String>,
    /// For the user's UID.
    pub uid: Vec<String>,
    /// For the groups, one a header.
    pub group: Vec<String>,
    /// What the headers of everything else begin with.
    pub extra: Vec<String>,
}

impl Default for Headers {
    /// Returns the names that kube-apiserver uses unless it is told otherwise.
    fn default() -> Self {
        let one = |name: &str| vec![name.to_owned()];
        Self {
            user: one("X-Remote-User"),
            uid: one("X-Remote-Uid"),
            group: one("X-Remote-Group"),
            extra: one("X-Remote-Extra-"),
        }
    }
}

impl Headers {
    /// Returns for whom the proxy speaks; nothing if it names no user, or in no known encoding.
    pub(super) fn read(&self, headers: &HeaderMap) -> Option<Identity> {
        let mut identity = Identity {
            user: values(headers, &self.user)?.into_iter().next()?,
            uid: values(headers, &self.uid)?
                .into_iter()
                .next()
                .unwrap_or_default(),
            groups: values(headers, &self.group)?,
            ..Identity::default()
        };
        for prefix in &self.extra {
            let prefix = prefix.to_ascii_lowercase();
            for (name, value) in headers {
                if let Some(key) = name.as_str().strip_prefix(&*prefix) {
                    let values = identity.extra.entry(decoded(key)).or_default();
                    values.push(text(value)?);
                }
            }
        }
        Some(identity.known())
    }
}

/// Returns what is said under these names, in their order, without what is empty; nothing if a part is not UTF-8.
fn values(headers: &HeaderMap, names: &[String]) -> Option<Vec<String>> {
    let said = names.iter().flat_map(|name| headers.get_all(name));
    let said: Option<Vec<String>> = said.map(text).collect();
    Some(said?.into_iter().filter(|text| !text.is_empty()).collect())
}

/// Returns a value, which may be any UTF-8: users have names.
fn text(value: &HeaderValue) -> Option<String> {
    String::from_utf8(value.as_bytes().into()).ok()
}

/// Returns the key that a header's name ends with; one that is not percent-encoded as it should be stands for itself.
fn decoded(key: &str) -> String {
    let sound = key.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    let decoded = percent_decode_str(key).decode_utf8();
    match decoded {
        Ok(decoded) if sound => decoded.into(),
        _ => key.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(said: &[(&str, &[u8])]) -> Option<Identity> {
        let mut headers = HeaderMap::new();
        for (name, value) in said {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        Headers::default().read(&headers)
    }

    #[test]
    fn a_user_is_who_the_headers_say_with_groups_uid_and_extra() {
        let identity = read(&[
            ("X-Remote-User", b""),
            ("X-Remote-User", "jürgen".as_bytes()),
            ("X-Remote-User", b"second"),
            ("X-Remote-Uid", b"7"),
            ("X-Remote-Group", b"a"),
            ("X-Remote-Group", b""),
            ("X-Remote-Group", b"b"),
            ("X-Remote-Extra-Scopes", b"one"),
            ("X-Remote-Extra-Scopes", b"two"),
            ("X-Remote-Extra-Example.com%2fKey", b"x"),
            ("X-Remote-Extra-Odd%2", b"y"),
            ("Authorization", b"Bearer ignored"),
        ]);
        let identity = identity.unwrap();
        assert_eq!((&*identity.user, &*identity.uid), ("jürgen", "7"));
        assert_eq!(identity.groups, ["a", "b", "system:authenticated"]);
        let extra: Vec<(&str, &[String])> = identity
            .extra
            .iter()
            .map(|(key, values)| (&**key, &**values))
            .collect();
        assert_eq!(
            extra,
            [
                ("example.com/key", &["x".to_owned()][..]),
                ("odd%2", &["y".to_owned()][..]),
                ("scopes", &["one".to_owned(), "two".into()][..]),
            ]
        );
    }

    #[test]
    fn nobody_is_somebody_only_by_name() {
        assert_eq!(read(&[("X-Remote-Group", b"system:masters")]), None);
        assert_eq!(read(&[("X-Remote-User", b"\xff")]), None);
        let twice = read(&[
            ("X-Remote-User", b"u"),
            ("X-Remote-Group", b"system:authenticated"),
        ]);
        assert_eq!(twice.unwrap().groups, ["system:authenticated"]);
        let nobody = read(&[
            ("X-Remote-User", b"system:anonymous"),
            ("X-Remote-Group", b"system:unauthenticated"),
        ]);
        assert_eq!(nobody.unwrap().groups, ["system:unauthenticated"]);
    }
}
