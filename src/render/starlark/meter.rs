//! What a script may use up. Every step and every byte is counted before it is taken; of what a script makes,
//! only the frames of calls are given back.

use super::{super::Audience, tree::Trouble};

/// What one run of a script may use. What the system gives may be twice as much as is counted: lists and dicts grow by doubling.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Most steps: an expression, a statement, an item looked at, or some bytes of a text looked at.
    pub(super) steps: u64,
    /// Most bytes of all values that it makes, those that it forgets included.
    pub(super) bytes: u64,
    /// Most expressions, statements and calls within each other.
    pub(super) depth: usize,
    /// Most bytes that it may print; what follows is dropped.
    pub(super) printed: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            steps: 100_000_000,
            bytes: 256 << 20,
            depth: 3_000,
            printed: 16 << 10,
        }
    }
}

/// How many bytes of a text are looked at in a step.
const BYTES_A_STEP: usize = 32;
/// After so many steps it is asked whether anybody waits: soon enough for who went away, and too seldom to be felt.
const ASKED: u64 = 1 << 14;

/// What is left.
#[derive(Debug)]
pub(super) struct Meter {
    limits: Limits,
    steps: u64,
    bytes: u64,
    depth: usize,
    /// Who waits for the script.
    audience: Audience,
}

impl Meter {
    pub(super) fn new(limits: Limits, audience: Audience) -> Self {
        Self {
            limits,
            steps: limits.steps,
            bytes: limits.bytes,
            depth: limits.depth,
            audience,
        }
    }

    /// Takes steps.
    ///
    /// # Errors
    /// If there are not so many left, or nobody waits for the script.
    pub(super) fn step(&mut self, count: usize) -> Result<(), Trouble> {
        let left = self.steps.checked_sub(count as u64);
        let told = || format!("the script takes more than {} steps", self.limits.steps);
        let left = left.ok_or_else(told)?;
        if left / ASKED != self.steps / ASKED {
            self.audience.check()?;
        }
        self.steps = left;
        Ok(())
    }

    /// Takes the steps of looking at a text of a length.
    ///
    /// # Errors
    /// If there are not so many left.
    pub(super) fn look(&mut self, length: usize) -> Result<(), Trouble> {
        self.step(length / BYTES_A_STEP + 1)
    }

    /// Takes memory, and the steps of filling it.
    ///
    /// # Errors
    /// If there is not so much left.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Trouble> {
        let left = self.bytes.checked_sub(bytes as u64);
        let told = || {
            format!(
                "the script uses more than {} bytes of memory",
                self.limits.bytes
            )
        };
        self.bytes = left.ok_or_else(told)?;
        self.look(bytes)
    }

    /// Gives memory back that is free again beyond doubt.
    pub(super) fn give(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Begins to count anew, with some times as much as the limits say.
    pub(super) fn refill(&mut self, times: u64) {
        *self = Self::new(self.limits, self.audience.clone());
        self.steps *= times;
        self.bytes *= times;
    }

    /// Goes one level deeper.
    ///
    /// # Errors
    /// If that is too deep.
    pub(super) fn enter(&mut self) -> Result<(), Trouble> {
        self.step(1)?;
        let left = self.depth.checked_sub(1);
        self.depth = left.ok_or("the script calls too deeply within itself")?;
        Ok(())
    }

    /// Comes back from one level.
    pub(super) fn leave(&mut self) {
        self.depth += 1;
    }

    /// Returns how much may be printed.
    pub(super) fn printable(&self) -> usize {
        self.limits.printed
    }
}
