//! `check`: the configuration as a node would see it.

use std::path::Path;

use certfleet_node::config::{self, Settings};
use certfleet_node::names::NodeName;
use certfleet_node::operator::Machine;
use certfleet_node::refusal::Refusal;
use clap::Args;

use crate::failure::{Failure, report};
use crate::out;

/// Checks the configuration, for this node and for every node that it names.
///
/// On a machine that has joined, its own users, groups and files are looked up too.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  certfleet check\n  certfleet check --node web-1 --print")]
pub struct Check {
    /// As which node [default: this one]
    #[arg(long, value_name = "NAME")]
    node: Option<NodeName>,
    /// Print what that node makes of it, defaults filled in, as TOML
    #[arg(long)]
    print: bool,
}

impl Check {
    /// Reads all of it; the first mistake ends it.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let configuration = config::load(config)?;
        for node in configuration.nodes_named() {
            configuration.for_node(node)?;
        }
        let here = Machine::of(&configuration, config, None);
        let (settings, here) = match &self.node {
            Some(node) => (configuration.for_node(node)?, here.ok()),
            None => here.map(|machine| (machine.settings.clone(), Some(machine)))?,
        };
        if here.and_then(|machine| machine.identity).is_some_and(|identity| identity.node == settings.node) {
            check_machine(&settings)?;
        }
        configuration.warnings().iter().for_each(|warning| out::talk(report(warning).trim_matches('\n')));
        if self.print {
            out::data(&settings.print())?;
        }
        let (certificates, issuers, targets) = (settings.spec.certificates.len(), settings.spec.issuers.len(), settings.targets.len());
        out::talk(&format!(
            "{} is good: {certificates} certificate(s), {issuers} issuer(s); {targets} target(s) on node {}",
            config.display(),
            settings.node
        ));
        Ok(())
    }
}

/// What can only be seen on the node itself: users, groups, and the CAs' roots.
fn check_machine(settings: &Settings) -> Result<(), Failure> {
    for (name, target) in &settings.targets {
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::Wrong(Refusal::new(error.to_string(), format!("correct `[deploy.{name}]`, or make what it names")))
        };
        target.build(name.clone(), &settings.node).map_err(|error| wrong(&error))?;
    }
    for (name, root) in &settings.issuer_roots {
        let wrong = |error| {
            Failure::Wrong(Refusal::new(
                format!("{} cannot be read: {error}", root.display()),
                format!("correct `root` of `[issuer.{name}]`"),
            ))
        };
        std::fs::File::open(root).map_err(wrong)?;
    }
    Ok(())
}
