//! All functions that a server knows: those that its table says, then executables by their names, then a function runner. In
//! come images, out come functions that can be run; whoever runs them is not on a thread of the runtime.

use std::{sync::Arc, time::Instant};

use arc_swap::ArcSwap;
use tokio::runtime::Handle;

use super::{
    Failure, Found, List, Native, Ran, Runner, Runners, Table, Tally,
    elsewhere::{self, ElsewhereError, Evaluated, Executables},
    native, wire,
};

/// What would help whoever has no such function.
const HELP: &str = "this program has no function for it; --function-runner HOST:PORT names a server that runs functions, --functions DIR a directory of executables, and a FunctionConfig what an image stands for";

/// The functions of a server.
pub struct Functions {
    executables: Option<Executables>,
    runner: Option<elsewhere::Runner>,
    /// What stands before an image that has no home: what is there are functions of the catalogue too.
    home: String,
    /// Which images stand for which functions. A render keeps the one that it began with.
    table: ArcSwap<Table>,
    /// The runtime on which functions elsewhere are waited for.
    handle: Handle,
    tally: Tally,
}

impl Functions {
    /// Returns the functions of this program, as images of the catalogue or below `home`, and of these if there are any.
    #[must_use]
    pub fn new(
        home: &str,
        executables: Option<Executables>,
        runner: Option<elsewhere::Runner>,
        handle: Handle,
    ) -> Self {
        Self {
            home: home.into(),
            table: ArcSwap::from_pointee(Table::new(home, executables.is_some())),
            executables,
            runner,
            handle,
            tally: Tally::default(),
        }
    }

    /// Returns what is counted of their runs.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Returns the table of this program alone, for somebody to say more of images.
    #[must_use]
    pub fn table(&self) -> Table {
        Table::new(&self.home, self.executables.is_some())
    }

    /// Has renders that begin from now on go by this table.
    pub fn follow(&self, table: Table) {
        self.table.store(Arc::new(table));
    }

    /// Returns the functions as they are now, for one render.
    #[must_use]
    pub fn current(&self) -> Current<'_> {
        Current {
            functions: self,
            table: self.table.load_full(),
        }
    }
}

/// The functions of a server at one moment.
pub struct Current<'a> {
    functions: &'a Functions,
    table: Arc<Table>,
}

impl Runners for Current<'_> {
    fn resolve(&self, image: &str) -> Result<Box<dyn Runner + '_>, String> {
        let (host, name) = self.host(image)?;
        Ok(Box::new(Function {
            image: image.into(),
            name,
            host,
            functions: self.functions,
        }))
    }
}

impl Current<'_> {
    /// Returns where a function runs, and its name or that of the place.
    fn host(&self, image: &str) -> Result<(Host<'_>, &'static str), String> {
        let Functions {
            executables,
            runner,
            handle,
            ..
        } = self.functions;
        let found = self.table.find(image);
        if let Some(Found::Here(name)) = found
            && let Some(native) = native(name)
        {
            return Ok((Host::Here(native), name));
        }
        match (found, executables, runner) {
            (Some(Found::Executable(path)), Some(executables), _) => {
                if !handle.block_on(executables.has(path)) {
                    return Err(format!(
                        "its FunctionConfig names {path:?}, which is no executable in --functions"
                    ));
                }
                Ok((Host::Path(executables, path.into()), "executable"))
            }
            (_, Some(executables), _) if handle.block_on(executables.knows(image)) => {
                Ok((Host::Executable(executables), "executable"))
            }
            (_, _, Some(runner)) => Ok((Host::Runner(runner), "runner")),
            (_, _, None) => Err(HELP.into()),
        }
    }
}

/// Where a function runs.
enum Host<'a> {
    Here(Native),
    Executable(&'a Executables),
    /// The executable at this path.
    Path(&'a Executables, String),
    Runner(&'a elsewhere::Runner),
}

/// A function that is ready to run.
struct Function<'a> {
    image: String,
    /// Its name among the functions of this program, or where it runs.
    name: &'static str,
    host: Host<'a>,
    functions: &'a Functions,
}

impl Runner for Function<'_> {
    fn run(&self, list: &mut List) -> Result<Ran, Failure> {
        let begun = Instant::now();
        let ran = self.at_its_host(list);
        let about = (self.name, self.image.as_str());
        self.functions
            .tally
            .ran(about, ran.is_ok(), begun.elapsed());
        ran
    }
}

impl Function<'_> {
    fn at_its_host(&self, list: &mut List) -> Result<Ran, Failure> {
        let handle = &self.functions.handle;
        // What is done elsewhere is given up with its future.
        let evaluated = match &self.host {
            Host::Here(native) => return here(*native, list),
            Host::Executable(executables) => {
                let evaluating = executables.evaluate(&self.image, wire::encode(list));
                handle.block_on(list.audience.stays_for(evaluating))?
            }
            Host::Path(executables, path) => {
                let evaluating = executables.evaluate_at(path, &self.image, wire::encode(list));
                handle.block_on(list.audience.stays_for(evaluating))?
            }
            Host::Runner(runner) => {
                let evaluating = runner.evaluate(&self.image, wire::encode(list));
                handle.block_on(list.audience.stays_for(evaluating))?
            }
        };
        let Evaluated { list: text, log } = evaluated.map_err(|error| failure(error, list))?;
        let decoded = wire::decode(&text, list);
        let (items, results) = match decoded {
            Ok(decoded) => decoded,
            Err(why) => {
                return Err(Failure {
                    message: format!("what the function answered makes no sense: {why}"),
                    stderr: log,
                    ..Failure::default()
                });
            }
        };
        list.items = items;
        Ok(Ran {
            results,
            stderr: log,
        })
    }
}

/// Runs a function of this program; whatever a package makes of it, the server goes on.
fn here(native: Native, list: &mut List) -> Result<Ran, Failure> {
    let run = std::panic::AssertUnwindSafe(|| native.run(list));
    std::panic::catch_unwind(run).unwrap_or_else(|_| {
        Err(Failure {
            message: "the function broke down; the server's log says where".into(),
            ..Failure::default()
        })
    })
}

fn failure(error: ElsewhereError, input: &List) -> Failure {
    let message = error.to_string();
    let ElsewhereError::Failed {
        list,
        log,
        exit_code,
        ..
    } = error
    else {
        return message.into();
    };
    let decoded = list
        .as_ref()
        .and_then(|text| wire::decode(text, input).ok());
    Failure {
        message,
        results: decoded.map(|(_, results)| results).unwrap_or_default(),
        stderr: log,
        exit_code,
    }
}
