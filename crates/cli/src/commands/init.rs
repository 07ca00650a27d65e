//! `init`: makes the fleet.

use std::path::{Path, PathBuf};

use certfleet_node::fleet_key;
use certfleet_node::membership::{self, Change, FleetKeyPlace};
use certfleet_node::names::NodeName;
use certfleet_node::operator::{Machine, OperatorError};
use certfleet_node::time::Timestamp;
use clap::Args;

use super::block_on;
use crate::failure::Failure;
use crate::out;

/// Makes the fleet in an empty store, and joins this machine.
///
/// Doing it again on the same machine changes nothing. The store's directory is made if it is not there. The fleet key is made too: whoever
/// has it decides who is in the fleet. It stays in this machine's state directory, unless it is exported.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  certfleet init --node lb0\n  certfleet init --export-key /media/stick/fleet.key     no machine of the fleet keeps it"
)]
pub struct Init {
    /// This node's name [default: $CERTFLEET_NODE, then the host's]
    #[arg(long, value_name = "NAME")]
    node: Option<NodeName>,
    /// Put the fleet key there (0600) instead of into the state directory: to be taken to a safe place
    #[arg(long, value_name = "FILE")]
    export_key: Option<PathBuf>,
}

impl Init {
    /// Makes the fleet, and says what came of it.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let machine = Machine::load(config, self.node.as_ref())?;
        let place = self.export_key.clone().map_or(FleetKeyPlace::State, FleetKeyPlace::File);
        let (identity, change) = block_on(async {
            let store = machine.store_or_new().await?;
            let made = membership::init(store.as_ref(), &machine.settings, self.node.as_ref(), &place, Timestamp::now()).await;
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
        if change == Change::Made {
            tell_key(&place, &machine.settings.state);
        }
        out::talk("next: `certfleet run` here; and for each other machine `certfleet invite NAME`, then there `certfleet join TOKEN`");
        Ok(())
    }
}

fn tell_key(place: &FleetKeyPlace, state: &Path) {
    match place {
        FleetKeyPlace::State => out::talk(&format!(
            "the fleet key is {}: whoever has it can let nodes in and remove them; keep a copy where only you can reach it",
            fleet_key::path(state).display()
        )),
        FleetKeyPlace::File(file) => out::talk(&format!(
            "the fleet key is {} and nowhere else: `invite` and `node remove` need it (`--fleet-key FILE`); without it nobody can join",
            file.display()
        )),
    }
}
