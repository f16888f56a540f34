//! Which repository a message is about. In comes what a Git server says, out go the addresses under which it knows the
//! repository, made so that the same repository is the same text however it is written. Pure; nothing in it is trusted.

use std::collections::BTreeSet;

use serde_json::Value;

/// Where servers tell addresses: keys of a repository or project (GitHub, Gitea, GitLab, Bitbucket, and anybody's own).
const KEYS: [&str; 10] = [
    "clone_url",
    "html_url",
    "ssh_url",
    "git_url",
    "url",
    "git_http_url",
    "git_ssh_url",
    "http_url",
    "web_url",
    "homepage",
];

/// Returns the addresses that a message names, each as [`same`] has it.
#[must_use]
pub fn addresses(message: &[u8]) -> BTreeSet<String> {
    let Some(message) = read(message) else {
        return BTreeSet::new();
    };
    let mut all = BTreeSet::new();
    all.extend(message["url"].as_str().and_then(same));
    for place in [&message["repository"], &message["project"]] {
        all.extend(place.as_str().and_then(same));
        let named = KEYS.iter().filter_map(|key| place[*key].as_str());
        all.extend(named.filter_map(same));
        all.extend(links(&place["links"]).into_iter().filter_map(same));
    }
    all
}

/// Returns a message that is JSON, or a form with JSON in it, as GitHub and Gitea can be told to send it.
fn read(message: &[u8]) -> Option<Value> {
    serde_json::from_slice(message).ok().or_else(|| {
        let mut fields = url::form_urlencoded::parse(message);
        let (_, payload) = fields.find(|(name, _)| name == "payload")?;
        serde_json::from_str(&payload).ok()
    })
}

/// Returns what Bitbucket links to: one address each, or a list of them.
fn links(links: &Value) -> Vec<&str> {
    let mut all = Vec::new();
    for key in ["html", "self", "clone"] {
        let link = &links[key];
        let several = link.as_array().into_iter().flatten();
        all.extend(
            several
                .chain([link])
                .filter_map(|link| link["href"].as_str()),
        );
    }
    all
}

