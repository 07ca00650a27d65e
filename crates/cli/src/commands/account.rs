//! `account`: the key that the fleet's ACME accounts share.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use certfleet_node::operator::{Machine, account_export, account_import, account_rotate, account_show};
use certfleet_node::records::{AccountKey, AccountKeyRecord, AccountRecord};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{block_on, read_text};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::tables::Columns;
use crate::{out, spans};

/// The version of the JSON document's form.
const SCHEMA: u32 = 1;
/// Longest key file, in bytes.
const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;
/// For the operator alone.
const KEY_FILE_MODE: u32 = 0o600;
/// How often `--wait` looks, in milliseconds.
const LOOK_MS: u64 = 300;

/// Shows, exports, imports or rolls over the fleet's ACME account key.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  certfleet account show\n  certfleet account export --out account.pem\n  certfleet account import account.pem\n  certfleet account rotate --wait"
)]
pub struct Account {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Shows the key's thumbprint and the accounts it is registered as
    #[command(after_help = "Example:\n  certfleet account show --json | jq -r .key.thumbprint")]
    Show {
        /// As JSON; docs/commands.md has the fields
        #[arg(long)]
        json: bool,
    },
    /// Prints the private key (PKCS#8, PEM)
    #[command(after_help = "Example:\n  certfleet account export --out account.pem")]
    Export {
        /// Write it there (0600) instead; an existing file is not touched
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Makes an existing ECDSA P-256 key the fleet's
    #[command(after_help = "Example:\n  certfleet account import account.pem")]
    Import {
        /// The key in PEM, `-` for stdin
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// In place of another key that is in use
        #[arg(long)]
        replace: bool,
    },
    /// Rolls the key over to a fresh one; the accounts stay
    #[command(after_help = "Example:\n  certfleet account rotate --wait")]
    Rotate {
        /// Wait until every CA knows the new key
        #[arg(long)]
        wait: bool,
        /// How long to wait at the most
        #[arg(long, value_name = "SPAN", default_value = "10m", value_parser = spans::parse, requires = "wait")]
        timeout: Duration,
    },
}

impl Account {
    /// Reads or writes the key in the store.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let machine = Machine::load(config, None)?;
        match self.what {
            What::Show { json } => show(&machine, json),
            What::Export { out } => export(&machine, out.as_deref()),
            What::Import { file, replace } => import(&machine, &file, replace),
            What::Rotate { wait, timeout } => rotate(&machine, wait.then_some(timeout)),
        }
    }
}

fn show(machine: &Machine, json: bool) -> Result<(), Failure> {
    let (key, accounts) = block_on(async { Ok(account_show(machine).await?) })?;
    if json {
        let accounts: Vec<Value> = accounts.iter().map(account_json).collect();
        let shown = |key: &AccountKey| json!({ "thumbprint": key.thumbprint, "created_at": key.created_at });
        let next = key.as_ref().and_then(|key| key.next.as_ref().map(shown));
        let key = key.as_ref().map(|key| shown(&key.current));
        return out::data(&format!("{:#}\n", json!({ "schema": SCHEMA, "key": key, "next": next, "accounts": accounts })));
    }
    match &key {
        Some(key) => out::data(&text(key, &accounts)),
        None => {
            out::talk("the fleet has no account key yet: a node with the role `issue` makes one when it runs");
            Ok(())
        }
    }
}

fn account_json(account: &AccountRecord) -> Value {
    json!({
        "issuer": account.issuer, "directory": account.directory, "url": account.url,
        "thumbprint": account.thumbprint, "registered_at": account.registered_at,
    })
}

