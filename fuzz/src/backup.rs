//! Backups, as `store restore` takes them: a header, then lines. So that the lines are looked at too, they get a header that fits, signed by a member.

use std::io::Write;
use std::sync::OnceLock;

use certfleet_node::config::{Settings, load};
use certfleet_node::identity::Identity;
use certfleet_node::operator::read_backup;

use crate::fleet::{self, NODE};

const CONFIGURATION: &str = "[fleet]\nname = \"prod\"\nstore = \"file:///srv/certfleet\"\n[issuer.ca]\ndirectory = \"https://ca.test/directory\"\nagree_tos = true\n";

/// Takes it for a backup. True: everything in it counts.
pub fn read(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let (settings, identity) = machine();
    read_backup(text, settings, identity)
}

/// The machine that reads it.
fn machine() -> &'static (Settings, Identity) {
    static MACHINE: OnceLock<(Settings, Identity)> = OnceLock::new();
    MACHINE.get_or_init(|| {
        let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
        file.write_all(CONFIGURATION.as_bytes()).expect("a file can be written");
        let node = NODE.parse().expect("a name");
        let settings = load(file.path()).and_then(|configuration| configuration.for_node(&node)).expect("a good configuration");
        let fleet = fleet::fleet();
        let mut identity = Identity::draw(fleet.id, fleet.name, fleet.verifying_keys, node).expect("the system has randomness");
        (identity.identity, identity.signing_key) = (NODE.into(), fleet::key_of(NODE));
        (settings, identity)
    })
}
