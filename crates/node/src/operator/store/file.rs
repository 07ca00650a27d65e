//! The form of a backup: lines of JSON, a header and then one record each, as they stood in the store.
//!
//! Always holds: the header names how many records follow and what they hash to, and the node that made the backup signed it; what is cut,
//! changed, or put together of two backups is seen. Secrets are in it as they are in the store: sealed.

use certfleet_core::envelope::{ENVELOPE_BYTES_MAX, Envelope, FORMAT};
use certfleet_core::hash::sha256_hex;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{FleetId, NodeName};
use certfleet_core::time::Timestamp;
use certfleet_core::trust::{Roster, Signature};
use serde::{Deserialize, Serialize};

use super::records::{Records, Sifted, sift};
use crate::config::Settings;
use crate::identity::Identity;
use crate::refusal::Refusal;

/// Largest backup that is read, in bytes.
pub const BACKUP_BYTES_MAX: u64 = 1 << 30;
/// Longest line, in bytes: a record, its key and some words.
const LINE_BYTES_MAX: usize = ENVELOPE_BYTES_MAX + 4096;
/// The form that is written and read here.
const BACKUP_FORMAT: u32 = 1;
const KIND: &str = "certfleet backup";

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    kind: String,
    format: u32,
    pub fleet: FleetId,
    pub fleet_name: String,
    pub epoch: u64,
    pub at: Timestamp,
    pub records: usize,
    /// Of all lines after this one.
    sha256: String,
    /// The node that made it.
    pub writer: NodeName,
}

#[derive(Serialize, Deserialize)]
struct SignedHeader {
    #[serde(flatten)]
    header: Header,
    signature: Signature,
}

#[derive(Serialize, Deserialize)]
struct Line {
    key: Key,
    envelope: Envelope,
}

/// A backup that was read, and is what its header says.
#[derive(Debug)]
pub(super) struct Backup {
    pub header: Header,
    pub records: Records,
    signature: Signature,
}

/// Records that a backup holds: all but those that their nodes write anew within minutes.
pub(super) fn is_backed_up(key: &Key) -> bool {
    let is_passing = |record: &RecordKey| matches!(record, RecordKey::Presence(_) | RecordKey::Report(..) | RecordKey::Joining(_));
    RecordKey::of(key).is_some_and(|record| !is_passing(&record))
}

/// The text of a backup of `records`.
pub(super) fn write(identity: &Identity, epoch: u64, at: Timestamp, records: &Records) -> Result<String, serde_json::Error> {
    let mut body = String::new();
    for (key, envelope) in records {
        body += &serde_json::to_string(&Line { key: key.clone(), envelope: envelope.clone() })?;
        body.push('\n');
    }
    let header = Header {
        kind: KIND.into(),
        format: BACKUP_FORMAT,
        fleet: identity.fleet.clone(),
        fleet_name: identity.fleet_name.clone(),
        epoch,
        at,
        records: records.len(),
        sha256: sha256_hex(body.as_bytes()),
        writer: identity.node.clone(),
    };
    let signature = identity.signing_key.sign(&header.signed_bytes());
    let head = serde_json::to_string(&SignedHeader { header, signature })?;
    Ok(format!("{head}\n{body}"))
}

impl Header {
    fn signed_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("names and numbers serialise")
    }
}

fn not_usable<T>(why: impl std::fmt::Display) -> Result<T, Refusal> {
    Err(Refusal::new(
        format!("the backup cannot be used: {why}"),
        "nothing was written; give another backup, or bring this file over again",
    ))
}

impl Backup {
    /// Reads one of this machine's fleet.
    pub fn read(text: &str, identity: &Identity) -> Result<Self, Refusal> {
        let (head, body) = text.split_once('\n').unwrap_or((text, ""));
        let SignedHeader { header, signature } = read_header(head)?;
        if header.fleet != identity.fleet {
            let (theirs, ours) = ((&header.fleet_name, &header.fleet), (&identity.fleet_name, &identity.fleet));
            return Err(Refusal::new(
                format!("the backup is of fleet {} ({}), and this machine is in {} ({})", theirs.0, theirs.1, ours.0, ours.1),
                "give a backup of this fleet, or give the command on a machine of that one",
            ));
        }
        if sha256_hex(body.as_bytes()) != header.sha256 {
            return not_usable("it was cut or changed after it was made: its checksum does not fit");
        }
        let records = read_lines(body)?;
        if records.len() != header.records {
            return not_usable(format!("it has {} records, and its header says {}", records.len(), header.records));
        }
        Ok(Self { header, records, signature })
    }

