//! `invite`: tokens for machines that are to join.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use certfleet_node::membership::{self, Invitation};
use certfleet_node::names::NodePattern;
use certfleet_node::operator::{Machine, OperatorError};
use certfleet_node::spec::{Role, Roles};
use certfleet_node::time::Timestamp;
use certfleet_node::token::Token;
use certfleet_node::trust::Grant;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use zeroize::Zeroizing;

use super::block_on;
use crate::failure::Failure;
use crate::{out, spans};

const ROLES: [Role; 3] = [Role::Issue, Role::Answer, Role::Deploy];
/// For the operator alone.
const TOKEN_FILE_MODE: u32 = 0o600;

/// Prints a token for each node that is to join; stderr says what it grants.
///
/// One node: the token alone. Several: a line each, the node's name, a tab, the token.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  certfleet invite web-1 --roles answer,deploy
  certfleet invite 'web-*' --uses 50 --expires 7d      for machines that come and go
  certfleet invite lb1 --replace                       for a machine that was rebuilt")]
pub struct Invite {
    /// Names, or patterns such as 'web-*'
    #[arg(value_name = "NODE", required = true)]
    nodes: Vec<NodePattern>,
    /// What they may do
    #[arg(long, value_delimiter = ',', default_value = "issue,answer,deploy", value_parser = role())]
    roles: Vec<Role>,
    /// How long the tokens can be used
    #[arg(long, value_name = "SPAN", default_value = "24h", value_parser = spans::parse)]
    expires: Duration,
    /// How many nodes may join with each token
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    uses: u32,
    /// The machine takes the place of an older one of that name
    #[arg(long)]
    replace: bool,
    /// The fleet key, if it is not in this machine's state directory
    #[arg(long, value_name = "FILE")]
    fleet_key: Option<PathBuf>,
    /// Write DIR/NODE.token (0600) instead of printing; `*` in a name becomes `_`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(["issue", "answer", "deploy"]).map(|text| match text.as_str() {
        "issue" => Role::Issue,
        "answer" => Role::Answer,
        _ => Role::Deploy,
    })
}

impl Invite {
    /// Makes all tokens before it prints the first.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let machine = Machine::load(config, None)?;
        let tokens = block_on(self.tokens(&machine))?;
        tokens.iter().for_each(|(grant, _)| out::talk(&grants(grant)));
        let line = |grant: &Grant, token: &Token| [grant.node.as_str(), "\t", &token.encode(), "\n"].concat();
        match (&self.out, tokens.as_slice()) {
            (Some(dir), tokens) => tokens.iter().try_for_each(|(grant, token)| write_file(dir, grant, token)),
            (None, [(_, only)]) => out::data(&Zeroizing::new([&only.encode(), "\n"].concat())),
            (None, several) => several.iter().try_for_each(|(grant, token)| out::data(&Zeroizing::new(line(grant, token)))),
        }
    }

    async fn tokens(&self, machine: &Machine) -> Result<Vec<(Grant, Token)>, Failure> {
        let (_, _, view) = machine.standing().await?;
        let fleet_key = machine.fleet_key(self.fleet_key.as_deref())?;
        let (store, servers) = machine.meeting_place(&view)?;
        let mut tokens = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let invitation = Invitation {
                node: node.clone(),
                roles: self.roles.iter().copied().collect(),
                uses: self.uses,
                valid_for: self.expires,
                replace: self.replace,
            };
            let token = membership::invite(&view, (&store, &servers), &invitation, &fleet_key, Timestamp::now());
            let token = token.map_err(OperatorError::from)?;
            let grant = token.grant().map_err(|error| Failure::refused(error.to_string(), "give the command again"))?;
            tokens.push((grant, token));
        }
        Ok(tokens)
    }
}

fn grants(token: &Grant) -> String {
    let times = match token.uses {
        1 => "once".to_owned(),
        uses => format!("{uses} times"),
    };
    let replacing = if token.replace { ", in place of an older machine" } else { "" };
    let until = spans::moment(token.expires_at);
    format!("{}: may join fleet {} {times}{replacing}, as {}, until {until}", token.node, token.fleet_name, listed(&token.roles))
}

fn listed(roles: &Roles) -> String {
    ROLES.iter().filter(|role| roles.contains(role)).map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn write_file(dir: &Path, grant: &Grant, token: &Token) -> Result<(), Failure> {
    let path = dir.join(format!("{}.token", grant.node.as_str().replace('*', "_")));
    write_private(&path, token.encode().as_bytes()).map_err(|error| {
        Failure::refused(format!("{} cannot be written: {error}", path.display()), "give a directory that exists and can be written to")
    })?;
    out::talk(&format!("wrote {}", path.display()));
    Ok(())
}

/// Replaces an older token; 0600 from the first byte on, never through a link that somebody laid.
fn write_private(path: &Path, line: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(format!("token.{}", std::process::id()));
    let written = OpenOptions::new().write(true).create_new(true).mode(TOKEN_FILE_MODE).open(&temporary).and_then(|mut file| {
        file.write_all(line)?;
        file.write_all(b"\n")?;
        std::fs::rename(&temporary, path)
    });
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}
