//! Writers that are slow, unlucky or not answered.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use serde_json::json;

use super::*;
use crate::error::StoreError;
use crate::revision::garbage_revision;
use crate::settle::{Settled, put_settled};

/// Sleeps before its first link until it is told to go on.
#[derive(Debug)]
struct Sleepy {
    asleep: SyncSender<()>,
    wake: Mutex<Option<Receiver<()>>>,
}

impl Calls for Sleepy {
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        if let Some(wake) = self.wake.lock().expect("lock").take() {
            self.asleep.send(()).expect("the test waits");
            wake.recv().expect("the test goes on");
        }
        RealCalls.link(from, to)
    }
}

/// A write that has decided what to link and sleeps.
struct Sleeper {
    task: tokio::task::JoinHandle<Result<Put, StoreError>>,
    wake: SyncSender<()>,
}

impl Sleeper {
    async fn fall_asleep(fixture: &Fixture, key: &Key, value: Envelope, expect: Expect) -> Self {
        let (asleep, fell_asleep) = sync_channel(0);
        let (wake, woken) = sync_channel(1);
        let store = fixture.with(Arc::new(Sleepy { asleep, wake: Mutex::new(Some(woken)) })).await;
        let key = key.clone();
        let task = tokio::spawn(async move { store.put(&key, &value, &expect).await });
        tokio::task::spawn_blocking(move || fell_asleep.recv()).await.expect("joined").expect("it came to its link");
        Self { task, wake }
    }

    async fn wake(self) -> Result<Put, StoreError> {
        self.wake.send(()).expect("it sleeps");
        self.task.await.expect("joined")
    }
}

/// Its number was used by others and cleaned away: its link succeeds and counts for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_slept_while_others_went_on_and_cleaned_is_not_done() {
    let fixture = Fixture::new().await;
    let at = key("certs/a");
    let first = done(fixture.store.put(&at, &value(0), &Expect::Absent).await);
    let late = value("late");
    let sleeper = Sleeper::fall_asleep(&fixture, &at, late.clone(), Expect::Revision(first.clone())).await;
    fixture.go_on(&at, 6).await;
    assert!(!fixture.dir_of(&at).join(revision_name(2)).exists(), "revision 2 was cleaned away");
    assert!(matches!(sleeper.wake().await, Ok(Put::Unknown(_))));
    assert_eq!(fixture.body(&at).await, Some(json!("others")));
    assert_eq!(put_settled(&*fixture.store, &at, &late, &Expect::Revision(first)).await, Ok(Settled::Conflict));
}

/// The same for a key that was not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_creator_that_slept_is_not_done() {
    let fixture = Fixture::new().await;
    let at = key("certs/a");
    let sleeper = Sleeper::fall_asleep(&fixture, &at, value("late"), Expect::Absent).await;
    fixture.go_on(&at, 6).await;
    assert!(matches!(sleeper.wake().await, Ok(Put::Unknown(_))));
    assert_eq!(fixture.body(&at).await, Some(json!("others")));
}

/// What a sleeper left behind is no proof for the next one.
#[tokio::test(flavor = "multi_thread")]
async fn two_sleepers_do_not_vouch_for_each_other() {
    let fixture = Fixture::new().await;
    let at = key("certs/a");
    let first = done(fixture.store.put(&at, &value(1), &Expect::Absent).await);
    let early = Sleeper::fall_asleep(&fixture, &at, value("early"), Expect::Revision(first.clone())).await;
    let second = done(fixture.store.put(&at, &value(2), &Expect::Revision(first)).await);
    let late = Sleeper::fall_asleep(&fixture, &at, value("late"), Expect::Revision(second)).await;
    fixture.go_on(&at, 6).await;
    // Revision 2 is there again, as a leftover, when the late one links revision 3. The cleaning would take it: put it back.
    let leftover = fixture.dir_of(&at).join(revision_name(2));
    assert!(matches!(early.wake().await, Ok(Put::Unknown(_))));
    fs::write(&leftover, value("early").to_bytes().expect("bytes")).expect("written");
    assert!(matches!(late.wake().await, Ok(Put::Unknown(_))));
    assert_eq!(fixture.body(&at).await, Some(json!("others")));
}

