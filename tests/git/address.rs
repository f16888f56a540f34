//! Addresses: what users write is checked before anything is dialled.

use porch::git::{Address, Credentials, Error, Secret};

#[test]
fn addresses_that_are_none_are_refused_and_never_repeated() {
    for text in [
        "",
        "https://user:t0k3n@host/r",
        "https://t0k3n@host/r",
        "https://@host/r",
        "https://host/r?token=t0k3n",
        "https://host/r#t0k3n",
        "ssh://git:t0k3n@host/r",
        "ssh://git@host",
        "ssh://git@host/",
        "ssh:///r",
        "ssh://-oProxyCommand=x/r",
        "ssh://git@-x/r",
        "ssh://-x@host/r",
        "ssh://git@host/%20x",
        "ssh://git@host/%0ax",
        "ssh://git@host/r?x",
        "ssh://git@169.254.169.254/r",
        "ssh://git@[fe80::1]/r",
        "git@169.254.169.254:r",
        "git@[fe80::1]:r",
        "git:t0k3n@host:r",
        "git@host:",
        "git@host:/",
        "git@-x:r",
        "git@host:-x",
        "host:r.git",
        "@host:r",
        "git://host/r",
        "ftp://host/r",
        "file:///r",
        "host/r",
        "https://",
        "https:///r",
        "https:host/r",
        "https:/host/r",
        "https:user:t0k3n@host/r",
        "https://ho st/r",
        "https://host/r\n",
        " https://host/r",
        "https://host/\u{7f}",
        "https:\\\\host\\r",
        "https://host:99999/r",
        "javascript:alert(1)",
        "http://169.254.169.254/latest/meta-data",
        "https://169.254.1.1:8443/r",
        "http://2852039166/r",
        "http://0xa9.0xfe.0xa9.0xfe/r",
        "http://[fe80::1]/r",
        "http://[::ffff:169.254.169.254]/r",
    ] {
        let refused = Address::parse(text, false).unwrap_err();
        assert!(matches!(refused, Error::Refused(_)), "{text}: {refused:?}");
        let shown = format!("{refused} {refused:?}");
        assert!(!shown.contains("t0k3n"), "{shown}");
        assert!(shown.contains("invalid repository address"), "{shown}");
    }
    let long = format!("https://host/{}", "x".repeat(3000));
    assert!(Address::parse(&long, false).is_err());
    assert!(Address::parse("file://host/r", true).is_err());
}

#[test]
fn addresses_are_kept_as_they_were_written() {
    for (text, file) in [
        ("https://host/r.git", false),
        ("https://host:8443/a/b/", false),
        ("http://host/r", false),
        ("HTTPS://Host/r", false),
        ("https://[::1]:80/r", false),
        ("https://host/a@b", false),
        ("ssh://git@host/r.git", false),
        ("ssh://host:2222/~me/r", false),
        ("ssh://git@[::1]:2222/r", false),
        ("git@host:a/r.git", false),
        ("git@[::1]:/a/r", false),
        ("file:///tmp/r", true),
    ] {
        let address = Address::parse(text, file).unwrap();
        assert_eq!(address.as_str(), text);
        assert_eq!(address.to_string(), text);
    }
}

#[test]
fn servers_are_told_apart() {
    for (one, other, same) in [
        ("https://host/a", "https://HOST:443/b", true),
        ("https://host/a", "http://host/a", false),
        ("ssh://git@host/a", "git@Host:b", true),
        ("ssh://git@host/a", "ssh://me@host:22/b", true),
        ("ssh://git@host/a", "ssh://git@host:2222/a", false),
        ("ssh://git@host/a", "ssh://git@other/a", false),
        ("ssh://git@host/a", "https://host/a", false),
    ] {
        let server = |text: &str| Address::parse(text, false).unwrap().server();
        assert_eq!(server(one) == server(other), same, "{one} {other}");
    }
}

#[test]
fn secrets_cannot_be_printed() {
    let password = Secret::new("t0k3n");
    let basic = Credentials::Basic {
        username: "t0k3n".into(),
        password: password.clone(),
    };
    let bearer = Credentials::Bearer(password.clone());
    let shown = format!(
        "{password:?} {basic:?} {bearer:?} {:#?}",
        (password.clone(), basic.clone())
    );
    assert!(!shown.contains("t0k3n"), "{shown}");
}
