//! The command `certfleet`: words in, words out.
//!
//! Always holds: stdout is data and stderr is talk; the exit code is 0 for done, 1 for not done, 2 for wrong usage or configuration; every
//! failure says what happened and what to do.
//!
//! Deliberately not here: everything that a command does to the fleet; that is in `certfleet-node`.

mod arguments;
mod commands;
mod dumps;
mod failure;
mod out;
mod progress;
mod spans;
mod tables;

use std::process::ExitCode;

use arguments::Arguments;
use failure::Failure;

fn main() -> ExitCode {
    dumps::forbid();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

fn run() -> Result<(), Failure> {
    let arguments = Arguments::read()?;
    let config = arguments.config.unwrap_or_else(certfleet_node::config::default_path);
    arguments.command.run(&config)
}
