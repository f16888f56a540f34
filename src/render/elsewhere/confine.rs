//! What an executable may have: limits that the kernel keeps, set between fork and exec.

use std::{io, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a Go program reserves without ever using it.
const RESERVED: u64 = 4 << 30;
/// Most processes at a time, where they can be counted for one function alone.
const MOST_PROCESSES: u64 = 256;

/// How many processors a function may keep busy for all of its time.
const PROCESSORS: u64 = 16;

/// What one run of an executable may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confines {
    /// How long it may take.
    pub time: Duration,
    /// Most bytes of memory of each of its processes, and of each file that it writes.
    pub memory: u64,
    /// Most bytes of its answer: beyond that it fails.
    pub answer: usize,
    /// Most bytes of what it says on its standard error: what follows is dropped.
    pub log: usize,
}

impl Default for Confines {
    fn default() -> Self {
        Self {
            time: Duration::from_mins(1),
            memory: 1 << 30,
            answer: 64 << 20,
            log: 64 << 10,
        }
    }
}

impl Confines {
    /// Confines this process, which `server` started, and what it starts. Where the kernel lets it, it loses the network, all rights of
    /// its user and the sight of all other processes too, and ends with the server.
    ///
    /// # Errors
    /// If a limit can't be set.
    pub(super) fn apply(self, server: u32) -> io::Result<()> {
        if leave(server)? {
            limit(Resource::Nproc, MOST_PROCESSES)?;
        }
        limit(Resource::Core, 0)?;
        limit(Resource::Data, self.memory)?;
        limit(Resource::As, self.memory.saturating_add(RESERVED))?;
        limit(Resource::Fsize, self.memory)?;
        // Time is watched from outside; where processes can't be enclosed, this catches one that left its group. All threads of a
        // process count together.
        limit(Resource::Cpu, (self.time.as_secs() + 1) * PROCESSORS)
    }
}

/// Leaves the network, the users and the processes of the machine for empty ones, and returns whether that could be done; where only
/// processes can't be left, the rest is.
///
/// # Errors
/// If there is no process left, or no server.
#[cfg(target_os = "linux")]
fn leave(server: u32) -> io::Result<bool> {
    use super::enclosure;
    use rustix::thread::UnshareFlags;
    enclosure::be_private()?;
    let others = UnshareFlags::NEWUSER | UnshareFlags::NEWNET | UnshareFlags::NEWIPC;
    let is_enclosed = enclosure::is_possible() && unshare(others | UnshareFlags::NEWPID);
    let is_alone = is_enclosed || unshare(others);
    // The kernel forgets it when rights change, so not before.
    enclosure::end_with(server)?;
    if is_enclosed {
        enclosure::enter()?;
    }
    Ok(is_alone)
}

/// Returns whether what is named could be left for new ones.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn unshare(flags: rustix::thread::UnshareFlags) -> bool {
    // SAFETY: file descriptors, the one thing that makes this unsafe, are not unshared.
    unsafe { rustix::thread::unshare_unsafe(flags) }.is_ok()
}

/// Returns that nothing could be left: only Linux has another network to go to.
#[cfg(not(target_os = "linux"))]
fn leave(_: u32) -> io::Result<bool> {
    Ok(false)
}

/// Sets a limit that can't be raised again; one that is lower already stays.
fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let most = getrlimit(resource)
        .maximum
        .map_or(most, |now| now.min(most));
    let wanted = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    Ok(setrlimit(resource, wanted)?)
}
