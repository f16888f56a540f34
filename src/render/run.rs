//! The functions of all pipelines, run in their order over the resources.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use serde_json::Value;

use super::{
    Audience, Failure, Item, List, Options, Place, Ran, Runner, Runners, Step,
    bounds::{Bounds, Summary, check},
    krm, output,
    pipeline::{Call, Config, Kind},
    selector::selects,
    tree::Tree,
};
use crate::package::Files;

/// The function of a call, once it has been asked for.
type Found<'r> = Result<Box<dyn Runner + 'r>, String>;

/// A call that is ready to be run.
pub(super) struct Ready<'r> {
    call: Call,
    runner: Found<'r>,
}

/// Returns the calls with their functions. With `is_late`, one that is not there fails only when its turn comes.
///
/// # Errors
/// A sentence: a function is not there.
pub(super) fn ready(
    calls: Vec<Call>,
    runners: &dyn Runners,
    is_late: bool,
) -> Result<Vec<Ready<'_>>, String> {
    let calls = calls.into_iter();
    let found = calls.map(|call| {
        let runner = runners
            .resolve(&call.image)
            .map_err(|why| unavailable(&call.image, &why));
        match runner {
            Err(why) if !is_late => Err(why),
            runner => Ok(Ready { call, runner }),
        }
    });
    found.collect()
}

fn unavailable(image: &str, why: &str) -> String {
    let between = if why.is_empty() { "" } else { ": " };
    format!("function not available: {image}{between}{why}")
}

/// A render under way.
pub(super) struct Run<'a> {
    pub(super) options: &'a Options<'a>,
    /// Whether the resources are wanted after a failure too. If not, functions are given them and not copies of them.
    pub(super) is_kept: bool,
    /// The resources as the last function that succeeded left them.
    pub(super) items: Vec<Item>,
    /// The packages from above: their resources are given to functions in this order.
    pub(super) order: Vec<&'a str>,
    /// What was run.
    pub(super) steps: Vec<Step>,
}

impl Run<'_> {
    /// Runs the pipeline of a package over its resources and those of the packages in it.
    ///
    /// # Errors
    /// A sentence: a function failed, or the caller went away. What was done before stays.
    pub(super) fn package(&mut self, bounds: &Bounds, pipeline: &[Ready]) -> Result<(), String> {
        if pipeline.is_empty() {
            return Ok(());
        }
        let items = std::mem::take(&mut self.items).into_iter();
        let (mut mine, others): (Vec<_>, Vec<_>) =
            items.partition(|item| krm::is_inside(&item.place.package, bounds.package));
        let rank = |item: &Item| self.order.iter().position(|one| *one == item.place.package);
        mine.sort_by_cached_key(rank);
        let mut done = Ok(());
        for ready in pipeline {
            done = self.function(bounds, ready, &mut mine);
            if done.is_err() {
                break;
            }
        }
        self.items = others;
        self.items.append(&mut mine);
        let shown = if bounds.package.is_empty() {
            "."
        } else {
            bounds.package
        };
        done.map_err(|why| format!("pkg {shown}: pipeline.run: {why}"))
    }

    /// Returns the files of the package as the functions left them; without `prune`, none is taken away.
    ///
    /// # Errors
    /// As [`output::write`].
    pub(super) fn written(
        &self,
        (files, tree): (&Files, &Tree),
        prune: bool,
    ) -> Result<Files, String> {
        output::write((files, tree), &self.items, prune, &self.options.audience)
    }

    fn function(
        &mut self,
        bounds: &Bounds,
        ready: &Ready,
        items: &mut Vec<Item>,
    ) -> Result<(), String> {
        self.options.audience.check()?;
        let call = &ready.call;
        let before = Before::of(call, items);
        let is_copied = self.is_kept || call.kind == Kind::Validator;
        let begun = Instant::now();
        let audience = self.options.audience.within(self.options.limit);
        let list = before.list(call, (items, is_copied), audience);
        let (ran, list) = run(ready, list);
        let step = Step {
            kind: call.kind,
            name: call.name.clone(),
            image: call.image.clone(),
            took: begun.elapsed(),
            ..Step::default()
        };
        let (step, list) = match ran {
            Ok(ran) => (
                Step {
                    results: ran.results,
                    stderr: ran.stderr,
                    ..step
                },
                list,
            ),
            Err(failure) => {
                let why = failure.message.clone();
                self.steps.push(step.failed(failure));
                return Err(format!("func eval {:?} failed: {why}", call.image));
            }
        };
        if call.kind == Kind::Validator {
            self.steps.push(step);
            return Ok(());
        }
        match merged(bounds, call, (&before, items), list) {
            Ok(made) => {
                *items = made;
                self.steps.push(step);
                Ok(())
            }
            Err(message) => {
                let why = message.clone();
                let failure = Failure {
                    message,
                    results: step.results.clone(),
                    stderr: step.stderr.clone(),
                    exit_code: None,
                };
                self.steps.push(step.failed(failure));
                Err(format!("func eval {:?} failed: {why}", call.image))
            }
        }
    }
}

