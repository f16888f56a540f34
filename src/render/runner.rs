//! Who runs functions: what a render asks of them, and that the functions of this program answer it.

use super::{Failure, List, Native};
use crate::api::ResultItem;

/// What a function that did its work leaves besides the list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ran {
    /// Its reports.
    pub results: Vec<ResultItem>,
    /// What it wrote to standard error; empty for one in this program.
    pub stderr: String,
}

/// A function that is ready to run.
pub trait Runner {
    /// Runs the function: the list is as the function leaves it.
    ///
    /// # Errors
    /// [`Failure`]: the function failed, or could not be reached. What the list is then does not count.
    fn run(&self, list: &mut List) -> Result<Ran, Failure>;
}

/// Who knows functions by their images.
pub trait Runners {
    /// Returns the function of an image, which has its tag or digest.
    ///
    /// # Errors
    /// Why there is none, in words that follow "function not available: IMAGE"; empty if there is nothing to say.
    fn resolve(&self, image: &str) -> Result<Box<dyn Runner + '_>, String>;
}

impl Runner for Native {
    fn run(&self, list: &mut List) -> Result<Ran, Failure> {
        let results = self(list)?;
        let stderr = String::new();
        Ok(Ran { results, stderr })
    }
}
