//! `--keep`: what to look at while everything runs.

use crate::lab::{ADDRESSES, NAME, NODES};
use crate::stage::Stage;

/// Prints how to look around.
pub fn tell(stage: &Stage) {
    let (lab, port) = (&stage.lab, stage.lab.https_port());
    let dir = lab.dir().display();
    let programs = stage.certfleet.program().parent().map(|dir| dir.display().to_string()).unwrap_or_default();
    let ids: Vec<String> =
        stage.daemons.iter().zip(NODES).filter_map(|(daemon, name)| Some(format!("{name} {}", daemon.as_ref()?.id()))).collect();
    let killing = format!("# kill them: {}", ids.join(", "));
    let root = lab.visitor_root();
    let curl = format!("curl --cacert {} --resolve {NAME}:{port}:{} https://{NAME}:{port}/", root.display(), ADDRESSES[1]);
    stage.screen.heading("Look around", "Everything runs on until Ctrl-C. In another terminal:");
    let lines = [
        ("# as n1 sees the fleet, and what was issued", "CERTFLEET_NODE=n1 certfleet status".to_owned()),
        ("", format!("CERTFLEET_NODE=n1 certfleet history {NAME}")),
        ("# another renewal, asked for on n3", format!("CERTFLEET_NODE=n3 certfleet renew {NAME} --wait")),
        ("# the configuration: one file, and what n1 makes of it", format!("less {}", lab.config().display())),
        ("", "CERTFLEET_NODE=n1 certfleet check --print".to_owned()),
        ("# a visit to n2; 127.0.0.11 is n1, 127.0.0.13 is n3", curl),
        ("# what certfleet and the CA say", format!("tail -f {dir}/n?/certfleet.log {dir}/ca/pebble.log")),
        ("# what the nodes share", format!("find {} -type f", lab.store().display())),
        (&killing, "kill -9 …".to_owned()),
    ];
    stage.screen.plain(&format!("    export PATH={programs}:$PATH CERTFLEET_CONFIG={}", lab.config().display()));
    for (comment, command) in lines {
        if !comment.is_empty() {
            stage.screen.plain(&format!("\n    {}", stage.screen.painted("2", comment)));
        }
        stage.screen.plain(&format!("    {command}"));
    }
}
