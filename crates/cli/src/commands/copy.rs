//! `store copy`: a running fleet moves to another store.

use certfleet_node::operator::{Copied, Copying, Machine, Problem, check_store_url, store_copy};
use certfleet_node::time::Timestamp;
use clap::Args;

use super::block_on;
use crate::failure::Failure;
use crate::out;
use crate::progress::Progress;

/// Moves the fleet to another store while it runs
///
/// Everything is copied as it was signed. When most of it is there, the nodes stop ordering (they go on serving and answering), the rest
/// is copied and verified, and the fleet lives in TO: each node follows when `store` in its configuration is changed and it is
/// reloaded or restarted. At no moment do nodes of both stores order. It can be given again whenever it was cut off, and back again later.
///
/// FROM and TO are URLs as in the configuration, options included. Give it on a node with the role `issue`. A password on a command line can be
/// seen by other users: name a file that holds it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  certfleet store copy file:///srv/certfleet etcd://db1:2379,db2:2379,db3:2379/certfleet\n  \
                        certfleet store copy etcd://db1:2379/certfleet 'postgres://certfleet@db/fleet?password_file=/etc/certfleet/pg'")]
pub struct Copy {
    /// The store that the fleet lives in
    #[arg(value_name = "FROM")]
    from: String,
    /// The store that it moves to: empty, or one that it has left
    #[arg(value_name = "TO")]
    to: String,
    /// Gives up a copy that was cut off: the fleet stays in FROM
    #[arg(long)]
    undo: bool,
}

impl Copy {
    /// Moves it, and says what is left to do.
    pub fn run(&self, machine: &Machine) -> Result<(), Failure> {
        for url in [&self.from, &self.to] {
            check_store_url(url).map_err(Failure::Wrong)?;
        }
        let how = Copying { from: &self.from, to: &self.to, undo: self.undo, at: Timestamp::now() };
        let copied = {
            let mut progress = Progress::start();
            block_on(async { Ok(store_copy(machine, &how, |what| progress.say(what)).await?) })?
        };
        self.tell(&copied);
        Ok(())
    }

    fn tell(&self, copied: &Copied) {
        match copied {
            Copied::Moved { records, left_out, problems } => {
                let counts: Vec<String> = records.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
                out::talk(&format!("copied and verified: {}", counts.join(", ")));
                for (key, why) in left_out {
                    out::talk(&format!("left out: {}: {}", out::printable(key.as_str()), out::printable(why)));
                }
                problems.iter().for_each(|problem| out::talk(&found(problem)));
                next();
            }
            Copied::Already => {
                out::talk("the fleet has moved there before; nothing changed");
                next();
            }
            Copied::Undone => out::talk("the copy is given up: the fleet lives where it did, and its nodes go on by themselves"),
        }
    }
}

fn found(problem: &Problem) -> String {
    format!("in both stores: {}: {}; {}", out::printable(&problem.key), out::printable(&problem.what), problem.remedy)
}

fn next() {
    out::talk(
        "next, on every node: set `store` in the configuration to the new place, then `systemctl reload certfleet` (SIGHUP) or a restart",
    );
    out::talk("then `certfleet store check`; the old store is kept as it is, and no node uses it any more");
}
