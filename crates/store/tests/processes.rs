//! The file store between processes: contention, sudden death, a full disk.
//!
//! The processes are this test executable again, with [`ROLE`] set.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use certfleet_store::backends::file::{FileStore, WatchMode};
use certfleet_store::{Envelope, ErrorKind, Expect, Key, Put, Settled, Store, fresh_nonce, put_settled};
use serde_json::{Value, json};

/// What a process of ours is to do: `count NAME LIMIT` or `fill`.
const ROLE: &str = "CERTFLEET_STORE_TEST_ROLE";
/// In this directory.
const ROOT: &str = "CERTFLEET_STORE_TEST_ROOT";

const COUNTERS: usize = 6;
const COUNTS: u64 = 30;
const KILLS: u64 = 40;
const KILLED_COUNTERS: usize = 3;
const CHILD_SECONDS_MAX: u64 = 60;

/// Not a test: where the processes begin.
#[test]
#[ignore = "run by the other tests"]
fn child() {
    let (Ok(role), Ok(root)) = (std::env::var(ROLE), std::env::var(ROOT)) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a run time");
    let root = Path::new(&root);
    match role.split(' ').collect::<Vec<_>>().as_slice() {
        ["count", name, limit] => runtime.block_on(count(root, name, limit.parse().expect("a limit"))),
        ["fill"] => runtime.block_on(fill(root)),
        other => panic!("no such role: {other:?}"),
    }
}

fn command(role: &str, root: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the test executable has a path"));
    command.args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"]).env(ROLE, role).env(ROOT, root);
    command
}

fn key(text: &str) -> Key {
    text.parse().expect("key")
}

fn value(body: &Value) -> Envelope {
    Envelope::new("lb0".parse().expect("name"), fresh_nonce().expect("random"), body).expect("json")
}

async fn open(root: &Path) -> std::sync::Arc<FileStore> {
    FileStore::open_or_create(root, WatchMode::Poll).await.expect("opened")
}

/// Counts up its own number in a value that all share, and prints `done COUNT REVISION` for every write that was acknowledged, and `seen COUNT`
/// for what it finds there: a write may have been taken for a conflict, since others had written after it before it could look.
async fn count(root: &Path, name: &str, limit: u64) {
    let (store, at) = (open(root).await, key("certs/counted"));
    loop {
        let stored = store.get(&at).await.expect("read");
        let mut body = stored.as_ref().map_or_else(|| json!({}), |stored| stored.envelope.body.clone());
        let mine = body[name].as_u64().unwrap_or(0);
        println!("\nseen {mine}");
        if mine == limit {
            return;
        }
        body[name] = json!(mine + 1);
        // Long, so that a torn value would show.
        body["fill"] = json!("x".repeat((mine as usize * 997) % 9000));
        let expect = stored.map_or(Expect::Absent, |stored| Expect::Revision(stored.revision));
        if let Settled::Done(revision) = put_settled(&*store, &at, &value(&body), &expect).await.expect("settled") {
            println!("\ndone {} {}", mine + 1, revision.engine);
        }
    }
}

/// A process that counts; what it prints is appended to its log.
struct Counter {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Counter {
    fn start(dir: &Path, name: &str, limit: u64) -> Self {
        let log = dir.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log).expect("a log");
        let err = out.try_clone().expect("a log");
        let child = command(&format!("count {name} {limit}"), &dir.join("store"));
        let child = { child }.stdin(Stdio::null()).stdout(out).stderr(err).spawn().expect("started");
        Self { name: name.to_owned(), log, child }
    }

    /// Count and revision of what was acknowledged.
    fn done(&self) -> Vec<(u64, u64)> {
        let log = fs::read_to_string(&self.log).expect("a log");
        let done = log.lines().filter_map(|line| line.strip_prefix("done ")?.split_once(' '));
        done.map(|(count, revision)| (count.parse().expect("count"), revision.parse().expect("revision"))).collect()
    }

