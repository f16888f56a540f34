//! The packages of real repositories rendered: nothing is lost, what no function touched keeps its bytes, and whatever fails is judged.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::LazyLock,
};

use porch::{
    package::{Files, has_pipeline},
    render::{
        Current, DEFAULT_IMAGE_PREFIX, Functions, List, Native, Options, Rendered, Runner, Runners,
        catalogued, native, render,
    },
    yaml,
};
use serde_json::Value;

use crate::{
    git_server::git,
    packages::files,
    repository::{Repository, bundles},
};

/// Set to render every package at every tag, and not only some.
pub const ALL: &str = "PORCH_TEST_ALL";
/// How many versions of packages are rendered: a build for tests is slow.
const MOST: usize = 60;
/// Packages that are broken: a part of the error, and why it is theirs.
const BROKEN: &[(&str, &str)] = &[];

/// A version of a package with functions.
struct Package {
    title: String,
    files: Files,
}

/// Returns the directories of the packages at a branch or a tag.
pub fn directories(repository: &Repository, reference: &str) -> Vec<String> {
    let listed = git(
        &repository.bare(),
        &["ls-tree", "-r", "--name-only", reference],
    );
    let kptfiles = listed.lines().filter_map(|path| match path {
        "Kptfile" => Some(""),
        _ => path.strip_suffix("/Kptfile"),
    });
    kptfiles.map(str::to_owned).collect()
}

/// Returns the packages of a repository: all on the main branch, and what the tags of packages say of each.
fn packages(repository: &Repository) -> (Vec<Package>, Vec<Package>) {
    let read = |reference: &str, directory: &str| {
        let files = files(repository, reference, directory);
        let title = format!("{reference}:{directory}");
        has_pipeline(&files)?;
        Some(Package { title, files })
    };
    let main = directories(repository, "main");
    let main = main
        .iter()
        .filter_map(|directory| read("main", directory))
        .collect();
    let tags = git(&repository.bare(), &["tag", "--list"]);
    let tags = tags
        .lines()
        .filter_map(|tag| Some((tag, tag.rsplit_once("/v")?.0)));
    let tagged = tags.filter_map(|(tag, directory)| read(tag, directory));
    (main, tagged.collect())
}

static PACKAGES: LazyLock<Vec<Package>> = LazyLock::new(|| {
    let repositories = bundles().into_iter();
    let (mut all, mut tagged) = (Vec::new(), Vec::new());
    for bundle in repositories {
        let (main, more) = packages(&Repository::of_bundle(&bundle));
        all.extend(main);
        tagged.extend(more);
    }
    let stride = match std::env::var_os(ALL) {
        Some(_) => 1,
        None => tagged.len() / MOST + 1,
    };
    all.extend(tagged.into_iter().step_by(stride));
    all
});

/// The functions of this program, and for each that is not one of them one that does nothing.
struct Patient<'a>(Current<'a>);

impl Runners for Patient<'_> {
    fn resolve(&self, image: &str) -> Result<Box<dyn Runner + '_>, String> {
        let idle: Native = |_: &mut List| Ok(Vec::new());
        self.0.resolve(image).or_else(|_| Ok(Box::new(idle)))
    }
}

pub fn functions(runtime: &tokio::runtime::Runtime) -> Functions {
    Functions::new("", None, None, runtime.handle().clone())
}

pub fn rendered(title: &str, files: &Files, runners: &dyn Runners) -> Rendered {
    let render = || render(files, runners, &Options::default());
    catch_unwind(AssertUnwindSafe(render)).unwrap_or_else(|_| panic!("{title}"))
}

/// Returns the image of which an error says that it is not there.
pub fn missing_image(error: &str) -> Option<&str> {
    let rest = error.split_once("function not available: ")?.1;
    Some(rest.split_once(": ").map_or(rest, |(image, _)| image))
}

/// Returns what the documents of a file say; nothing for a file that is no YAML.
fn said(content: &[u8]) -> Option<Vec<Value>> {
    let text = std::str::from_utf8(content).ok()?;
    yaml::documents(text).ok()
}

