//! `init`: makes the fleet.

use std::path::Path;

use certfleet_node::membership::{self, Change};
use certfleet_node::names::NodeName;
use certfleet_node::operator::{Machine, OperatorError};
use certfleet_node::time::Timestamp;
use clap::Args;

use super::block_on;
use crate::failure::Failure;
use crate::out;

/// Makes the fleet in an empty store, and joins this machine.
///
/// Doing it again on the same machine changes nothing. The store's directory is made if it is not there.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  certfleet init --node lb0")]
pub struct Init {
    /// This node's name [default: $CERTFLEET_NODE, then the host's]
    #[arg(long, value_name = "NAME")]
    node: Option<NodeName>,
}

impl Init {
    /// Makes the fleet, and says what came of it.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let machine = Machine::load(config, self.node.as_ref())?;
        let (identity, change) = block_on(async {
            let store = machine.store_or_new().await?;
            let made = membership::init(store.as_ref(), &machine.settings, self.node.as_ref(), Timestamp::now()).await;
            Ok(made.map_err(OperatorError::from)?)
        })?;
        match change {
            Change::Made => {
                out::talk(&format!("made fleet {} ({}), and joined it as node {}", identity.fleet_name, identity.fleet, identity.node))
            }
            Change::Nothing => {
                out::talk(&format!("this machine is node {} of fleet {} already; nothing changed", identity.node, identity.fleet_name))
            }
        }
        out::talk(&format!("its own files are in {}", machine.settings.state.display()));
        out::talk("next: `certfleet run` here; and for each other machine `certfleet invite NAME`, then there `certfleet join TOKEN`");
        Ok(())
    }
}
