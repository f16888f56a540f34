//! The program: reads its command, wires the parts, and carries it out.

use std::{io::Write, process::ExitCode};

use clap::Parser;
use porch::{
    config::{Command, Config, Crds},
    crds, serve, standalone, telemetry,
};

fn main() -> ExitCode {
    let config = Config::parse();
    let done = telemetry::start(&config.log).and_then(|telemetry| {
        let done = carry_out(config.command);
        telemetry.end();
        done
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("porch: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Crds(flags) => print_crds(&flags),
        Command::Serve(flags) => serve::run(&flags),
        Command::Standalone(flags) => standalone::run(&flags),
    }
}

fn print_crds(flags: &Crds) -> anyhow::Result<()> {
    for (name, text) in crds::files() {
        match &flags.directory {
            Some(directory) => std::fs::write(directory.join(name), text)?,
            None => write!(std::io::stdout(), "---\n{text}")?,
        }
    }
    Ok(())
}
