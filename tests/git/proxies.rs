//! Repositories that are reached through a proxy, and proxies that do not let anybody through.

use std::time::Duration;

use porch::git::{
    Access, Address, Credentials, Error, Mirror, Proxies, Proxy, RefEdit, Timeouts, list_refs, push,
};

use crate::{
    git_server::GitServer,
    proxy::Proxy as Running,
    scene::{MAIN, Scene, edit},
};

/// The header of `u:hunter2`.
const OPENS: &str = "Basic dTpodW50ZXIy";

/// Returns an address at the same port, of a host that only the proxy finds.
fn elsewhere(url: &str) -> String {
    url.replace("localhost", "git.example.test")
}

fn access(url: &str, ca: Option<Vec<u8>>, proxy: Option<&str>) -> Access {
    let address = Address::parse(url, false).unwrap();
    let timeouts = Timeouts {
        connect: Duration::from_secs(5),
        idle: Duration::from_secs(5),
        whole: Duration::from_secs(20),
    };
    let proxy = proxy.map(|proxy| Proxy::parse(proxy).unwrap());
    Access::new(address, Credentials::Anonymous, ca, timeouts).through(proxy)
}

#[test]
fn what_is_asked_in_the_clear_goes_through_a_proxy_that_reads_it() {
    let (scene, proxy) = (Scene::new(), Running::start());
    proxy.behave(|behaviour| behaviour.authorization = Some(OPENS.into()));
    let url = elsewhere(&scene.server.url("bare.git"));
    let access = access(&url, None, Some(&proxy.url("u:hunter2@")));
    let refs = list_refs(&access).unwrap();
    assert_eq!(refs, list_refs(&scene.repository.file()).unwrap());
    assert_eq!(
        proxy.requests(),
        [format!("POST {url}/git-upload-pack HTTP/1.1")]
    );
    let mirror = Mirror::open(&scene.repository.mirror()).unwrap();
    mirror.fetch(&access, &refs).unwrap();
    let (commit, pack) = scene.commit("b", "x");
    let edits: [RefEdit; 1] = [edit(MAIN, &scene.id(MAIN).unwrap(), &commit)];
    let pushed = push(&access, std::slice::from_ref(&pack), &edits).unwrap();
    assert_eq!(pushed.refused, []);
    assert_eq!(scene.id(MAIN), Some(commit));
    let asked = proxy.requests();
    assert!(asked.iter().all(|line| line.contains(&url)), "{asked:?}");
    assert_eq!(asked.len(), 3, "fetch, abilities, push: {asked:?}");
    let connections = scene.server.connections();
    assert!(connections < 4, "connections are kept: {connections}");
}

#[test]
fn what_is_asked_over_tls_goes_through_a_tunnel() {
    let (scene, proxy) = (Scene::new(), Running::start());
    let server = GitServer::https(scene.repository.root());
    proxy.behave(|behaviour| behaviour.authorization = Some(OPENS.into()));
    // The certificate is for this name; without the proxy it is reached too, so its requests are counted.
    let url = server.url("bare.git");
    let by_way = access(&url, server.ca(), Some(&proxy.url("u:hunter2@")));
    let refs = list_refs(&by_way).unwrap();
    assert_eq!(refs, list_refs(&scene.repository.file()).unwrap());
    let mirror = Mirror::open(&scene.repository.mirror()).unwrap();
    mirror.fetch(&by_way, &refs).unwrap();
    let (commit, pack) = scene.commit("b", "x");
    let edits = [edit(MAIN, &scene.id(MAIN).unwrap(), &commit)];
    let pushed = push(&by_way, std::slice::from_ref(&pack), &edits).unwrap();
    assert_eq!(pushed.refused, []);
    let asked = proxy.requests();
    let port = url.split(['/', ':']).nth(4).unwrap();
    let tunnel = format!("CONNECT localhost:{port} HTTP/1.1");
    assert!(!asked.is_empty() && asked.len() < 4, "{asked:?}");
    assert!(asked.iter().all(|line| *line == tunnel), "{asked:?}");
}

#[test]
fn proxies_that_refuse_are_told_from_servers_that_do_and_nothing_is_shown() {
    let (scene, proxy) = (Scene::new(), Running::start());
    let tls = GitServer::https(scene.repository.root());
    let plain = elsewhere(&scene.server.url("bare.git"));
    let urls = [tls.url("bare.git"), plain];
    let (commit, pack) = scene.commit("b", "x");
    let edits = [edit(MAIN, &scene.id(MAIN).unwrap(), &commit)];
    for (at, url) in urls.iter().enumerate() {
        let is_tls = at == 0;
        for (status, mute, want) in [
            (Some(407), false, "authentication required"),
            (Some(403), false, "authorization failed"),
            (Some(502), false, "502"),
            (Some(504), false, "timeout"),
            (None, true, "proxy"),
        ] {
            proxy.behave(|behaviour| {
                behaviour.status = status;
                behaviour.mute = mute;
            });
            let access = access(url, tls.ca(), Some(&proxy.url("u:hunter2@")));
            let error = list_refs(&access).unwrap_err();
            let told = error.to_string();
            assert!(told.contains(want) && !told.contains("hunter2"), "{told}");
            if is_tls || status == Some(407) {
                assert!(told.contains("proxy"), "{told}");
            }
            let kind = match status {
                Some(407) => matches!(error, Error::Unauthorized(_)),
                Some(403) => matches!(error, Error::Forbidden(_)),
                Some(504) => matches!(error, Error::TimedOut(_)),
                _ => matches!(error, Error::Unreachable(_)),
            };
            assert!(kind, "{error:?}");
            // A proxy that made no tunnel has let nothing through.
            let pushed = push(&access, std::slice::from_ref(&pack), &edits).unwrap_err();
            assert!(!matches!(pushed, Error::Uncertain(_)), "{pushed:?}");
        }
    }
    assert_eq!(scene.server.requests(), [] as [String; 0]);
    assert_eq!(tls.requests(), [] as [String; 0]);
}

#[test]
fn a_proxy_that_is_away_or_link_local_is_told() {
    let scene = Scene::new();
    for (at, want) in [
        ("http://u:hunter2@127.0.0.1:1", "through a proxy"),
        ("http://u:hunter2@169.254.169.254:3128", "link-local"),
    ] {
        for url in [
            elsewhere(&scene.server.url("bare.git")),
            "https://localhost:1/r".into(),
        ] {
            let told = list_refs(&access(&url, None, Some(at)))
                .unwrap_err()
                .to_string();
            assert!(told.contains(want) && !told.contains("hunter2"), "{told}");
        }
    }
}

#[test]
fn the_proxies_of_a_process_lead_where_they_are_for() {
    let (scene, proxy) = (Scene::new(), Running::start());
    let url = scene.server.url("bare.git");
    let far = elsewhere(&url);
    for (none, url, by_way) in [
        ("", &far, true),
        ("", &url, false),
        (".example.test", &far, false),
    ] {
        let proxies = Proxies::new(&proxy.url(""), "", none).unwrap();
        let address = Address::parse(url, false).unwrap();
        let lead = proxies.lead_to(&address);
        assert_eq!(lead.is_some(), by_way, "{none} {url}");
        let asked = list_refs(&Access::anonymous(address).through(lead));
        assert_eq!(proxy.requests().len(), usize::from(by_way), "{none} {url}");
        // Nobody but the proxy knows the far host.
        assert_eq!(asked.is_ok(), none.is_empty(), "{none} {url}: {asked:?}");
    }
}
