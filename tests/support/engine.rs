//! The engine over a feed, for tests that build a server of parts.

#![allow(dead_code, reason = "each test program uses another part of it")]

use std::sync::Arc;

use jiff::Timestamp;
use kube::Client;
use porch::{
    apiserver::{
        Registry,
        resources::{PackageRevisionResources, PackageRevisions, Packages},
    },
    engine::{Engine, Means, Renderer},
    sync::{self, Contents, Failpoints, Feed, Lanes, Mirrors, Processes, Tally},
};

/// Returns an engine that is alone over what `feed` brings.
pub fn engine(client: &Client, feed: &Feed, contents: &Contents, mirrors: &Mirrors) -> Engine {
    Engine::new(Means {
        feed: feed.clone(),
        contents: contents.clone(),
        lanes: Lanes::new(client.clone(), mirrors.clone()),
        sync: sync::Means {
            client: client.clone(),
            catalog: feed.catalog().clone(),
            mirrors: mirrors.clone(),
            tally: Tally::default(),
            processes: Processes::alone(),
            failpoints: Failpoints::default(),
            clock: Arc::new(Timestamp::now),
        },
        renderer: Renderer::new(
            porch::render::Functions::new("", None, None, tokio::runtime::Handle::current()),
            porch::render::DEFAULT_IMAGE_PREFIX,
            2,
        ),
        allow_file: true,
    })
}

/// Adds the kinds of `porch.kpt.dev` over what `feed` brings.
pub fn serve(registry: Registry, client: &Client, feed: &Feed, mirrors: &Mirrors) -> Registry {
    let contents = Contents::new(client.clone(), mirrors.clone(), true);
    let engine = || engine(client, feed, &contents, mirrors);
    let revisions = Arc::new(PackageRevisions::new(feed.clone(), engine()));
    let files = PackageRevisionResources::new(feed.clone(), contents.clone(), engine());
    let (files, packages) = (
        Arc::new(files),
        Arc::new(Packages::new(feed.clone(), engine())),
    );
    registry
        .serve_with_keeper(revisions.clone(), revisions)
        .serve_with_keeper(files.clone(), files)
        .serve_with_keeper(packages.clone(), packages)
}
