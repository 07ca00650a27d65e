//! `join`: makes this machine a node.

use std::path::Path;

use certfleet_node::membership::{self, Change, Joined, Joiner};
use certfleet_node::names::NodeName;
use certfleet_node::operator::{Machine, OperatorError};
use certfleet_node::time::Timestamp;
use certfleet_node::token::{PREFIX, TELLING_CHARS_MIN, TOKEN_BYTES_MAX, Token, TokenError, only_node};
use clap::Args;

use super::{block_on, read_text};
use crate::failure::Failure;
use crate::out;

/// Makes this machine the node that a token invites.
///
/// Doing it again on the same machine changes nothing.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  certfleet join cf1.eyJpZCI6…\n  certfleet join web-1.token\n  ssh lb0 certfleet invite web-1 | certfleet join -"
)]
pub struct Join {
    /// What `certfleet invite` printed, a file that holds it, or `-` for stdin
    #[arg(value_name = "TOKEN-or-FILE")]
    token: String,
    /// This node's name [default: the token's, then $CERTFLEET_NODE, then the host's]
    #[arg(long, value_name = "NAME")]
    node: Option<NodeName>,
}

impl Join {
    /// Joins, and says what came of it.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let token = self.token()?;
        let grant = token.grant().map_err(|error| Failure::refused(error.to_string(), "ask for another token: `certfleet invite NODE`"))?;
        let name = self.node.clone().or_else(|| only_node(&grant));
        let machine = Machine::load(config, name.as_ref())?;
        let (identity, joined) = block_on(async {
            let joiner = Joiner::new(&machine.settings, &token, self.node.as_ref()).map_err(OperatorError::from)?;
            let store = joiner.store(&machine.settings, &token).await?;
            let joined = membership::join(store.as_ref(), &machine.settings, &token, joiner, Timestamp::now()).await;
            Ok(joined.map_err(OperatorError::from)?)
        })?;
        let (node, fleet) = (&identity.node, &identity.fleet_name);
        out::talk(&match joined {
            Joined::Asking(Change::Made) => format!("this machine asks to join fleet {fleet} ({}) as node {node}", identity.fleet),
            Joined::Asking(Change::Nothing) => format!("this machine asks to join fleet {fleet} as node {node} already; nothing changed"),
            Joined::Member(_) => format!("this machine is node {node} of fleet {fleet} already; nothing changed"),
        });
        if let Joined::Asking(_) = joined {
            out::talk("it is let in as soon as a node with the role issue runs; `certfleet node ls` shows it");
        }
        out::talk(&format!("its own files are in {}", machine.settings.state.display()));
        out::talk("next: `certfleet run`");
        Ok(())
    }

    /// Whether it may be a token whose beginning is missing, rather than the name of a file.
    fn may_be_cut(&self) -> bool {
        self.token.len() >= TELLING_CHARS_MIN && !self.token.contains('/')
    }

    fn token(&self) -> Result<Token, Failure> {
        let not_a_token = |TokenError(why)| {
            Failure::refused(
                format!("this is not a certfleet token: {why}"),
                "a token is the one line that `certfleet invite NODE` prints, or the file it wrote",
            )
        };
        if self.token.trim_start().starts_with(PREFIX) {
            return Token::decode(&self.token).map_err(not_a_token);
        }
        let text = read_text(Path::new(&self.token), TOKEN_BYTES_MAX as u64).map_err(|failure| match self.may_be_cut() {
            // The message would repeat it.
            true => not_a_token(TokenError("it does not begin with `cf1.`, and there is no file of that name")),
            false => failure,
        })?;
        Token::decode(&text).map_err(not_a_token)
    }
}
