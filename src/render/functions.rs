//! All functions that a server knows: those of this program, executables in a directory, and a function runner, in this
//! order. In come images, out come functions that can be run; whoever runs them is not on a thread of the runtime.

use std::time::Instant;

use tokio::runtime::Handle;

use super::{
    Failure, List, Native, Ran, Runner, Runners, Tally, catalogued,
    elsewhere::{self, ElsewhereError, Evaluated, Executables},
    native, wire,
};

/// What would help whoever has no such function.
const HELP: &str = "it is not in this program; --function-runner HOST:PORT names a server that runs functions, and --functions DIR a directory of executables";

/// The functions of a server.
pub struct Functions {
    executables: Option<Executables>,
    runner: Option<elsewhere::Runner>,
    /// What stands before an image that has no home: what is there are functions of the catalogue too.
    home: String,
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
}

impl Runners for Functions {
    fn resolve(&self, image: &str) -> Result<Box<dyn Runner + '_>, String> {
        let (host, name) = match catalogued(image, &self.home) {
            Some(name) => (native(name).map(Host::Here), name),
            None => (None, ""),
        };
        let (host, name) = match (host, &self.executables, &self.runner) {
            (Some(here), ..) => (here, name),
            (None, Some(executables), _) if self.handle.block_on(executables.knows(image)) => {
                (Host::Executable(executables), "executable")
            }
            (None, _, Some(runner)) => (Host::Runner(runner), "runner"),
            (None, _, None) => return Err(HELP.into()),
        };
        Ok(Box::new(Function {
            image: image.into(),
            name,
            host,
            functions: self,
        }))
    }
}

/// Where a function runs.
enum Host<'a> {
    Here(Native),
    Executable(&'a Executables),
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
        let evaluated = match &self.host {
            Host::Here(native) => return here(*native, list),
            Host::Executable(executables) => {
                handle.block_on(executables.evaluate(&self.image, wire::encode(list)))
            }
            Host::Runner(runner) => {
                handle.block_on(runner.evaluate(&self.image, wire::encode(list)))
            }
        };
        let Evaluated { list: text, log } = evaluated.map_err(|error| failure(&error, list))?;
        let (items, results) = wire::decode(&text, list).map_err(|why| Failure {
            message: format!("what the function answered makes no sense: {why}"),
            ..Failure::default()
        })?;
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

fn failure(error: &ElsewhereError, input: &List) -> Failure {
    let list = match error {
        ElsewhereError::Failed { list, .. } => list.as_deref(),
        _ => None,
    };
    let decoded = list.and_then(|text| wire::decode(text, input).ok());
    Failure {
        message: error.to_string(),
        results: decoded.map(|(_, results)| results).unwrap_or_default(),
    }
}