/// A deletion leaves a tombstone, so the number that the sleeper wants is taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_slept_over_a_deletion_does_not_bring_the_key_back() {
    for again in [false, true] {
        let fixture = Fixture::new().await;
        let at = key("certs/a");
        let first = done(fixture.store.put(&at, &value(0), &Expect::Absent).await);
        let sleeper = Sleeper::fall_asleep(&fixture, &at, value("late"), Expect::Revision(first.clone())).await;
        done(fixture.store.delete(&at, &first).await);
        if again {
            done(fixture.store.put(&at, &value("again"), &Expect::Absent).await);
        }
        assert_eq!(sleeper.wake().await, Ok(Put::Conflict));
        assert_eq!(fixture.body(&at).await, again.then(|| json!("again")));
    }
}

/// Writes one more value right after its own first link.
#[derive(Debug)]
struct Overtaken {
    root: PathBuf,
    done: Mutex<bool>,
}

impl Calls for Overtaken {
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealCalls.link(from, to)?;
        if !std::mem::replace(&mut *self.done.lock().expect("lock"), true) {
            let next = self.root.join("next");
            fs::write(&next, value("next").to_bytes().expect("bytes"))?;
            let number: u64 = to.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse().ok()).expect("a number");
            fs::rename(next, to.with_file_name(revision_name(number + 1)))?;
        }
        Ok(())
    }
}

/// A higher revision alone is no doubt, if the one before ours proves that nobody used our number; also if it cannot be read.
#[tokio::test]
async fn a_write_that_was_followed_at_once_is_done() {
    for spoilt in [false, true] {
        let fixture = Fixture::new().await;
        let at = key("certs/a");
        let mut first = done(fixture.store.put(&at, &value(0), &Expect::Absent).await);
        if spoilt {
            fs::write(fixture.dir_of(&at).join(revision_name(1)), "spoilt").expect("written");
            first = garbage_revision("1", b"spoilt", 6);
        }
        let store = fixture.with(Arc::new(Overtaken { root: fixture.root(), done: Mutex::default() })).await;
        assert_eq!(done(store.put(&at, &value(1), &Expect::Revision(first)).await).engine, "2");
        assert_eq!(fixture.body(&at).await, Some(json!("next")));
    }
}

/// Answers the first link with an error; whether the link was made is another matter.
#[derive(Debug)]
struct Unanswered {
    is_made: bool,
    error: io::ErrorKind,
    calls: AtomicUsize,
}

impl Calls for Unanswered {
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.calls.fetch_add(1, Ordering::SeqCst) > 0 {
            return RealCalls.link(from, to);
        }
        if self.is_made {
            RealCalls.link(from, to)?;
        }
        Err(self.error.into())
    }
}

/// NFS asked twice says "exists" to the winner: two names on the file tell that it is the winner.
#[tokio::test]
async fn a_lost_answer_of_link_is_no_lost_write() {
    for error in [io::ErrorKind::TimedOut, io::ErrorKind::AlreadyExists] {
        let fixture = Fixture::new().await;
        let store = fixture.with(Arc::new(Unanswered { is_made: true, error, calls: AtomicUsize::default() })).await;
        let revision = done(store.put(&key("certs/a"), &value(1), &Expect::Absent).await);
        assert_eq!(fixture.store.get(&key("certs/a")).await.expect("read").expect("there").revision, revision);
    }
}

/// An error that may be a lost question is Unknown, and settling writes again.
#[tokio::test]
async fn a_lost_question_is_asked_again() {
    let fixture = Fixture::new().await;
    let lost = || Arc::new(Unanswered { is_made: false, error: io::ErrorKind::TimedOut, calls: AtomicUsize::default() });
    let at = key("certs/a");
    let answer = fixture.with(lost()).await.put(&at, &value(1), &Expect::Absent).await;
    assert!(matches!(answer, Ok(Put::Unknown(_))), "{answer:?}");
    assert_eq!(fixture.body(&at).await, None);
    let settled = put_settled(&*fixture.with(lost()).await, &at, &value(2), &Expect::Absent).await;
    assert!(matches!(settled, Ok(Settled::Done(_))), "{settled:?}");
    assert_eq!(fixture.body(&at).await, Some(json!(2)));
}

