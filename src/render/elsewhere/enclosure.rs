//! An enclosure for the processes of one function: a namespace of which none gets out, and with whose first process all of them end.
//!
//! It is entered between fork and exec. The process that the server started stays outside as the guard, for whom the server waits and whom
//! it kills; the first process in the enclosure only waits; its child becomes the function. When the guard or the server dies, however that
//! comes, the kernel ends the first process, and with it whatever the function started, in sessions of its own or not. Guard and
//! first process have the server's memory still: nobody may look into them. Nothing here allocates or takes a lock.

use std::{io, ptr};

use libc::{c_int, pid_t};
use rustix::process::{
    DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal,
};

/// The status of a guard or a first process that can't go on.
const BROKEN: c_int = 125;

/// Lets no process look into this one's memory, which is a copy of the server's, until it becomes another program.
///
/// # Errors
/// If the kernel can't.
pub(super) fn be_private() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Has this process end with the thread that started it, which waits for it.
///
/// # Errors
/// If the kernel can't, or the server has ended already.
pub(super) fn end_with(server: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let parent = rustix::process::getppid().map(|parent| parent.as_raw_nonzero().get());
    if parent.and_then(|parent| u32::try_from(parent).ok()) != Some(server) {
        return Err(orphaned());
    }
    Ok(())
}

/// Returns that the process for which this one was started has ended: who does not allocate has no words for it.
fn orphaned() -> io::Error {
    io::Error::from_raw_os_error(libc::ESRCH)
}

/// Returns whether the kernel can do what guards need.
pub(super) fn is_possible() -> bool {
    // Closes nothing, for there is no such file.
    close_from(c_int::MAX)
}

/// Returns in a process that is to become the function, in the namespace that was made for the children of this one. This one does not
/// return.
///
/// # Errors
/// If the system has no process left.
#[allow(unsafe_code)]
pub(super) fn enter() -> io::Result<()> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for two numbers.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let [told, tells] = ends;
    match fork()? {
        0 => begin(told, tells),
        first => guard(first, told),
    }
}

/// Returns 0 in a new process, and its number in this one.
#[allow(unsafe_code)]
fn fork() -> io::Result<pid_t> {
    // SAFETY: this process has one thread, and the new one makes system calls only.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        process => Ok(process),
    }
}

/// Does the part of the first process; returns in its child.
#[allow(unsafe_code)]
fn begin(told: c_int, tells: c_int) -> io::Result<()> {
    // SAFETY: the other end is the guard's.
    unsafe { libc::close(told) };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut look = libc::pollfd {
        fd: tells,
        events: 0,
        revents: 0,
    };
    // SAFETY: it is one, and there is no wait.
    if unsafe { libc::poll(&raw mut look, 1, 0) } != 0 {
        return Err(orphaned());
    }
    match fork()? {
        0 => Ok(()),
        function => tend(function, tells),
    }
}

/// Waits for the processes of the enclosure, and ends with the function, of which the guard is told how it ended.
#[allow(unsafe_code)]
fn tend(function: pid_t, tells: c_int) -> ! {
    let tells = keep_only(tells);
    loop {
        let (ended, status) = wait_for(-1);
        if ended == function {
            // SAFETY: as many bytes are written as the number has. A pipe takes them all at once.
            unsafe { libc::write(tells, (&raw const status).cast(), size_of::<c_int>()) };
            leave(0);
        }
        if ended < 0 {
            leave(BROKEN);
        }
    }
}

/// Waits for the first process, and ends as the function ended.
#[allow(unsafe_code)]
fn guard(first: pid_t, told: c_int) -> ! {
    let told = keep_only(told);
    let mut status: c_int = 0;
    // SAFETY: as many bytes are read as the number has.
    let read = unsafe { libc::read(told, (&raw mut status).cast(), size_of::<c_int>()) };
    // Once it is gone, so are all others.
    wait_for(first);
    if usize::try_from(read) != Ok(size_of::<c_int>()) {
        // It was killed from outside, and the function with it.
        die_of(libc::SIGKILL);
    }
    if libc::WIFSIGNALED(status) {
        die_of(libc::WTERMSIG(status));
    }
    leave(libc::WEXITSTATUS(status));
}

/// Returns which process ended, and how; a number below 0 if none is left.
#[allow(unsafe_code)]
fn wait_for(process: pid_t) -> (pid_t, c_int) {
    let mut status = 0;
    loop {
        // SAFETY: `status` has room for the number.
        let ended = unsafe { libc::waitpid(process, &raw mut status, 0) };
        let is_interrupted =
            ended < 0 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted;
        if !is_interrupted {
            return (ended, status);
        }
    }
}

/// Closes all files but one, whose new number is returned, and hears no signal any longer but those that nobody can but hear.
#[allow(unsafe_code)]
fn keep_only(file: c_int) -> c_int {
    // SAFETY: the set is made before it is read, and this process uses none of the files that are closed.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const all, ptr::null_mut());
        // Whatever the server does with it: who ended is to be waited for.
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        if libc::dup2(file, 0) != 0 {
            leave(BROKEN);
        }
    }
    close_from(1);
    0
}

/// Closes all files from this number on, and returns whether that could be done.
#[allow(unsafe_code)]
fn close_from(first: c_int) -> bool {
    // SAFETY: who calls it uses none of them.
    unsafe { libc::syscall(libc::SYS_close_range, first, c_int::MAX, 0) == 0 }
}

/// Ends this process by a signal.
#[allow(unsafe_code)]
fn die_of(signal: c_int) -> ! {
    // SAFETY: the set is made before it is read; nothing runs in this process but this.
    unsafe {
        let mut one = std::mem::zeroed();
        libc::sigemptyset(&raw mut one);
        libc::sigaddset(&raw mut one, signal);
        libc::signal(signal, libc::SIG_DFL);
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const one, ptr::null_mut());
        libc::kill(libc::getpid(), signal);
    }
    leave(BROKEN);
}

/// Ends this process at once: nothing of the server's is to be done on the way.
#[allow(unsafe_code)]
fn leave(status: c_int) -> ! {
    // SAFETY: it has no preconditions.
    unsafe { libc::_exit(status) }
}