    fn wait(&mut self) {
        let status = self.child.wait().expect("waited");
        assert!(status.success(), "{}: {status}\n{}", self.name, fs::read_to_string(&self.log).expect("a log"));
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// No revision was given to two writers.
fn assert_won_once(counters: &[Counter]) {
    let mut winners = BTreeMap::new();
    for counter in counters {
        for (_, revision) in counter.done() {
            let other = winners.insert(revision, &counter.name);
            assert_eq!(other, None, "revision {revision} was given to {} too", counter.name);
        }
    }
}

#[tokio::test]
async fn processes_that_contend_lose_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut counters: Vec<Counter> = (0..COUNTERS).map(|n| Counter::start(dir.path(), &format!("c{n}"), COUNTS)).collect();
    counters.iter_mut().for_each(Counter::wait);
    assert_won_once(&counters);
    let stored = open(&dir.path().join("store")).await.get(&key("certs/counted")).await.expect("read").expect("there");
    let sum: u64 = counters.iter().filter_map(|counter| stored.envelope.body[&counter.name].as_u64()).sum();
    assert_eq!(sum, COUNTERS as u64 * COUNTS);
    let revision: u64 = stored.revision.engine.parse().expect("a number");
    assert_eq!(revision, sum, "every revision is one count");
}

#[tokio::test]
async fn sudden_death_tears_nothing_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(&dir.path().join("store")).await;
    let mut known: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..KILLS {
        let counters: Vec<Counter> = (0..KILLED_COUNTERS).map(|n| Counter::start(dir.path(), &format!("c{n}"), u64::MAX)).collect();
        let before: usize = counters.iter().map(|counter| counter.done().len()).sum();
        let end = Instant::now() + Duration::from_secs(CHILD_SECONDS_MAX);
        while counters.iter().map(|counter| counter.done().len()).sum::<usize>() < before + 2 {
            assert!(Instant::now() < end, "nobody counted");
            std::thread::yield_now();
        }
        // Another moment of a write in each round: not waiting for anything.
        std::thread::sleep(Duration::from_micros(round * 977 % 9000));
        let logs: Vec<(String, PathBuf)> = counters.iter().map(|counter| (counter.name.clone(), counter.log.clone())).collect();
        drop(counters);
        let listing = store.list("").await.expect("listed");
        assert_eq!(listing.unreadable, [], "round {round}");
        let body = &listing.entries[0].1.envelope.body;
        for (name, log) in logs {
            let log = fs::read_to_string(log).expect("a log");
            let told = |line: &str| line.strip_prefix("done ").or(line.strip_prefix("seen "))?.split(' ').next()?.parse::<u64>().ok();
            let last = log.lines().filter_map(told).max().unwrap_or(0);
            let there = body[&name].as_u64().unwrap_or(0);
            // What it was told, or what was there when it started; and perhaps one more, whose answer died with it.
            let sure = known.insert(name.clone(), there).unwrap_or(0).max(last);
            assert!(there == sure || there == sure + 1, "round {round}: {name} was sure of {sure}, and {there} is there");
        }
    }
    let counters: Vec<Counter> = (0..KILLED_COUNTERS).map(|n| Counter::start(dir.path(), &format!("c{n}"), 0)).collect();
    assert_won_once(&counters);
}

/// Fills a small file system with values; then everything that was acknowledged is there, and when there is room it goes on.
async fn fill(root: &Path) {
    let store = open(&root.join("store")).await;
    let ballast = root.join("ballast");
    fs::write(&ballast, vec![1; 64 * 1024]).expect("written");
    let body = json!("x".repeat(10_000));
    let mut written = BTreeSet::new();
    let refused = loop {
        let at = key(&format!("versions/a/{}", written.len()));
        match store.put(&at, &value(&body), &Expect::Absent).await {
            Ok(Put::Done(_)) => _ = written.insert(at),
            other => break other.expect_err("full"),
        }
        assert!(written.len() < 1000, "the file system is not small");
    };
    assert_eq!(refused.kind(), ErrorKind::NeedsOperator);
    assert!(refused.to_string().contains("free space"), "{refused}");
    let listing = store.list("").await.expect("listed");
    assert_eq!(listing.unreadable, []);
    let (keys, values): (Vec<Key>, Vec<_>) = listing.entries.into_iter().unzip();
    assert_eq!(keys.iter().cloned().collect::<BTreeSet<_>>(), written);
    assert!(!written.is_empty() && values.iter().all(|stored| stored.envelope.body == body));

    let (at, old) = (&keys[0], &values[0]);
    let expect = Expect::Revision(old.revision.clone());
    store.put(at, &value(&body), &expect).await.expect_err("still full");
    assert_eq!(store.get(at).await.expect("read").as_ref(), Some(old));
    fs::remove_file(ballast).expect("removed");
    assert!(matches!(store.put(at, &value(&body), &expect).await, Ok(Put::Done(_))));
    println!("\nfilled {}", written.len());
}

#[test]
fn a_full_disk_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let own_mounts = |script: &str| {
        let mut unshare = Command::new("unshare");
        let root = rustix::process::geteuid().is_root();
        unshare.arg(if root { "-m" } else { "-rm" }).args(["sh", "-c", script, "sh"]).arg(dir.path());
        unshare
    };
    const MOUNT: &str = "mount -t tmpfs -o size=512k,mode=700 certfleet \"$1\"";
    if !own_mounts(MOUNT).output().is_ok_and(|out| out.status.success()) {
        let told = "a small tmpfs cannot be mounted here (unshare, mount): the full disk is not tested";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{told}");
        eprintln!("SKIPPED: {told}");
        return;
    }
    let mut filling = own_mounts(&format!("{MOUNT} && shift && exec \"$@\""));
    let child = command("fill", dir.path());
    filling.arg(child.get_program()).args(child.get_args()).env(ROLE, "fill").env(ROOT, dir.path());
    let out = filling.output().expect("run");
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && said.contains("\nfilled "), "{said}\n{}", String::from_utf8_lossy(&out.stderr));
}
