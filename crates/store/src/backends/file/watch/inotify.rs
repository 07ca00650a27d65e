//! Changes as the kernel sees them: one watch for the data directory and one for each shard, however many keys there are.
//!
//! A writer stamps its key's directory, which the shard's watch reports with the key's name.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

use super::super::Directory;
use super::super::names::is_shard;
use super::super::read::Found;
use super::{Looker, key_named, poll};
use crate::watch::WatchFeed;

/// Room for the events of one read, in bytes.
const EVENTS_BYTES: usize = 16 * 1024;

/// An inotify instance over the store.
pub(super) struct Notices {
    directory: Arc<Directory>,
    fd: AsyncFd<OwnedFd>,
    /// By watch descriptor.
    shards: HashMap<i32, String>,
}

/// What one event means.
enum Event {
    /// Something in a shard was stamped.
    Stamped(i32, String),
    /// The data directory has a new entry.
    NewShard(String),
    /// The kernel dropped events.
    Overflow,
    /// A directory is watched no more.
    Ended(i32),
    Other,
}

impl Notices {
    /// Watches everything that is there; `None` if the kernel does not let us, and then the store is polled.
    pub(super) fn start(directory: Arc<Directory>) -> Option<Self> {
        let started = Self::try_start(directory);
        if let Err(error) = &started {
            tracing::warn!(%error, "changes in the store cannot be watched (fs.inotify.max_user_instances, max_user_watches); looking every quarter second instead");
        }
        started.ok()
    }

    fn try_start(directory: Arc<Directory>) -> std::io::Result<Self> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let data = directory.data_dir();
        inotify::add_watch(&fd, &data, WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR)?;
        let mut notices = Self { directory, fd: registered(fd)?, shards: HashMap::new() };
        for entry in std::fs::read_dir(data)? {
            notices.add(&entry?.file_name().to_string_lossy())?;
        }
        Ok(notices)
    }

    fn add(&mut self, shard: &str) -> Result<(), Errno> {
        if !is_shard(shard) {
            return Ok(());
        }
        let dir = self.directory.data_dir().join(shard);
        match inotify::add_watch(self.fd.get_ref(), &dir, WatchFlags::ATTRIB | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR) {
            Ok(watch) => _ = self.shards.insert(watch, shard.to_owned()),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Reads what is there.
    fn drain(&self) -> std::io::Result<Vec<Event>> {
        let mut events = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); EVENTS_BYTES];
        let mut reader = inotify::Reader::new(self.fd.get_ref(), &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => events.push(meaning(&event, &self.shards)),
                Err(Errno::INTR) => {}
                Err(error) if events.is_empty() => return Err(error.into()),
                Err(_) => return Ok(events),
            }
        }
    }

    /// Tells the reader; an error means that watching cannot go on.
    fn tell(&mut self, events: Vec<Event>, feed: &WatchFeed) -> Result<(), Errno> {
        for event in events {
            match event {
                Event::Stamped(watch, name) => {
                    let key = self.shards.get(&watch).and_then(|shard| key_named(&self.directory, shard, &name));
                    key.iter().for_each(|key| feed.changed(key));
                }
                Event::NewShard(shard) => {
                    self.add(&shard)?;
                    self.tell_all_of(&shard, feed);
                }
                Event::Overflow => feed.reset(),
                // The data directory itself, or all of it.
                Event::Ended(watch) if self.shards.remove(&watch).is_none() => return Err(Errno::NOENT),
                Event::Ended(_) | Event::Other => {}
            }
        }
        Ok(())
    }

    /// Keys that were made before their shard was watched.
    fn tell_all_of(&self, shard: &str, feed: &WatchFeed) {
        let told = self.directory.each_key_of(shard, "", &mut |_, found| {
            if let Found::Key(key) = found {
                feed.changed(&key);
            }
            Ok(())
        });
        if told.is_err() {
            feed.reset();
        }
    }
}

#[expect(deprecated, reason = "its successor is unsafe, for types whose descriptor may change under it; an OwnedFd's cannot")]
fn registered(fd: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(fd)
}

fn meaning(event: &inotify::Event<'_>, shards: &HashMap<i32, String>) -> Event {
    let kinds = event.events();
    let name = event.file_name().map(|name| name.to_string_lossy().into_owned());
    if kinds.contains(ReadFlags::QUEUE_OVERFLOW) {
        return Event::Overflow;
    }
    if kinds.intersects(ReadFlags::IGNORED | ReadFlags::UNMOUNT) {
        return Event::Ended(event.wd());
    }
    match name {
        Some(name) if shards.contains_key(&event.wd()) => Event::Stamped(event.wd(), name),
        Some(name) if kinds.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) => Event::NewShard(name),
        _ => Event::Other,
    }
}

/// Tells changes until nobody reads. If watching breaks, the rest is polled.
pub(super) async fn run(mut notices: Notices, mut looker: Looker, feed: WatchFeed) {
    loop {
        let readable = tokio::select! {
            () = feed.closed() => return,
            readable = notices.fd.readable() => Some(readable.map(|mut guard| guard.try_io(|_| notices.drain()))),
            () = tokio::time::sleep_until(looker.full_look_at.into()) => None,
        };
        let events = match readable {
            Some(Ok(Ok(Ok(events)))) => events,
            Some(Ok(Err(_would_block))) => continue,
            Some(_) => break,
            None => match looker.look(&feed).await {
                Some(next) => {
                    looker = next;
                    continue;
                }
                None => return feed.reset(),
            },
        };
        if notices.tell(events, &feed).is_err() {
            break;
        }
    }
    tracing::warn!("the store's directory is watched no more; looking every quarter second instead");
    feed.reset();
    looker.full_look_at = Instant::now();
    poll::run(looker, feed).await;
}
