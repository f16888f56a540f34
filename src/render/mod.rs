//! Rendering: the pipelines of a package and of its subpackages, run over its resources.
//!
//! In come the files of a package and who runs functions; out come the files as the functions left them, and what they
//! reported. It reads and writes nothing but that: a render is a function of files and functions. What no function touched keeps
//! its bytes, and a package without functions is not touched at all.

mod audience;
mod blueprint;
mod bounds;
pub mod elsewhere;
mod functions;
mod image;
mod images;
mod krm;
mod layout;
mod list;
mod native;
mod output;
mod pipeline;
mod run;
mod runner;
mod selector;
mod starlark;
mod status;
mod table;
mod tally;
mod tree;
mod versions;
pub mod wire;

pub use audience::Audience;
pub use functions::{Current, Functions};
pub use image::DEFAULT_IMAGE_PREFIX;
pub use images::catalogued;
pub use list::{Failure, Item, List, Native, Place};
pub use native::native;
pub use pipeline::Kind;
pub use runner::{Ran, Runner, Runners};
pub use status::Step;
pub use table::{Found, Refusal, Table};
pub use tally::Tally;

use std::time::Duration;

use crate::{
    api::RenderStatus,
    package::{Files, KPTFILE, has_pipeline},
};
use bounds::Bounds;
use pipeline::{Kptfile, Reader};
use run::Run;
use tree::Tree;

/// The annotation of the root Kptfile by which a failed render keeps what the functions did before.
const SAVE_ON_FAILURE: &str = "kpt.dev/save-on-render-failure";
/// The annotation of the root Kptfile by which parents are rendered before their children.
const PARENTS_FIRST: &str = "kpt.dev/bfs-rendering";

/// How to render.
pub struct Options<'a> {
    /// Before the images that are written without a directory.
    pub image_prefix: &'a str,
    /// Who waits for the outcome: when nobody does, the render ends soon, wherever it is.
    pub audience: Audience,
    /// How long each function of this program may take; those elsewhere have limits of their own.
    pub limit: Duration,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            image_prefix: DEFAULT_IMAGE_PREFIX,
            audience: Audience::default(),
            limit: Duration::from_mins(1),
        }
    }
}

/// What a render made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rendered {
    /// The files to store. After a failure they are those that came in, or, if the root Kptfile asks for it, what the functions before
    /// the failure made; whether they are stored is the caller's to say. The root Kptfile says how the render ended.
    pub files: Files,
    /// What the API tells of it; nothing for a package without functions.
    pub status: Option<RenderStatus>,
    /// Why it failed; nothing if it did not.
    pub error: Option<String>,
    /// The functions that were run, in their order.
    pub steps: Vec<Step>,
}

/// Returns the files of a package as its functions leave them. Without functions, or without a Kptfile at its root, they are the very
/// same; but a Kptfile that says of functions that are gone that they failed does not say so any longer.
#[must_use]
pub fn render(files: &Files, runners: &dyn Runners, options: &Options) -> Rendered {
    let Some(root) = files.get(KPTFILE) else {
        return untouched(files.clone());
    };
    if has_pipeline(files).is_none() {
        let mut files = files.clone();
        if let Some(kptfile) = status::recovered(root) {
            files.insert(KPTFILE.into(), kptfile);
        }
        return untouched(files);
    }
    let mut steps = Vec::new();
    let (files, error) = match hydrated(files, runners, options, &mut steps) {
        Ok(made) => (made, None),
        Err((made, why)) => (made.unwrap_or_else(|| files.clone()), Some(why)),
    };
    finished(files, steps, error)
}

fn untouched(files: Files) -> Rendered {
    Rendered {
        files,
        ..Rendered::default()
    }
}

/// Writes into the root Kptfile how the render ended.
fn finished(mut files: Files, steps: Vec<Step>, error: Option<String>) -> Rendered {
    let kptfile = files.get(KPTFILE);
    let kptfile = kptfile.and_then(|kptfile| status::in_kptfile(kptfile, &steps, error.as_deref()));
    if let Some(kptfile) = kptfile {
        files.insert(KPTFILE.into(), kptfile);
    }
    let error = error.map(|why| format!("fn.render: {why}"));
    let status = status::told_to_caller(&steps, error.as_deref().unwrap_or_default());
    Rendered {
        files,
        status: Some(status),
        error,
        steps,
    }
}

/// Why a render failed, and the files that it leaves, if not those that came in.
type Failed = (Option<Files>, String);

/// Returns the files after all functions; what was run is put into `steps`.
fn hydrated(
    files: &Files,
    runners: &dyn Runners,
    options: &Options,
    steps: &mut Vec<Step>,
) -> Result<Files, Failed> {
    let early = |why: String| (None, why);
    let tree = Tree::read(files, &options.audience).map_err(early)?;
    let root = kptfile(files, "").map_err(early)?;
    let (is_kept, by_levels) = (root.says(SAVE_ON_FAILURE), root.says(PARENTS_FIRST));
    let mut run = Run {
        options,
        is_kept,
        items: tree.items().map_err(early)?,
        order: tree.parents_first(by_levels),
        steps: Vec::new(),
    };
    let packages = if by_levels {
        run.order.clone()
    } else {
        tree.children_first()
    };
    let mut pipelines = Vec::new();
    for package in packages {
        let reader = Reader {
            tree: &tree,
            package,
            image_prefix: options.image_prefix,
        };
        let calls = kptfile(files, package).and_then(|kptfile| reader.calls(&kptfile));
        let ready = calls.and_then(|calls| run::ready(calls, runners, is_kept));
        pipelines.push((package, ready.map_err(early)?));
    }
    let ran = pipelines.iter().try_for_each(|(package, pipeline)| {
        let bounds = Bounds {
            tree: &tree,
            files,
            package,
        };
        run.package(&bounds, pipeline)
    });
    *steps = std::mem::take(&mut run.steps);
    match ran {
        Ok(()) => run.written((files, &tree), true).map_err(early),
        Err(why) => {
            let made = is_kept.then(|| run.written((files, &tree), false).ok());
            Err((made.flatten(), why))
        }
    }
}

/// Returns the Kptfile of a package.
fn kptfile(files: &Files, package: &str) -> Result<Kptfile, String> {
    let path = krm::joined(package, KPTFILE);
    let content = files.get(&path).map(Vec::as_slice).unwrap_or_default();
    Kptfile::read(&path, content)
}

#[cfg(test)]
mod tests;
pub use starlark::starlark;