/// Returns what of a good render is wrong.
fn wrong(before: &Files, after: &Files) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, content) in before {
        match after.get(path) {
            None => wrong.push(format!("{path} is lost")),
            Some(now) if now == content || path == "Kptfile" => {}
            Some(now) if said(now).is_none() => wrong.push(format!("{path} is no YAML any more")),
            Some(now) if said(now) == said(content) => {
                wrong.push(format!("{path} says the same in other bytes"));
            }
            Some(_) => {}
        }
    }
    wrong
}

/// Returns the files with a root Kptfile that does not say what functions reported.
fn without_reports(files: &Files) -> (Files, Option<Vec<Value>>) {
    let mut files = files.clone();
    let mut kptfile = said(&files.remove("Kptfile").unwrap_or_default());
    for value in kptfile.iter_mut().flatten() {
        if let Some(status) = value.get_mut("status").and_then(Value::as_object_mut) {
            status.remove("renderStatus");
        }
    }
    (files, kptfile)
}

#[test]
fn a_package_is_rendered_or_says_which_function_is_not_here() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let functions = functions(&runtime);
    let (mut good, mut missing, mut broken) = (0, BTreeMap::<String, usize>::new(), 0);
    let mut wrong = Vec::new();
    for package in PACKAGES.iter() {
        let made = rendered(&package.title, &package.files, &functions.current());
        let Some(error) = made.error else {
            good += 1;
            continue;
        };
        match missing_image(&error) {
            Some(image) => {
                assert_eq!(native_name(image), None, "{}: {error}", package.title);
                *missing.entry(image.into()).or_default() += 1;
            }
            None if is_judged(&error) => broken += 1,
            None => wrong.push(format!("{}: {error}", package.title)),
        }
        let lost = package
            .files
            .keys()
            .find(|path| !made.files.contains_key(*path));
        assert_eq!(lost, None, "{}", package.title);
    }
    let absent: usize = missing.values().sum();
    println!(
        "{} packages: {good} rendered, {absent} with a function that is not here, {broken} broken, {} failed",
        PACKAGES.len(),
        wrong.len()
    );
    for (image, count) in &missing {
        println!("not here in {count}: {image}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

pub fn native_name(image: &str) -> Option<&'static str> {
    catalogued(image, DEFAULT_IMAGE_PREFIX).filter(|name| native(name).is_some())
}

pub fn is_judged(error: &str) -> bool {
    BROKEN.iter().any(|(part, _)| error.contains(part))
}

#[test]
fn what_the_functions_here_do_is_whole_and_final() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let functions = functions(&runtime);
    let runners = Patient(functions.current());
    let (mut good, mut changed, mut failed) = (0, 0, Vec::new());
    for package in PACKAGES.iter() {
        let made = rendered(&package.title, &package.files, &runners);
        if let Some(error) = made.error {
            if !is_judged(&error) {
                failed.push(format!("{}: {error}", package.title));
            }
            continue;
        }
        failed.extend(
            wrong(&package.files, &made.files)
                .into_iter()
                .map(|why| format!("{}: {why}", package.title)),
        );
        let again = rendered(&package.title, &made.files, &runners);
        if let Some(error) = &again.error {
            failed.push(format!("{}, again: {error}", package.title));
        } else if without_reports(&again.files) != without_reports(&made.files) {
            let differing: BTreeSet<_> = differing(&made.files, &again.files);
            failed.push(format!("{}, again: changes {differing:?}", package.title));
        }
        good += 1;
        changed += differing(&package.files, &made.files).len();
    }
    println!(
        "{good} of {} packages rendered with functions that do nothing for those that are not here, {changed} files changed",
        PACKAGES.len()
    );
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn differing<'a>(before: &'a Files, after: &'a Files) -> BTreeSet<&'a str> {
    let paths = before.keys().chain(after.keys());
    let paths = paths.filter(|path| before.get(*path) != after.get(*path));
    paths.map(String::as_str).collect()
}
