//! The function `starlark`: a script of the function's config, run over the resources by a machine of our own.
//!
//! In come the resources and a script, out come the resources as the script leaves them, and what it printed. A script is a stranger's:
//! each step and each byte that it takes is counted before it is taken, so that one that loops, recurses, allocates or prints for
//! ever ends soon, with a sentence that says so, and takes nothing else down. It sees nothing but its list: no files, no clock, no network.

mod builtin;
mod express;
mod format;
mod machine;
mod meter;
mod method;
mod modules;
mod operate;
mod parse;
mod parse_expression;
mod resources;
mod show;
#[cfg(test)]
mod tests;
mod text;
mod token;
mod tree;
mod value;

use std::thread;

use serde_json::Value;

use self::{
    machine::Machine,
    meter::{Limits, Meter},
    tree::{Block, Trouble},
};
use super::{Failure, List};
use crate::api::ResultItem;

/// Room for the deepest script that the limits allow. It is taken from the system only as far as it is needed.
const STACK: usize = 256 << 20;
/// Most bytes of a script.
const MOST_BYTES: usize = 1 << 20;
/// How many times of what a script may use its list may take.
const FOR_INPUT: u64 = 4;
/// What a script is called when its config has no name.
const NAMELESS: &str = "starlark-function-run";

/// Runs the script of the config over the list. Returns what it printed, as one report.
///
/// # Errors
/// [`Failure`]: there is no script, or it failed; then the list is as it was.
pub fn starlark(list: &mut List) -> Result<Vec<ResultItem>, Failure> {
    let ran = run(list, Limits::default());
    let (printed, ended) = match ran {
        Ok(ran) => (ran.printed, ran.items),
        Err(message) => (String::new(), Err(message)),
    };
    let printed = printed.trim_end();
    let mut results = Vec::new();
    if !printed.is_empty() {
        results.push(report("info", printed));
    }
    match ended {
        Ok(items) => {
            list.items = items;
            Ok(results)
        }
        Err(message) => {
            results.push(report("error", &message));
            Err(Failure {
                message,
                results,
                ..Failure::default()
            })
        }
    }
}

fn report(severity: &str, message: &str) -> ResultItem {
    ResultItem {
        message: message.into(),
        severity: severity.into(),
        ..ResultItem::default()
    }
}

/// What a run left.
struct Ran {
    printed: String,
    items: Result<Vec<super::Item>, String>,
}

fn run(list: &List, limits: Limits) -> Result<Ran, String> {
    let config = list.config.as_ref();
    let source = config
        .and_then(source)
        .filter(|source| !source.trim().is_empty());
    let source = source.ok_or("`source` must not be empty")?;
    let name = config.and_then(|config| config.pointer("/metadata/name")?.as_str());
    let given = resources::given(list);
    let meter = Meter::new(limits, list.audience.clone());
    let (printed, after) = on_a_thread(|| evaluate(source, &given, meter))?;
    let name = name.filter(|name| !name.is_empty()).unwrap_or(NAMELESS);
    let items = after.map_err(|trouble| shown(name, &trouble));
    let items = items.and_then(|after| resources::left(list, after));
    Ok(Ran { printed, items })
}

/// Returns the script of a config of either kind.
fn source(config: &Value) -> Option<&str> {
    let is_map = config.get("kind").is_some_and(|kind| kind == "ConfigMap");
    let path = if is_map { "/data/source" } else { "/source" };
    config.pointer(path)?.as_str()
}

/// Returns trouble with the name of the script and the place in it, as Starlark tells it in Go.
fn shown(name: &str, trouble: &Trouble) -> String {
    let message = &trouble.message;
    match trouble.at {
        Some(at) => format!("{name}:{}:{}: {message}", at.line, at.column),
        None => message.clone(),
    }
}

/// Does something with a stack of its own.
///
/// # Errors
/// If the system has no thread left, or that one panicked.
fn on_a_thread<T: Send>(what: impl FnOnce() -> T + Send) -> Result<T, String> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("starlark".into())
            .stack_size(STACK);
        let thread = thread.spawn_scoped(scope, what);
        let thread = thread.map_err(|error| format!("the script can't be run: {error}"))?;
        thread.join().map_err(|_| "the function panicked".into())
    })
}

/// Returns what a script printed, and its list as it left it.
fn evaluate(source: &str, given: &Value, meter: Meter) -> (String, Result<Value, Trouble>) {
    if source.len() > MOST_BYTES {
        let told = format!("the script has more than {MOST_BYTES} bytes");
        return (String::new(), Err(told.into()));
    }
    let mut machine = Machine::new(meter);
    let after = parse::parse(source).and_then(|block| work(&mut machine, &block, given));
    (machine.printed, after)
}

fn work(machine: &mut Machine, block: &Block, given: &Value) -> Result<Value, Trouble> {
    // The list is as large as the package, which has limits of its own: what it takes is not the script's.
    machine.heap.meter.refill(FOR_INPUT);
    let list = machine.heap.json_in(given)?;
    machine.heap.meter.refill(1);
    let empty = machine.heap.empty()?;
    let fields = vec![
        ("resource_list", list.clone()),
        ("open_api", value::Value::Dict(empty)),
        ("environment", value::Value::Dict(machine.heap.empty()?)),
    ];
    let context = machine.heap.record(fields)?;
    machine.set("ctx", context);
    machine.run(block)?;
    machine.heap.meter.refill(1);
    machine.heap.json_out(&list)
}
