//! `snippet`: lines for the web server's configuration.

use std::path::Path;

use certfleet_node::operator::Machine;
use certfleet_node::snippet::{Server, snippet};
use clap::{Args, ValueEnum};

use crate::failure::Failure;
use crate::out;

/// Prints lines for a web server: forwarding challenges to certfleet, and using a certificate.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  certfleet snippet nginx > /etc/nginx/conf.d/certfleet.conf")]
pub struct Snippet {
    /// Which server
    #[arg(value_name = "SERVER")]
    server: Kind,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Nginx,
    Haproxy,
    Apache,
}

impl Snippet {
    /// Prints what this node would need.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let machine = Machine::load(config, None)?;
        let server = match self.server {
            Kind::Nginx => Server::Nginx,
            Kind::Haproxy => Server::Haproxy,
            Kind::Apache => Server::Apache,
        };
        out::data(&snippet(server, &machine.settings))
    }
}
