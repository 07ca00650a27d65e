//! `completions`: for the operator's shell.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::out;

/// Prints completions for a shell.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  certfleet completions bash > /etc/bash_completion.d/certfleet")]
pub struct Completions {
    /// Which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    /// Prints them; no configuration is needed.
    pub fn run(self) -> Result<(), Failure> {
        let mut text = Vec::new();
        generate(self.shell, &mut Arguments::command(), "certfleet", &mut text);
        out::data(&String::from_utf8_lossy(&text))
    }
}