/// A file system without hard links is named as that.
#[tokio::test]
async fn no_hard_links_is_for_the_operator() {
    let fixture = Fixture::new().await;
    let store =
        fixture.with(Arc::new(Unanswered { is_made: false, error: io::ErrorKind::Unsupported, calls: AtomicUsize::default() })).await;
    let refused = store.put(&key("certs/a"), &value(1), &Expect::Absent).await;
    assert!(matches!(&refused, Err(StoreError::NeedsOperator { remedy, .. }) if remedy.contains("hard links")), "{refused:?}");
}

/// Writes down what is synced, and refuses to sync directories if told to.
#[derive(Debug, Default)]
struct Recorded {
    calls: Mutex<Vec<String>>,
    refuses: bool,
}

impl Recorded {
    fn note(&self, what: &str, path: &Path) {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        let name = if name.starts_with(".new-") { ".new" } else { name };
        self.calls.lock().expect("lock").push(format!("{what} {name}"));
    }
}

impl Calls for Recorded {
    fn sync_file(&self, file: &File, path: &Path) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(file.metadata()?.permissions().mode() & 0o777, 0o600);
        self.note("sync", path);
        RealCalls.sync_file(file, path)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note("link", to);
        RealCalls.link(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.note("sync", dir);
        if self.refuses { Err(io::Error::other("the disk is dying")) } else { RealCalls.sync_dir(dir) }
    }
}

/// The value before it is seen, the entry before it is called done, and the directories on the way that nobody else may have synced.
#[tokio::test]
async fn everything_is_durable_before_it_is_done() {
    let fixture = Fixture::new().await;
    let calls = Arc::new(Recorded::default());
    let store = fixture.with(calls.clone()).await;
    let at = key("certs/a");
    let shard = Place::of(&at).shard;
    let first = done(store.put(&at, &value(0), &Expect::Absent).await);
    let taken = || std::mem::take(&mut *calls.calls.lock().expect("lock"));
    assert_eq!(taken(), ["sync .new", "link 0000000001", "sync certs+a", &format!("sync {shard}"), "sync data"]);
    done(store.put(&at, &value(1), &Expect::Revision(first)).await);
    assert_eq!(taken(), ["sync .new", "link 0000000002", "sync certs+a"]);
}

/// A write that cannot be made durable is not acknowledged, and reading it back does not make it so.
#[tokio::test]
async fn a_write_that_may_be_lost_again_is_not_done() {
    let fixture = Fixture::new().await;
    let store = fixture.with(Arc::new(Recorded { refuses: true, ..Recorded::default() })).await;
    let refused = put_settled(&*store, &key("certs/a"), &value(0), &Expect::Absent).await;
    assert!(matches!(refused, Err(StoreError::NotDurable { .. })), "{refused:?}");
}

/// Between the reader's listing and its opening, others write and clean what it listed.
#[derive(Debug)]
struct ListedThenCleaned {
    calls: AtomicUsize,
}

impl Calls for ListedThenCleaned {
    fn listed(&self, dir: &Path) {
        if self.calls.fetch_add(1, Ordering::SeqCst) < 3 {
            let highest = names(dir).pop().expect("a revision");
            let number: u64 = highest.parse().expect("a number");
            fs::rename(dir.join(highest), dir.join(revision_name(number + 5))).expect("renamed");
        }
    }
}

#[tokio::test]
async fn a_reader_that_finds_its_revision_gone_lists_again() {
    let fixture = Fixture::new().await;
    let at = key("certs/a");
    done(fixture.store.put(&at, &value("there"), &Expect::Absent).await);
    let store = fixture.with(Arc::new(ListedThenCleaned { calls: AtomicUsize::default() })).await;
    assert_eq!(store.get(&at).await.expect("read").map(|stored| stored.envelope.body), Some(json!("there")));
}
