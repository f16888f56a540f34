//! What runs on this machine, as tests of executables look at it.

#![allow(dead_code, reason = "each test program uses another part of it")]

use std::{fs, process::Command};

/// Returns how many processes run a `sleep` of so many seconds.
pub fn sleepers(seconds: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let wanted = format!("sleep\0{seconds}\0");
    lines.filter(|line| line == wanted.as_bytes()).count()
}

/// Returns whether this kernel lets processes be enclosed in a namespace of their own. Some forbid it, and so do most sandboxes within
/// containers.
pub fn can_be_enclosed() -> bool {
    let mut unshare = Command::new("unshare");
    let words = ["--user", "--net", "--ipc", "--pid", "--fork", "true"];
    let status = unshare.args(words).status();
    status.is_ok_and(|status| status.success())
}
