//! One run of an executable: its process and all that it starts, from its input to its end.
//!
//! In come a file, a text for its standard input and limits; out comes what it wrote and how it ended. Nothing of it lives on: when
//! it ends, when its time is over and when the caller goes away, its whole process group is killed, and where the kernel can enclose
//! processes, all that it started.

use std::{io, path::Path, process::ExitStatus, process::Stdio, thread, time::Duration};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process_group, waitid, waitpgid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, Command},
    time::{sleep, timeout},
};

use super::Confines;

/// How often a process is asked whether it has ended. It can't be waited for: its number must stay taken until its group is killed.
const LOOK: Duration = Duration::from_millis(2);
/// The process whose children orphans become: in a container it may be this one, and nobody else would ever see them end.
const INIT: u32 = 1;
/// How often a file is tried that somebody is just writing.
const ATTEMPTS: usize = 5;

/// How an executable ended, and what it wrote.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) answer: Vec<u8>,
    pub(super) log: String,
}

/// Why there is no end to tell of.
#[derive(Debug)]
pub(super) enum Cut {
    TimedOut,
    TooLarge,
    Io(io::Error),
}

impl From<io::Error> for Cut {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// All processes of a run. Dropping it kills them.
struct Group {
    first: Pid,
    /// Whether the first of them has ended by itself.
    is_over: bool,
}

impl Drop for Group {
    fn drop(&mut self) {
        // It fails when none is left.
        let _ = kill_process_group(self.first, Signal::KILL);
        if !self.is_over && std::process::id() == INIT {
            let first = self.first;
            thread::spawn(move || while waitpgid(first, WaitOptions::empty()).is_ok() {});
        }
    }
}

/// Runs a file in a directory with a text as its input, and returns how it ended.
///
/// # Errors
/// [`Cut`]: it could not be started, took too long or answered too much; and what it had said until then.
pub(super) async fn run(
    file: &Path,
    place: &Path,
    input: &str,
    confines: Confines,
) -> Result<Ended, (Cut, String)> {
    let mut log = Vec::new();
    let end = async {
        let child = start(file, place, confines).await?;
        attend(child, input.as_bytes(), confines, &mut log).await
    };
    let end = timeout(confines.time, end).await;
    let end = end.unwrap_or(Err(Cut::TimedOut));
    let log = String::from_utf8_lossy(&log).into_owned();
    match end {
        Ok((status, answer)) => Ok(Ended {
            status,
            answer,
            log,
        }),
        Err(cut) => Err((cut, log)),
    }
}

async fn start(file: &Path, place: &Path, confines: Confines) -> io::Result<Child> {
    let mut attempt = 1;
    loop {
        match command(file, place, confines).spawn() {
            Err(error) if is_busy(&error) && attempt < ATTEMPTS => sleep(LOOK * 10).await,
            started => return started,
        }
        attempt += 1;
    }
}

fn is_busy(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ExecutableFileBusy
}

#[allow(unsafe_code)]
fn command(file: &Path, place: &Path, confines: Confines) -> Command {
    let mut command = Command::new(file);
    command
        .env_clear()
        .current_dir(place)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let server = std::process::id();
    // SAFETY: between fork and exec only system calls are made; nothing is allocated and no lock is taken.
    unsafe {
        command.pre_exec(move || confines.apply(server));
    }
    command
}

/// Feeds a process, listens to it and sees it end.
async fn attend(
    mut child: Child,
    input: &[u8],
    confines: Confines,
    log: &mut Vec<u8>,
) -> Result<(ExitStatus, Vec<u8>), Cut> {
    let first = child.id().and_then(|id| i32::try_from(id).ok());
    let first = first.and_then(Pid::from_raw);
    let group = Group {
        first: first.ok_or_else(|| io::Error::other("it ended before it began"))?,
        is_over: false,
    };
    let missing = || io::Error::other("a pipe is missing");
    let (stdin, stdout, stderr) = (
        child.stdin.take().ok_or_else(missing)?,
        child.stdout.take().ok_or_else(missing)?,
        child.stderr.take().ok_or_else(missing)?,
    );
    let ((), answer, (), ()) = tokio::try_join!(
        feed(stdin, input),
        answer(stdout, confines.answer),
        keep(stderr, confines.log, log),
        ended(group),
    )?;
    Ok((child.wait().await?, answer))
}

/// Gives a process its input. One that does not read it all has its reasons.
async fn feed(mut stdin: ChildStdin, input: &[u8]) -> Result<(), Cut> {
    match stdin.write_all(input).await {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

async fn answer(from: impl AsyncRead + Unpin, most: usize) -> Result<Vec<u8>, Cut> {
    let mut answer = Vec::new();
    let most_and_one = most as u64 + 1;
    from.take(most_and_one).read_to_end(&mut answer).await?;
    if answer.len() > most {
        return Err(Cut::TooLarge);
    }
    Ok(answer)
}

/// Keeps the begin of what a process says; the rest is heard, so that it does not wait for ever.
async fn keep(
    mut from: impl AsyncRead + Unpin,
    most: usize,
    begin: &mut Vec<u8>,
) -> Result<(), Cut> {
    let mut some = (&mut from).take(most as u64);
    while some.read_buf(begin).await? > 0 {}
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(())
}

/// Waits until the first process of a group has ended, and ends the others.
async fn ended(mut group: Group) -> Result<(), Cut> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    loop {
        match waitid(WaitId::Pid(group.first), options) {
            Ok(None) | Err(rustix::io::Errno::INTR) => sleep(LOOK).await,
            Ok(Some(_)) => {
                group.is_over = true;
                return Ok(());
            }
            Err(error) => return Err(Cut::Io(error.into())),
        }
    }
}
