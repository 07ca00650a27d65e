//! What only this process knows: its running actions, its progress on attempts, its bars, its installed targets, its memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::ca::{CaError, OrderView};
use crate::decide::{Subject, WantedKey};
use crate::envelope::Revision;
use crate::key::Key;
use crate::names::{CertName, Generation, Incarnation, IssuerName, NodeName, SpkiHash, TargetName, VersionHash};
use crate::records::{Placement, Presence, TargetState};
use crate::time::{Mono, Timestamp};
use crate::x509::Leaf;

use super::home::Moves;
use super::noted::{Noted, NotedSet};

/// What only this process knows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Local {
    /// Whether the store can be read.
    pub store: StoreState,
    /// The store shows only what this node's roles need: what is absent may be hidden.
    pub withholds: bool,
    /// How long the store may show others an old value; time-outs that judge by what was seen are longer by it.
    pub lag: Duration,
    /// The process was told to stop.
    pub leaving: bool,
    /// Another process writes this node's presence: a cloned machine.
    pub duplicate: Option<Incarnation>,
    /// What is being worked on; nothing else is started there meanwhile.
    pub busy: NotedSet<Subject>,
    /// Certificates of which an attempt is being claimed: what is under way makes it this node's.
    pub claiming: BTreeSet<CertName>,
    /// When each piece of waiting work was first seen due.
    pub due_since: BTreeMap<Subject, Mono>,
    /// The presence this life wrote last, and when.
    pub beaten_at: Option<(Mono, Presence)>,
    /// Whether that said something new, which is said once more.
    pub said_news: bool,
    /// Progress on attempts that this node drives.
    pub drives: Noted<(CertName, Generation), Drive>,
    /// CAs that this node leaves to others for a while.
    pub bars: BTreeMap<IssuerName, Bar>,
    /// Accounts (their URLs) that their CA says it does not know, though the fleet registered them: it was reset, or they were removed there.
    pub lost_accounts: BTreeMap<IssuerName, String>,
    /// How this node's clock compares with each CA's.
    pub clocks: BTreeMap<IssuerName, ClockCheck>,
    /// What each target has.
    pub targets: Noted<(CertName, TargetName), Installed>,
    /// Targets that have a file, ours or a stand-in, so that the server can start.
    pub stood_in: NotedSet<(CertName, TargetName)>,
    /// What was seen before, also by earlier lives of this node.
    pub memory: Noted<CertName, Memory>,
    /// Those of which the memory is another than was kept last.
    pub unsaved: BTreeSet<CertName>,
    /// How often the fleet has moved from one store to another, as far as this node has seen in all of its lives.
    pub moves: Moves,
    /// When the store was last looked through for what nothing refers to.
    pub looked_through_at: Option<Mono>,
    /// What nothing refers to, and since when this process has seen that.
    pub unreferenced: BTreeMap<Key, (Mono, Blob)>,
    /// The earliest of these moments.
    pub unreferenced_since: Option<Mono>,
    /// Keys that this node is meant to read and cannot open, and since when.
    pub lacks: Noted<SpkiHash, Mono>,
    /// Keys that this node has opened.
    pub holds: NotedSet<SpkiHash>,
    /// Keys that this node has wrapped for others, and when.
    pub wrapped: BTreeMap<(SpkiHash, NodeName), Mono>,
    /// Records that were put right a while ago, and when: whoever knows better than the one who did it may yet say so.
    pub settling: Noted<Key, Mono>,
    /// Work that failed here and is not tried again before a moment.
    pub pauses: Noted<Subject, Pause>,
}

/// A private key, a wrap or a version in the store, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Where it is.
    pub key: Key,
    /// Which value.
    pub revision: Revision,
    /// The private key that a version needs.
    pub needs: Option<SpkiHash>,
}

/// Whether the store can be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StoreState {
    /// Not yet.
    #[default]
    Unread,
    /// It can.
    Ready,
    /// It cannot, and why.
    Away(String),
}

/// Why and until when something is not tried again by this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Until when.
    pub until: Mono,
    /// How often in a row.
    pub count: u32,
    /// Why.
    pub why: String,
    /// The store could not be reached: it is no longer a trouble when it can be.
    pub of_store: bool,
}

/// A CA that cannot be used from here; raises no shared backoff.
pub type Bar = Pause;

/// This node's clock against a CA's `Date`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockCheck {
    /// When it was made.
    pub at: Mono,
    /// This node's wall clock then; with `at` it shows later jumps.
    pub wall: Timestamp,
    /// How far this node's clock was ahead (or, negative, behind), in seconds.
    pub ahead_seconds: i64,
}

/// A key and its CSR, stored, waiting to enter the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeKey {
    /// Hash of the public half.
    pub key: SpkiHash,
    /// The request, DER.
    pub csr: Vec<u8>,
}

/// How far this node came with an attempt, beyond what the record says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Drive {
    /// What the key and CSR were asked for with; a specification may change before they are used.
    pub asked: Option<WantedKey>,
    /// Before the attempt is claimed.
    pub made: Option<MadeKey>,
    /// When that was.
    pub made_at: Mono,
    /// The order as last seen.
    pub order: Option<OrderView>,
    /// Challenges that were declared ready.
    pub told: BTreeSet<String>,
    /// The order was told to be finalized, and not looked at often since.
    pub finalized: bool,
    /// When to look at the order again.
    pub look_at: Mono,
    /// How often it was looked at without news.
    pub looks: u32,
    /// The downloaded leaf and the chain it heads.
    pub chain: Option<(Leaf, String)>,
    /// The hash of the stored version.
    pub version: Option<VersionHash>,
    /// How many calls the CA refused while the order stood as it did.
    pub refusals: u32,
    /// What went wrong with the latest call.
    pub error: Option<CaError>,
}

/// What a target on this node has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Which placement was followed.
    pub placement: Placement,
    /// How far it came.
    pub state: TargetState,
    /// Why not further.
    pub reason: Option<String>,
    /// When to look again.
    pub next_try: Mono,
    /// How often it failed in a row.
    pub fails: u32,
    /// End of the served generation's validity.
    pub not_after: Timestamp,
    /// Its whole life.
    pub life: Duration,
}

impl Installed {
    /// Nothing more can come of it soon: seen served, or written and not to be looked at.
    pub fn is_settled(&self) -> bool {
        self.fails == 0
    }
}

/// What this node has seen of a certificate in all of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Memory {
    /// The highest attempt number that stood in a record or was installed.
    pub number: Generation,
    /// The highest placement `{epoch, seq}` that was installed.
    pub seen: (u64, u64),
    /// From when until when the generation that was installed last is valid.
    #[serde(default)]
    pub valid: Option<(Timestamp, Timestamp)>,
}
