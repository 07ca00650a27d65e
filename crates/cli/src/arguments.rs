//! The words that every command takes, and the list of commands.

use std::path::{Path, PathBuf};

use certfleet_node::refusal::Refusal;
use certfleet_node::token;
use clap::{Parser, Subcommand};

use crate::commands::{
    account, check, completions, fleet, history, init, invite, join, node, renew, rollout, run, snippet, status, store, wait,
};
use crate::failure::Failure;

/// Widest help text, in columns.
const HELP_COLUMNS_MAX: usize = 100;

const EXAMPLES: &str = "\
Examples:
  certfleet init                        on the first machine: make the fleet
  certfleet invite web-1                there: a token for the next one
  certfleet join TOKEN                  on the next machine
  certfleet run                         on every machine: the daemon
  certfleet status                      what is served where

Exit codes: 0 done; 1 it could not be done; 2 wrong usage or configuration.";

/// Keeps ACME certificates for a fleet of servers.
///
/// One configuration file, the same on every node: any node places the order, any node answers the CA, one certificate is issued, every node
/// installs it and is seen serving it.
#[derive(Debug, Parser)]
#[command(name = "certfleet", version, after_help = EXAMPLES, max_term_width = HELP_COLUMNS_MAX)]
pub struct Arguments {
    /// The configuration [default: $CERTFLEET_CONFIG, then /etc/certfleet/certfleet.toml]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Arguments {
    /// Reads them; ends the process for help. A token that stands where none belongs is not repeated.
    pub fn read() -> Result<Self, Failure> {
        Self::try_parse().or_else(|error| match error.use_stderr() && token::stands_in(&error.to_string()) {
            true => Err(Failure::Wrong(Refusal::new("a token stands where none belongs", "the form is `certfleet join TOKEN`"))),
            false => error.exit(),
        })
    }
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    Init(init::Init),
    Invite(invite::Invite),
    Join(join::Join),
    Run(run::Run),
    Check(check::Check),
    Status(status::Status),
    History(history::History),
    Wait(wait::Wait),
    Renew(renew::Renew),
    Rollout(rollout::Rollout),
    Node(node::Node),
    Account(account::Account),
    Store(store::Store),
    Fleet(fleet::Fleet),
    Snippet(snippet::Snippet),
    Completions(completions::Completions),
}

impl Command {
    /// Does it, with the configuration at `config`.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        match self {
            Self::Init(command) => command.run(config),
            Self::Invite(command) => command.run(config),
            Self::Join(command) => command.run(config),
            Self::Run(command) => command.run(config),
            Self::Check(command) => command.run(config),
            Self::Status(command) => command.run(config),
            Self::History(command) => command.run(config),
            Self::Wait(command) => command.run(config),
            Self::Renew(command) => command.run(config),
            Self::Rollout(command) => command.run(config),
            Self::Node(command) => command.run(config),
            Self::Account(command) => command.run(config),
            Self::Store(command) => command.run(config),
            Self::Fleet(command) => command.run(config),
            Self::Snippet(command) => command.run(config),
            Self::Completions(command) => command.run(),
        }
    }
}
