//! A process that ends with this one, however this one ends.
//!
//! Between the two stands a shell that waits for a word on its input. The word names a signal; an end of input, which is all
//! that is left of a test run that was killed, means KILL. So nothing is ever ended but by its own process id.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Starts the program, tells its process id, and waits for the word. An interrupt from the keyboard is for the tests.
const KEEPER: &str = r#"trap '' INT HUP
log=$1; shift
"$@" >>"$log" 2>&1 </dev/null &
echo $!
exec 2>/dev/null
signal=; read -r signal
kill -s "${signal:-KILL}" $!
wait $!
"#;

/// A program that runs.
pub struct Process {
    keeper: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program that writes to `log` whatever it has to say.
    pub fn start(command: &Command, log: &Path) -> Self {
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "sh"]).arg(log);
        keeper.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            keeper.env(name, value.unwrap_or_default());
        }
        keeper.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = keeper.spawn().unwrap();
        let mut id = String::new();
        let stdout = keeper.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut id).unwrap();
        assert!(id.trim().parse::<u32>().is_ok(), "no process: {id:?}");
        Self {
            keeper,
            log: log.into(),
        }
    }

    /// Ends it as a power cut would.
    pub fn kill(self) {
        self.end("KILL");
    }

    /// Asks it to end, and waits until it has; returns its exit code.
    pub fn terminate(self) -> Option<i32> {
        self.end("TERM")
    }

    fn end(mut self, signal: &str) -> Option<i32> {
        let mut stdin = self.keeper.stdin.take().unwrap();
        writeln!(stdin, "{signal}").unwrap();
        self.keeper.wait().unwrap().code()
    }

    /// Returns the last that it said.
    pub fn last_words(&self) -> String {
        let said = std::fs::read(&self.log).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}