    /// Checks every record and the header by the fleet's keys that this machine joined with.
    pub fn verify(&self, settings: &Settings, identity: &Identity) -> Result<Sifted, Refusal> {
        let Some(sifted) = sift(settings, identity, &self.records) else {
            return not_usable("its fleet record is missing, or not signed by the key of the fleet that this machine joined");
        };
        if let Some((key, why)) = sifted.faults.first_key_value() {
            return not_usable(format!("{key} in it does not count: {why}"));
        }
        match self.is_signed(&sifted.roster) && sifted.fleet.epoch == self.header.epoch {
            true => Ok(sifted),
            false => not_usable(format!("its header is not signed by node {}, who it says made it", self.header.writer)),
        }
    }

    fn is_signed(&self, roster: &Roster) -> bool {
        let maker = roster.members.get(&self.header.writer);
        maker.is_some_and(|maker| maker.signing_key.verifies(&self.header.signed_bytes(), &self.signature))
    }
}

/// Reads a backup's body that this machine's node has signed, so that what is behind the checksum is read too; for the fuzzing workspace
/// alone. True: everything in it counts.
#[cfg(fuzzing)]
pub fn read_backup(text: &str, settings: &Settings, identity: &Identity) -> bool {
    let _ = Backup::read(text, identity);
    let (_, body) = text.split_once('\n').unwrap_or(("", text));
    let Ok(records) = read_lines(body) else { return false };
    let epoch = |record: &Envelope| record.record::<certfleet_core::records::FleetRecord>().map_or(0, |fleet| fleet.epoch);
    let epoch = records.get(&RecordKey::Fleet.key()).map_or(0, epoch);
    let whole = write(identity, epoch, Timestamp::UNIX_EPOCH, &records).expect("what was read can be written");
    let backup = Backup::read(&whole, identity).expect("what was written can be read");
    backup.verify(settings, identity).is_ok()
}

fn read_header(line: &str) -> Result<SignedHeader, Refusal> {
    #[derive(Deserialize)]
    struct Any {
        kind: String,
        format: u32,
    }
    let any = serde_json::from_str::<Any>(line).ok().filter(|any| any.kind == KIND);
    match any {
        None => not_usable("this is no backup of a certfleet store: its first line is not a backup's header"),
        Some(any) if any.format > BACKUP_FORMAT => newer(any.format, "backup"),
        Some(_) => serde_json::from_str(line).or_else(|error| not_usable(format!("its header cannot be read: {error}"))),
    }
}

fn newer<T>(format: u32, what: &str) -> Result<T, Refusal> {
    Err(Refusal::new(
        format!("the backup has {what} format {format}, which is newer than this version reads"),
        "upgrade certfleet on this machine, then give the command again; nothing was written",
    ))
}

fn read_lines(body: &str) -> Result<Records, Refusal> {
    let mut records = Records::new();
    for (index, line) in body.lines().enumerate() {
        let at = format!("line {}", index + 2);
        if line.len() > LINE_BYTES_MAX {
            return not_usable(format!("{at} is longer than {LINE_BYTES_MAX} bytes"));
        }
        let Line { key, envelope } = serde_json::from_str(line).or_else(|error| not_usable(format!("{at} cannot be read: {error}")))?;
        if envelope.format > FORMAT {
            return newer(envelope.format, "record");
        }
        if !is_backed_up(&key) {
            return not_usable(format!("{at} holds {key}, which no backup holds"));
        }
        if records.insert(key.clone(), envelope).is_some() {
            return not_usable(format!("{key} stands in it twice"));
        }
    }
    Ok(records)
}
