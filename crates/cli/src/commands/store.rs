//! `store`: looks through the store, moves it, and brings it back.

use std::path::{Path, PathBuf};

use certfleet_node::operator::{
    BACKUP_BYTES_MAX, BackedUp, CertificateKey, Checked, KnownCertificate, Machine, Recovered, Restored, Restoring, save_backup,
    store_backup, store_check, store_recover, store_restore,
};
use certfleet_node::time::Timestamp;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{block_on, copy, read_text};
use crate::failure::Failure;
use crate::tables::Columns;
use crate::{out, spans};

/// The version of the JSON document's form.
const SCHEMA: u32 = 1;
/// Where stdin or stdout stands for a file.
const STANDARD: &str = "-";

/// Checks the store, moves it to another engine, backs it up, and brings it back.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  certfleet store check\n  certfleet store copy file:///srv/certfleet etcd://db1,db2,db3/certfleet\n  certfleet store backup /var/backups/certfleet.jsonl\n  certfleet store recover\n  \
                  certfleet store restore /var/backups/certfleet.jsonl"
)]
pub struct Store {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Reads and verifies everything; ends with 1 if something is wrong
    #[command(after_help = "Examples:\n  certfleet store check\n  certfleet store check --json | jq -r '.problems[].key'")]
    Check {
        /// As JSON; docs/commands.md has the fields
        #[arg(long)]
        json: bool,
    },
    Copy(copy::Copy),
    /// Writes all records that count into one file (0600); the secrets in it stay sealed
    #[command(
        after_help = "Examples:\n  certfleet store backup /var/backups/certfleet.jsonl --force\n  certfleet store backup - | ssh vault 'cat > fleet.jsonl'"
    )]
    Backup {
        /// The file, `-` for stdout
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Write over a file that exists
        #[arg(long)]
        force: bool,
    },
    /// Puts a backup's certificates back, in a new epoch of the fleet
    ///
    /// Everything in the file is verified before anything is written. Who is in the fleet and who was removed never goes back.
    #[command(after_help = "Examples:\n  certfleet store restore fleet.jsonl                 into an empty store\n  \
                            certfleet store restore fleet.jsonl --replace       over what the store holds")]
    Restore(Restore),
    /// Fills a lost store from what this node knows; on further nodes, adds what is missing
    ///
    /// Nothing that stands in the store is replaced. A node that knows something newer puts that in when it runs.
    #[command(after_help = "Example:\n  certfleet store recover")]
    Recover,
}

#[derive(Debug, Args)]
struct Restore {
    /// The backup, `-` for stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The fleet key, if it is not in this machine's state directory
    #[arg(long, value_name = "FILE")]
    fleet_key: Option<PathBuf>,
    /// Over what the store holds: newer certificates go back
    #[arg(long)]
    replace: bool,
    /// Although nodes are running
    #[arg(long)]
    force: bool,
}

impl Store {
    /// Does it.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let machine = Machine::load(config, None)?;
        match self.what {
            What::Check { json } => check(&machine, json),
            What::Copy(copy) => copy.run(&machine),
            What::Backup { file, force } => backup(&machine, &file, force),
            What::Restore(restore) => restore.run(&machine),
            What::Recover => recover(&machine),
        }
    }
}

fn check(machine: &Machine, json: bool) -> Result<(), Failure> {
    let checked = block_on(async { Ok(store_check(machine, Timestamp::now()).await?) })?;
    if json {
        out::data(&format!("{:#}\n", check_json(&checked)))?;
    } else {
        out::data(&check_text(&checked))?;
    }
    if checked.problems.is_empty() { Ok(()) } else { Err(Failure::NotWell) }
}

fn check_json(checked: &Checked) -> serde_json::Value {
    let fleet = json!({ "id": checked.fleet, "name": checked.name, "epoch": checked.epoch, "format": checked.format });
    json!({ "schema": SCHEMA, "fleet": fleet, "partial": checked.partial, "records": checked.records, "problems": checked.problems })
}

