//! One node of a fleet: its process, started, signalled, ended; its log.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use certfleet_core::names::NodeName;
use certfleet_testkit::{Process, eventually};
use rustix::process::Signal;
use serde_json::Value;

use super::Fleet;
use crate::LIMIT;

const BINARY: &str = env!("CARGO_BIN_EXE_certfleet");

/// A node, running or not.
pub(super) struct Node {
    pub name: String,
    pub dir: PathBuf,
    process: Option<Process>,
}

impl Node {
    pub fn new(number: u8, lab: &Path) -> Self {
        let name = format!("n{number}");
        let dir = lab.join(&name);
        std::fs::create_dir_all(dir.join("live")).expect("directory");
        Self { name, dir, process: None }
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("log")
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }
}

/// What a command did.
#[derive(Debug)]
pub struct Output {
    /// Its exit code.
    pub code: Option<i32>,
    /// Data.
    pub stdout: String,
    /// Talk.
    pub stderr: String,
}

impl Output {
    /// It did what it was told.
    pub fn worked(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }
}

/// Runs a command to its end, or to a crash point.
pub(super) async fn command(config: &Path, node: &NodeName, words: &[&str], crash_at: Option<&str>) -> Output {
    let mut command = tokio::process::Command::new(BINARY);
    command.arg("-c").arg(config).args(words).env("CERTFLEET_NODE", node.as_str()).stdin(Stdio::null());
    if let Some(point) = crash_at {
        command.env("CERTFLEET_CRASH_AT", point);
    }
    let output = command.output().await.expect("the binary can be run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Output { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// Makes a fleet of one machine, whose files are in `dir`, in the store at `url`.
pub async fn init_elsewhere(dir: &Path, url: &str) {
    let config = dir.join("other.toml");
    let text = format!(
        "[fleet]\nname = \"other\"\nstore = \"{url}\"\nstate = \"{}/state\"\n[answer]\nhttp = \"off\"\n\
         [issuer.ca]\ndirectory = \"https://127.0.0.1:9/directory\"\nagree_tos = true\n",
        dir.display()
    );
    std::fs::write(&config, text).expect("writes");
    command(&config, &"stranger".parse().expect("a name"), &["init"], None).await.worked();
}

impl Fleet {
    fn node(&self, n: u8) -> &Node {
        &self.nodes[usize::from(n) - 1]
    }

    fn node_mut(&mut self, n: u8) -> &mut Node {
        &mut self.nodes[usize::from(n) - 1]
    }

    /// Starts node `n`.
    pub fn start(&mut self, n: u8) {
        self.start_with(n, None);
    }

    /// Starts node 1 with a log of its own, of which the tests know nothing.
    pub(super) fn start_founding(&mut self) {
        let log = self.dir(1).join("founding.log");
        self.run(1, None, &log);
    }

    /// Starts node `n`, to die at a crash point.
    pub fn start_with(&mut self, n: u8, crash_at: Option<&str>) {
        let log = self.node(n).log_path();
        self.run(n, crash_at, &log);
    }

    fn run(&mut self, n: u8, crash_at: Option<&str>, log: &Path) {
        let (config, name, stop_at) = (self.config_path(), self.name(n), self.stop_at());
        let node = self.node_mut(n);
        let mut command = Command::new(BINARY);
        command.arg("-c").arg(config).arg("run").env("CERTFLEET_NODE", name.as_str());
        match crash_at {
            Some(point) => command.env("CERTFLEET_CRASH_AT", point),
            None => command.env_remove("CERTFLEET_CRASH_AT"),
        };
        command.env("CERTFLEET_STOP_AT", &stop_at);
        node.process = Some(Process::start(&node.name, &mut command, log).expect("a node starts"));
    }

    fn stop_at(&self) -> PathBuf {
        self.lab.dir.path().join("stop-at")
    }

    /// Whichever node comes to this crash point first is to wait there.
    pub fn stop_first_at(&self, point: &str) {
        std::fs::write(self.stop_at(), point).expect("it can be written");
    }

    /// Waits until a node has come there; [`Self::go_on`] lets it go on.
    pub async fn stands_still(&self) -> u8 {
        let standing = self.stop_at().with_extension("standing");
        let stands = |id: u32, n: &u8| self.node(*n).process.as_ref().is_some_and(|process| process.id() == id);
        let who = || async { std::fs::read_to_string(&standing).ok()?.parse().ok().and_then(|id| self.numbers().find(|n| stands(id, n))) };
        self.until("a node comes to the point and waits", who).await
    }

    /// Whoever waits at a crash point goes on.
    pub fn go_on(&self) {
        std::fs::remove_file(self.stop_at().with_extension("standing")).expect("a node waits");
    }

    /// Starts all.
    pub fn start_all(&mut self) {
        for n in self.numbers() {
            self.start(n);
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self, n: u8) {
        self.node_mut(n).kill();
    }

    /// SIGTERM; how long it took to go, and how it went.
    pub fn stop(&mut self, n: u8) -> (Duration, ExitStatus) {
        let mut process = self.node_mut(n).process.take().expect("it runs");
        let took = process.stop();
        (took, process.ended().expect("it was waited for"))
    }

    /// Sends a signal.
    pub fn signal(&self, n: u8, signal: Signal) {
        self.node(n).process.as_ref().expect("it runs").signal(signal);
    }

    /// How it ended, if it has.
    pub fn ended(&mut self, n: u8) -> Option<ExitStatus> {
        self.node_mut(n).process.as_mut().and_then(Process::ended)
    }

    /// Waits until node `n` has died at a crash point.
    pub async fn died_at(&mut self, n: u8, point: &str) {
        let end = std::time::Instant::now() + LIMIT;
        while self.ended(n).is_none() {
            assert!(std::time::Instant::now() < end, "node {n} did not come to {point}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.was_killed_at(n, point);
    }

    /// A node that has ended was killed by its crash point, and by nothing else.
    pub fn was_killed_at(&mut self, n: u8, point: &str) {
        let status = self.ended(n).expect("it has ended");
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "node {n} ended with {status} before {point}");
        let told = self.events(n).iter().any(|line| line["event"] == "crash" && line["point"] == point);
        assert!(told, "node {n} was killed, but not at {point}");
    }

    /// Everything node `n` has printed in all of its lives.
    pub fn log(&self, n: u8) -> String {
        self.node(n).log()
    }

    /// The log lines of node `n`, as JSON.
    pub fn events(&self, n: u8) -> Vec<Value> {
        self.log(n).lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Log lines of node `n` about `event`.
    pub fn told(&self, n: u8, event: &str) -> Vec<Value> {
        self.events(n).into_iter().filter(|line| line["event"] == event).collect()
    }

    /// Waits until node `n` has told about `event`; gives the first line.
    pub async fn tells(&self, n: u8, event: &str) -> Value {
        eventually(&format!("node {n} tells of {event}"), LIMIT, || async { self.told(n, event).into_iter().next() }).await
    }
}