/// Returns an address so that two are the same text if they lead to the same repository: host and path, without scheme,
/// user, a port that the scheme implies, `.git`, and case. Those that are alike though they differ cost a look too many.
#[must_use]
pub fn same(address: &str) -> Option<String> {
    let address = address.trim().to_lowercase();
    let (scheme, rest) = if let Some((scheme, rest)) = address.split_once("://") {
        (scheme, rest.to_owned())
    } else {
        // git@host:path
        let (host, path) = address.split_once(':')?;
        ("ssh", format!("{host}/{path}"))
    };
    let (authority, path) = rest.split_once('/')?;
    let host = authority.rsplit('@').next().unwrap_or_default();
    let implied = match scheme {
        "https" => host.strip_suffix(":443"),
        "http" => host.strip_suffix(":80"),
        // Behind another port than for HTTP there is the same server.
        "ssh" | "git" => host.split_once(':').map(|(host, _)| host),
        _ => None,
    };
    let path = path.trim_matches('/');
    let path = path
        .strip_suffix(".git")
        .unwrap_or(path)
        .trim_end_matches('/');
    let host = implied.unwrap_or(host);
    (!path.is_empty()).then(|| format!("{host}/{path}"))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};
    use serde_json::json;

    use super::*;

    /// Any JSON, with the words of messages in it.
    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "(https?|ssh|git|file)://[a-z@:]{0,8}/[a-z/.]{0,8}".prop_map(Value::from),
            "[ -~]{0,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            let mut keys = vec![
                "repository",
                "project",
                "links",
                "clone",
                "self",
                "href",
                "other",
            ];
            keys.extend(KEYS);
            let member = (select(keys), inner.clone());
            prop_oneof![
                vec(inner, 0..5).prop_map(Value::from),
                vec(member, 0..6).prop_map(|members| {
                    Value::Object(
                        members
                            .into_iter()
                            .map(|(key, it)| (key.into(), it))
                            .collect(),
                    )
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_a_message_says_it_is_read_and_names_only_what_is_an_address(
            message in documents(), bytes in vec(any::<u8>(), 0..200)
        ) {
            let text = message.to_string();
            for told in addresses(text.as_bytes()) {
                let (host, path) = told.split_once('/').unwrap();
                prop_assert!(!path.is_empty() && !path.ends_with('/') && !host.contains('@'), "{}", told);
            }
            let form: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
            let form = format!("payload={form}");
            prop_assert_eq!(addresses(form.as_bytes()), addresses(text.as_bytes()));
            let _ = addresses(&bytes);
        }

        #[test]
        fn an_address_is_found_wherever_servers_tell_it(
            host in "[a-z]{1,8}(\\.[a-z]{2,3})?", path in "[a-z0-9]{1,6}(/[a-z0-9-]{1,6}){0,3}", key in select(&KEYS[..]),
            link in select(&["html", "self", "clone"][..]), place in select(&["repository", "project"][..]),
        ) {
            let expected = BTreeSet::from([format!("{host}/{path}")]);
            for address in [
                format!("https://{host}/{path}"),
                format!("https://{host}:443/{path}.git"),
                format!("http://user:pw@{host}/{path}/"),
                format!("ssh://git@{host}:7999/{path}.git"),
                format!("git@{host}:{path}.git"),
            ] {
                for message in [
                    json!({ place: { key: address } }),
                    json!({ place: { "links": { link: { "href": address } } } }),
                    json!({ place: { "links": { link: [{ "href": address }] } } }),
                ] {
                    prop_assert_eq!(addresses(message.to_string().as_bytes()), expected.clone(), "{}", message);
                }
            }
        }
    }

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        for (one, other) in [
            ("https://example.com/a/b", "https://example.com/a/b.git"),
            ("https://example.com/a/b", "https://Example.com:443/a/B/"),
            ("https://example.com/a/b", "http://example.com/a/b.git/"),
            ("https://example.com/a/b", "git@example.com:a/b.git"),
            ("https://example.com/a/b", "ssh://git@example.com:2222/a/b"),
            ("https://example.com/a/b", "https://user:pw@example.com/a/b"),
            ("file:///srv/r.git", "file:///srv/r"),
        ] {
            assert_eq!(same(one), same(other), "{one} {other}");
            assert!(same(one).is_some());
        }
        for (one, other) in [
            ("https://example.com/a/b", "https://example.com/a/c"),
            ("https://example.com/a/b", "https://example.org/a/b"),
            ("https://example.com/a/b", "https://example.com:8443/a/b"),
        ] {
            assert_ne!(same(one), same(other), "{one} {other}");
        }
        for none in [
            "",
            "b",
            "https://example.com",
            "https://example.com/",
            "/a/b",
        ] {
            assert_eq!(same(none), None, "{none}");
        }
    }

    #[test]
    fn every_kind_of_server_tells_where_its_repository_is() {
        let github = json!({"ref": "refs/heads/main", "repository": {
            "url": "https://github.com/o/r", "clone_url": "https://github.com/o/r.git", "owner": {"url": "https://github.com/o"},
        }});
        let gitlab = json!({"object_kind": "tag_push", "project": {"git_http_url": "https://gitlab.com/g/s/r.git"},
            "repository": {"name": "r", "homepage": "https://gitlab.com/g/s/r"}});
        let gitea = json!({"repository": {"html_url": "http://gitea:3000/o/r", "ssh_url": "git@gitea:o/r.git"}});
        let cloud =
            json!({"repository": {"links": {"html": {"href": "https://bitbucket.org/w/r"}}}});
        let server = json!({"repository": {"links": {"clone": [
            {"name": "http", "href": "https://bb.example.com/scm/p/r.git"}, {"name": "ssh", "href": "ssh://git@bb.example.com:7999/p/r.git"},
        ]}}});
        let plain = json!({"url": "https://example.com/r.git"});
        let text = json!({"repository": "https://example.com/r.git"});
        for (message, expected) in [
            (github, &["github.com/o/r"][..]),
            (gitlab, &["gitlab.com/g/s/r"]),
            (gitea, &["gitea/o/r", "gitea:3000/o/r"]),
            (cloud, &["bitbucket.org/w/r"]),
            (server, &["bb.example.com/p/r", "bb.example.com/scm/p/r"]),
            (plain, &["example.com/r"]),
            (text, &["example.com/r"]),
            (json!([1, {"url": 7}, null]), &[]),
            (json!({"repository": [7], "project": null}), &[]),
        ] {
            let told: Vec<String> = addresses(message.to_string().as_bytes())
                .into_iter()
                .collect();
            assert_eq!(told, expected, "{message}");
        }
        for (message, expected) in [
            (
                "payload=%7B%22repository%22%3A%22https%3A%2F%2Fexample.com%2Fa%2Bb%22%7D",
                &["example.com/a+b"][..],
            ),
            (
                "a=b&payload=%7B%22url%22:%22https://example.com/r.git%22%7D&c",
                &["example.com/r"],
            ),
            ("payload=%7B%7D", &[]),
            ("payload=%7B", &[]),
            ("other=%7B%22url%22:%22https://example.com/r.git%22%7D", &[]),
            ("", &[]),
        ] {
            let told: Vec<String> = addresses(message.as_bytes()).into_iter().collect();
            assert_eq!(told, expected, "{message}");
        }
    }
}
