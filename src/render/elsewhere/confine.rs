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
    /// Confines this process and what it starts. Where the kernel lets it, it loses the network and all rights of its user too.
    ///
    /// # Errors
    /// If a limit can't be set.
    pub(super) fn apply(self) -> io::Result<()> {
        if leave() {
            limit(Resource::Nproc, MOST_PROCESSES)?;
        }
        limit(Resource::Core, 0)?;
        limit(Resource::Data, self.memory)?;
        limit(Resource::As, self.memory.saturating_add(RESERVED))?;
        limit(Resource::Fsize, self.memory)?;
        // Time is watched from outside; this catches a process that left its group. All threads of a process count together.
        limit(Resource::Cpu, (self.time.as_secs() + 1) * PROCESSORS)
    }
}

/// Leaves the network and the users of the machine for empty ones, and returns whether that could be done.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn leave() -> bool {
    use rustix::thread::{UnshareFlags, unshare_unsafe};
    let flags = UnshareFlags::NEWUSER | UnshareFlags::NEWNET | UnshareFlags::NEWIPC;
    // SAFETY: file descriptors, the one thing that makes this unsafe, are not unshared.
    unsafe { unshare_unsafe(flags) }.is_ok()
}

/// Returns that nothing could be left: only Linux has another network to go to.
#[cfg(not(target_os = "linux"))]
fn leave() -> bool {
    false
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
