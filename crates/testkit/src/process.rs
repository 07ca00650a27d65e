//! Subprocesses that die with their owner, and waiting for a condition with a deadline.

use std::fs::File;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to go after SIGTERM before it is killed.
const STOP_SECONDS_MAX: u64 = 5;
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

/// A running program that is killed when this is dropped. Its output goes to a file.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; both of its outputs are appended to `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> io::Result<Self> {
        let out = File::options().create(true).append(true).open(log)?;
        let err = out.try_clone()?;
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let child = child.map_err(|e| io::Error::new(e.kind(), format!("{name} cannot be started: {e}")))?;
        Ok(Self { child, name: name.to_owned(), log: log.to_owned() })
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Where it prints to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal; nothing happens if it has ended.
    pub fn signal(&self, signal: Signal) {
        let _ = Pid::from_raw(self.child.id().cast_signed()).map(|pid| kill_process(pid, signal));
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits; says how long it took. Kills after five seconds.
    pub fn stop(&mut self) -> Duration {
        let start = Instant::now();
        self.signal(Signal::TERM);
        while start.elapsed() < Duration::from_secs(STOP_SECONDS_MAX) {
            if !self.is_running() {
                return start.elapsed();
            }
            std::thread::sleep(POLL);
        }
        self.kill();
        start.elapsed()
    }

    /// Waits until it has printed `text`; panics with its whole output if it ends first or does not within `limit`.
    pub async fn printed(&mut self, text: &str, limit: Duration) {
        let end = Instant::now() + limit;
        while !self.output().contains(text) {
            assert!(self.is_running(), "{} ended before it printed {text:?}:\n{}", self.name, self.output());
            assert!(Instant::now() < end, "{} did not print {text:?} within {limit:?}:\n{}", self.name, self.output());
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until `condition` gives something; panics naming `what` when `limit` has passed.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, limit: Duration, mut condition: impl FnMut() -> F) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// The path of an installed program. Where it is missing: a panic if `CI=true`, else a line on stderr and `None`, so that the test is
/// skipped for all to see.
pub fn installed(program: &str, package: &str) -> Option<PathBuf> {
    let found =
        ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"].iter().map(|dir| Path::new(dir).join(program)).find(|p| p.exists());
    is_there(found, program, &format!("apt-get install {package}"))
}

/// What was found; told as [`installed`] does if nothing was.
pub(crate) fn is_there(found: Option<PathBuf>, program: &str, remedy: &str) -> Option<PathBuf> {
    if found.is_none() {
        let told = format!("{program} is not installed ({remedy})");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{told}");
        eprintln!("SKIPPED: {told}");
    }
    found
}
