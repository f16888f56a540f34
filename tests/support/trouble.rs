//! What Git servers do wrong: each fault by its name, with what is to be told of it.

#![allow(dead_code, reason = "each test program uses another part of it")]

use std::{path::Path, time::Duration};

use crate::git_server::{Behaviour, git, git_command};

/// A fault, what is told of it, and after how many seconds it is tried again at least.
pub struct Fault {
    pub name: &'static str,
    pub change: Box<dyn Fn(&mut Behaviour)>,
    pub kind: &'static str,
    pub told: &'static str,
    pub retry: i64,
}

fn fault(
    name: &'static str,
    (kind, told, retry): (&'static str, &'static str, i64),
    change: impl Fn(&mut Behaviour) + 'static,
) -> Fault {
    Fault {
        name,
        change: Box::new(change),
        kind,
        told,
        retry,
    }
}

fn status(name: &'static str, code: u16, told: (&'static str, &'static str, i64)) -> Fault {
    fault(name, told, move |it| it.status = Some(code))
}

fn line(text: &[u8]) -> Vec<u8> {
    let mut out = format!("{:04x}", text.len() + 4).into_bytes();
    out.extend_from_slice(text);
    out
}

/// An answer with a pack, in pieces as servers send it.
fn answer_with(pack: &[u8]) -> Vec<u8> {
    let mut out = line(b"packfile\n");
    for piece in pack.chunks(1000) {
        out.extend(line(&[&[1], piece].concat()));
    }
    out.extend_from_slice(b"0000");
    out
}

/// A whole pack of objects that nobody asked for.
pub fn strange_pack(directory: &Path) -> Vec<u8> {
    std::fs::create_dir(directory).unwrap();
    git(directory, &["init", "-q", "."]);
    git(
        directory,
        &["commit", "-q", "--allow-empty", "-m", "strange"],
    );
    let mut command = git_command(directory);
    let packed = command.args(["pack-objects", "--all", "--stdout"]).output();
    packed.unwrap().stdout
}

fn garbled(mut pack: Vec<u8>) -> Vec<u8> {
    let middle = pack.len() / 2;
    for byte in &mut pack[middle..middle + 4] {
        *byte ^= 0x5a;
    }
    pack
}

/// Returns what can be wrong with a server; `strange` is a pack of objects that nobody asked for.
pub fn faults(strange: &[u8]) -> Vec<Fault> {
    let unreachable = |told| ("Unreachable", told, 30);
    let invalid = |told| ("AnswerInvalid", told, 30);
    let slow = |told| ("TimedOut", told, 60);
    let (whole, broken) = (
        answer_with(strange),
        answer_with(&garbled(strange.to_vec())),
    );
    let (no_pack, cut) = (
        answer_with(b"this is no pack at all"),
        whole[..whole.len() / 2].to_vec(),
    );
    let error = b"ERR access denied or repository not exported";
    vec![
        status("401", 401, ("AccessDenied", "authentication required", 600)),
        status("403", 403, ("AccessDenied", "authorization failed", 600)),
        status("404", 404, ("NotFound", "repository not found", 120)),
        status("410", 410, ("NotFound", "repository not found", 120)),
        status("429", 429, ("Throttled", "too many requests", 300)),
        status("500", 500, unreachable("status code: 500")),
        status("502", 502, unreachable("status code: 502")),
        status("503", 503, unreachable("status code: 503")),
        status("504", 504, slow("the server gave up")),
        status("teapot", 418, invalid("418")),
        fault(
            "429 with a time",
            ("Throttled", "come again in 77s", 77),
            |it| {
                (it.status, it.retry_after) = (Some(429), Some("77".into()));
            },
        ),
        fault(
            "503 with a time",
            ("Throttled", "come again in 444s", 444),
            |it| {
                (it.status, it.retry_after) = (Some(503), Some("444".into()));
            },
        ),
        fault(
            "elsewhere",
            ("Refused", "redirects to another place", 120),
            |it| {
                it.status = Some(307);
            },
        ),
        fault("a page", invalid("not Git's"), |it| {
            it.garbage = Some(b"<html>Sign in to the hotel's network</html>".to_vec());
        }),
        fault("nothing", invalid("cut short"), |it| {
            it.garbage = Some(Vec::new());
        }),
        fault("an error in words", invalid("access denied"), move |it| {
            it.garbage = Some(line(error));
        }),
        fault("silence", slow("timeout"), |it| {
            it.delay = Some(Duration::from_mins(10));
        }),
        fault("silence in the list", slow("timeout"), |it| {
            it.hang_after = Some(60);
        }),
        fault("a list that is cut", invalid("not Git's"), |it| {
            it.cut_after = Some(60);
        }),
        fault("a list for ever", slow("timeout"), |it| {
            it.trickle = Some(Duration::from_millis(50));
        }),
        fault("no pack", invalid("the pack cannot be read"), move |it| {
            it.pack = Some(no_pack.clone());
        }),
        fault("a cut pack", invalid("not Git's"), move |it| {
            it.pack = Some(cut.clone());
        }),
        fault(
            "a garbled pack",
            invalid("the pack cannot be read"),
            move |it| {
                it.pack = Some(broken.clone());
            },
        ),
        fault(
            "another's objects",
            invalid("did not send object"),
            move |it| {
                it.pack = Some(whole.clone());
            },
        ),
        fault("an error for a pack", invalid("access denied"), move |it| {
            it.pack = Some(line(error));
        }),
        fault("no answer for a pack", invalid("no pack"), |it| {
            it.pack = Some(Vec::new());
        }),
    ]
}