/// What the resources were before a function.
struct Before {
    /// Which of them the function is given.
    are_selected: Vec<bool>,
    summary: Summary,
}

impl Before {
    fn of(call: &Call, items: &[Item]) -> Self {
        let are_selected = items
            .iter()
            .map(|item| selects(&call.selectors, &call.exclude, &item.object));
        Self {
            are_selected: are_selected.collect(),
            summary: Summary::of(items),
        }
    }

    fn are_all_selected(&self) -> bool {
        self.are_selected.iter().all(|is_selected| *is_selected)
    }

    /// Returns what the function is given: copies, or else the resources themselves, of which only their places are left.
    fn list(
        &self,
        call: &Call,
        (items, is_copied): (&mut Vec<Item>, bool),
        audience: Audience,
    ) -> List {
        let config = config(call, items);
        if !is_copied && self.are_all_selected() {
            let items = std::mem::take(items);
            return List {
                items,
                config,
                audience,
            };
        }
        let numbered = items.iter_mut().zip(&self.are_selected);
        let selected = numbered.filter(|(_, is_selected)| **is_selected);
        let given = selected.map(
            |(item, _)| {
                if is_copied { item.clone() } else { taken(item) }
            },
        );
        let items = given.collect();
        List {
            items,
            config,
            audience,
        }
    }
}

/// Takes a resource from its place.
fn taken(item: &mut Item) -> Item {
    Item {
        object: item.object.take(),
        place: item.place.clone(),
        text: std::mem::take(&mut item.text),
    }
}

/// Runs a function over what it is given. One that panics has failed.
fn run(ready: &Ready, mut list: List) -> (Result<Ran, Failure>, List) {
    let ran = match &ready.runner {
        Err(why) => Err(why.clone().into()),
        Ok(runner) => catch_unwind(AssertUnwindSafe(|| runner.run(&mut list)))
            .unwrap_or_else(|_| Err("KRM function panicked".to_owned().into())),
    };
    (ran, list)
}

/// Returns the config of a function, as functions before it left it.
fn config(call: &Call, items: &[Item]) -> Option<Value> {
    match &call.config {
        Config::None => None,
        Config::Inline(value) => Some(value.clone()),
        Config::File {
            path,
            package,
            value,
        } => {
            let is_it = |item: &&Item| item.place.path == *path && item.place.package == *package;
            let now = items.iter().find(is_it).map(|item| &item.object);
            Some(now.unwrap_or(value).clone())
        }
    }
}

/// Returns what the resources become by what a function made of those that it selected: the others stay, and so do the places in the
/// list of those that are where they were.
fn merged(
    bounds: &Bounds,
    call: &Call,
    (before, items): (&Before, &mut Vec<Item>),
    list: List,
) -> Result<Vec<Item>, String> {
    let directory = match &call.config {
        Config::File { path, .. } => path.rsplit_once('/').map_or("", |(directory, _)| directory),
        _ => "",
    };
    let made = bounds.placed(list.items, directory)?;
    if before.are_all_selected() {
        check(before.summary, &made)?;
        return Ok(made);
    }
    check(Summary::default(), &made)?;
    let numbered = made.into_iter().enumerate();
    let mut left: BTreeMap<Place, (usize, Item)> = numbered
        .map(|(at, item)| (item.place.clone(), (at, item)))
        .collect();
    let mut all = Vec::new();
    let others = items.iter().zip(&before.are_selected);
    for (item, is_selected) in others {
        if *is_selected {
            all.extend(left.remove(&item.place).map(|(_, item)| item));
        } else {
            all.push(item.clone());
        }
    }
    let mut new: Vec<_> = left.into_values().collect();
    new.sort_by_key(|(at, _)| *at);
    all.extend(new.into_iter().map(|(_, item)| item));
    check(before.summary, &all)?;
    Ok(all)
}