fn text(key: &AccountKeyRecord, accounts: &[AccountRecord]) -> String {
    let current = &key.current;
    let mut head = format!("account key, thumbprint {}, since {}\n", current.thumbprint, spans::moment(current.created_at));
    if let Some(next) = &key.next {
        head += &format!("being rolled over to {}, since {}\n", next.thumbprint, spans::moment(next.created_at));
    }
    if accounts.is_empty() {
        return head + "not registered anywhere yet\n";
    }
    let mut columns = Columns::new(["ISSUER", "ACCOUNT", "REGISTERED"]);
    for account in accounts {
        let stale = match &key.next {
            Some(next) if account.thumbprint == next.thumbprint => " (with the next key)",
            _ if account.thumbprint == current.thumbprint => "",
            _ => " (with an older key)",
        };
        columns.row([account.issuer.to_string(), account.url.clone(), spans::moment(account.registered_at) + stale]);
    }
    format!("{head}\n{}", columns.print(out::stdout_columns()))
}

fn export(machine: &Machine, to: Option<&Path>) -> Result<(), Failure> {
    let key = block_on(async { Ok(account_export(machine).await?) })?;
    let Some(path) = to else { return out::data(key.expose_text().unwrap_or_default()) };
    let file = OpenOptions::new().write(true).create_new(true).mode(KEY_FILE_MODE).open(path);
    file.and_then(|mut file| file.write_all(key.expose())).map_err(|error| {
        Failure::refused(format!("{} cannot be written: {error}", path.display()), "give the name of a file that does not exist yet")
    })?;
    out::talk(&format!("wrote {}: whoever has this file can get certificates for the fleet's names", path.display()));
    Ok(())
}

fn import(machine: &Machine, file: &Path, replace: bool) -> Result<(), Failure> {
    let pem = read_text(file, KEY_FILE_BYTES_MAX)?;
    let (thumbprint, changed) = block_on(async { Ok(account_import(machine, &pem, replace).await?) })?;
    match changed {
        true => out::talk(&format!("the fleet's account key is the imported one now, thumbprint {thumbprint}")),
        false => out::talk(&format!("that is the fleet's account key already, thumbprint {thumbprint}; nothing changed")),
    }
    Ok(())
}

fn rotate(machine: &Machine, timeout: Option<Duration>) -> Result<(), Failure> {
    block_on(async {
        let (old, new, is_news) = account_rotate(machine).await?;
        match is_news {
            true => out::talk(&format!("the account key with thumbprint {old} is rolled over to {new}")),
            false => out::talk(&format!("the account key with thumbprint {old} is being rolled over to {new} already; nothing changed")),
        }
        out::talk("the nodes with the role issue tell each CA (RFC 8555 section 7.3.5): the accounts and their URLs stay as they are");
        out::talk(&format!("nothing else needs to be changed, but thumbprints that were written down by hand: {old} becomes {new} there"));
        match timeout {
            Some(timeout) => rolled_over(machine, &new, timeout).await,
            None => {
                out::talk("next: `certfleet account show` says how far it is");
                Ok(())
            }
        }
    })
}

/// Waits until `new` is the only key.
async fn rolled_over(machine: &Machine, new: &str, timeout: Duration) -> Result<(), Failure> {
    let end = Instant::now() + timeout;
    let mut progress = Progress::start();
    loop {
        let (key, accounts) = account_show(machine).await?;
        if key.is_some_and(|key| key.next.is_none() && key.current.thumbprint == new) {
            return Ok(());
        }
        let behind = accounts.iter().filter(|account| account.thumbprint != new).map(|account| account.issuer.to_string());
        let behind: Vec<String> = behind.collect();
        let what = match behind.is_empty() {
            true => "the new key is not in its place yet".to_owned(),
            false => format!("not rolled over yet: {}", behind.join(", ")),
        };
        progress.say(&what);
        if Instant::now() >= end {
            drop(progress);
            let what = format!("the account key is not rolled over after {}: {what}", spans::short(timeout));
            return Err(Failure::refused(
                what,
                "it goes on by itself while a node with the role issue runs; `certfleet status` shows troubles",
            ));
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS).min(end.saturating_duration_since(Instant::now()))).await;
    }
}