fn check_text(checked: &Checked) -> String {
    let known = |number: Option<u64>| number.map_or_else(|| "unknown".to_owned(), |number| number.to_string());
    let (epoch, format) = (known(checked.epoch), known(checked.format.map(u64::from)));
    let mut text = format!("fleet {} ({}), epoch {epoch}, format {format}\n", checked.name, checked.fleet);
    for problem in &checked.problems {
        text += &format!("{}: {}; {}\n", out::printable(&problem.key), out::printable(&problem.what), problem.remedy);
    }
    if checked.partial {
        text += "this node is shown what its roles need, and no more was looked at; a node with the role issue sees everything\n";
    }
    let counts: Vec<String> = checked.records.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let verdict = match checked.problems.len() {
        0 => "nothing is wrong".to_owned(),
        1 => "1 problem".to_owned(),
        n => format!("{n} problems"),
    };
    format!("{text}{}: {verdict}\n", counts.join(", "))
}

fn backup(machine: &Machine, file: &Path, force: bool) -> Result<(), Failure> {
    let BackedUp { text, counts, left_out } = block_on(async { Ok(store_backup(machine, Timestamp::now()).await?) })?;
    let to_stdout = file.as_os_str() == STANDARD;
    if to_stdout {
        out::data(&text)?
    } else {
        save_backup(file, &text, force)?
    }
    for (key, why) in &left_out {
        out::talk(&format!("left out: {}: {}", out::printable(key.as_str()), out::printable(why)));
    }
    let whither = if to_stdout { "to stdout".to_owned() } else { format!("to {}", file.display()) };
    out::talk(&format!(
        "wrote {} records {whither}; the keys in it are sealed, so keep copies of a node's state directory too",
        counts.values().sum::<usize>()
    ));
    Ok(())
}

impl Restore {
    fn run(&self, machine: &Machine) -> Result<(), Failure> {
        let text = read_text(&self.file, BACKUP_BYTES_MAX)?;
        let how = Restoring { fleet_key: self.fleet_key.as_deref(), replace: self.replace, force: self.force, at: Timestamp::now() };
        let restored = block_on(async { Ok(store_restore(machine, &text, &how).await?) })?;
        self.told(&restored).iter().for_each(|line| out::talk(line));
        Ok(())
    }

    fn told(&self, restored: &Restored) -> Vec<String> {
        let (written, stood, epoch) = (restored.written.len(), restored.stood, restored.epoch);
        let mut lines = vec![format!(
            "restored the backup of {}: wrote {written} records, {stood} stood there already; the fleet is in epoch {epoch} now",
            spans::moment(restored.made_at)
        )];
        lines.extend(restored.lost.iter().map(|lost| format!("gone back: {lost}")));
        lines.push("tokens from before are void: `certfleet invite` makes new ones".into());
        lines.push("next: `certfleet run` on every node, then `certfleet store check`".into());
        lines
    }
}

fn recover(machine: &Machine) -> Result<(), Failure> {
    let recovered = block_on(async { Ok(store_recover(machine).await?) })?;
    out::data(&certificates(&recovered.certificates))?;
    told_of_recovery(&recovered).iter().for_each(|line| out::talk(line));
    Ok(())
}

fn certificates(known: &[KnownCertificate]) -> String {
    let mut columns = Columns::new(["CERTIFICATE", "GENERATION", "KEY"]);
    for KnownCertificate { cert, generation, key } in known {
        let generation = generation.map_or_else(|| "-".to_owned(), |generation| generation.to_string());
        columns.row([cert.to_string(), generation, key_text(key)]);
    }
    columns.print(out::stdout_columns())
}

fn key_text(key: &CertificateKey) -> String {
    match key {
        CertificateKey::Sealed(nodes) => {
            format!("sealed for {}", nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
        CertificateKey::Here => "this node's own, on its disk".into(),
        CertificateKey::On(node) => format!("{node}'s own, on its disk"),
        CertificateKey::Missing => "not known here".into(),
        CertificateKey::None => "-".into(),
    }
}

fn told_of_recovery(recovered: &Recovered) -> Vec<String> {
    let mut lines: Vec<String> = recovered.added.iter().map(|key| format!("added {}", out::printable(key.as_str()))).collect();
    lines.extend(recovered.left_out.iter().map(|(key, why)| {
        format!("left out {}: {}; a node with the role issue that knows it puts it in", out::printable(key.as_str()), out::printable(why))
    }));
    lines.push(match recovered.added.len() {
        0 => "the store has all that this node knows; nothing changed".to_owned(),
        n => format!("added {n} records from this node's cache; {} stood there already", recovered.stood),
    });
    lines.push("next: the same on the other nodes, then `certfleet run` everywhere, then `certfleet store check`".into());
    lines
}
