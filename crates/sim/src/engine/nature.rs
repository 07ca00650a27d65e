//! What an engine is like where nothing is wrong with the way to it: how slow, how late others see a change, what it may lose.

use std::fmt;
use std::time::Duration;

use crate::draw::Draw;

/// Longest time of acknowledged writes that a fail-over of Redis loses, in milliseconds.
pub const LOST_MS_MAX: u64 = 3_000;
/// How often a client of S3 looks for changes (`store-s3.md`).
const S3_POLL: Duration = Duration::from_secs(30);
/// How often a client on a mounted directory looks.
const NFS_POLL: Duration = Duration::from_millis(250);
/// The attribute-cache times that a mount may have (nfs(5), `actimeo`; 60 s is what it has where nobody says anything).
const NFS_CACHES_SECONDS: [u64; 3] = [1, 5, 60];

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// A directory on one machine: no weakness at all.
    #[default]
    Local,
    /// Leaders change: for seconds nobody knows what became of a write.
    Etcd,
    /// The primary changes: the same.
    Postgres,
    /// A fail-over loses the last acknowledged writes.
    Redis,
    /// Slow, answers get lost after the work was done, changes are seen only by looking.
    S3,
    /// Slow, and others see old values and old directories for the mount's attribute-cache time.
    Nfs,
    /// One node's machine carries it: while that is down or cut off, nobody else reaches it.
    Central,
}

/// All of them; those without a weakness of their own come less often.
pub const KINDS: [Kind; 8] = [Kind::Local, Kind::Etcd, Kind::Postgres, Kind::Redis, Kind::Redis, Kind::S3, Kind::Nfs, Kind::Central];

/// How an engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Nature {
    /// Which it is.
    pub kind: Kind,
    /// Longest extra time of an operation, in milliseconds.
    pub slow_ms: u64,
    /// Of a thousand answers so many are lost where nothing else is wrong.
    pub lost: u64,
    /// How often a client looks for changes; `None`: it is told at once.
    pub poll: Option<Duration>,
    /// For how long a client may go on seeing what it saw before.
    pub cache: Duration,
}

impl Nature {
    /// That of an engine in a world.
    pub fn of(kind: Kind, draw: &mut Draw) -> Self {
        let plain = Self { kind, ..Self::default() };
        match kind {
            Kind::Local | Kind::Central => plain,
            Kind::Etcd | Kind::Postgres | Kind::Redis => Self { slow_ms: 10, ..plain },
            Kind::S3 => Self { slow_ms: 400, lost: 5, poll: Some(S3_POLL), ..plain },
            Kind::Nfs => {
                let cache = Duration::from_secs(*draw.one(&NFS_CACHES_SECONDS));
                Self { slow_ms: 100, poll: Some(NFS_POLL), cache, ..plain }
            }
        }
    }

    /// How long after a write others may still read the old value, or not know that there is a new one.
    pub fn visibility_delay(&self) -> Duration {
        match self.kind {
            Kind::S3 => self.poll.unwrap_or_default(),
            _ => self.cache,
        }
    }

    /// How long what stood there before is remembered.
    pub(super) fn horizon(&self) -> Duration {
        self.cache.max(Duration::from_millis(LOST_MS_MAX))
    }
}

impl fmt::Display for Nature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Nfs => write!(f, "a store on a mount that shows the old for {} s", self.cache.as_secs()),
            kind => write!(f, "a store like {kind:?}"),
        }
    }
}
