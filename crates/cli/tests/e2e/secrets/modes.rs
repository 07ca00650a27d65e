//! Files with secrets are for their owner alone, from the first byte on, whatever the umask, and also those that a crash left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use certfleet_testkit::{Process, eventually};
use rustix::process::Signal;

use super::{BINARY, NAME};
use crate::LIMIT;
use crate::fleet::{Config, Lab, audit};

/// Where a daemon dies, in this order: with an identity, a sealed account key, a sealed key, a version, staged files, installed ones.
const POINTS: [&str; 7] = [
    "after-store-account-key",
    "before-store-key",
    "after-store-key",
    "before-ca-finalize",
    "after-store-version",
    "before-install-files",
    "after-install-files",
];
/// Rights of others than the owner.
const OF_OTHERS: u32 = 0o077;

/// One machine on which everything is started with a umask that takes nothing away.
struct Machine {
    lab: Lab,
}

impl Machine {
    async fn new() -> Option<Self> {
        let lab = Lab::new(1, |_| {}).await?;
        lab.resolve(NAME, 1).await;
        let mut config = Config::plain(NAME);
        let root = lab.pebble.root_pem_path().display().to_string();
        config.issuers.insert("pebble".into(), (lab.pebble.directory_url(), root));
        let text = config.text(lab.dir.path(), &[("n1".to_owned(), lab.address(1).to_string())]);
        fs::write(lab.dir.path().join("certfleet.toml"), text).expect("the configuration can be written");
        let machine = Self { lab };
        for dir in ["live", "out"] {
            fs::create_dir_all(machine.dir(dir)).expect("directory");
        }
        Some(machine)
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.lab.dir.path().join("n1").join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "umask 000 && exec \"$0\" \"$@\"", BINARY, "-c"]).arg(self.lab.dir.path().join("certfleet.toml"));
        command.args(words).env("CERTFLEET_NODE", "n1").stdin(Stdio::null());
        command
    }

    fn does(&self, words: &[&str]) {
        let output = self.command(words).output().expect("it can be run");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A file that a command is to write.
    fn out(&self, name: &str) -> String {
        self.dir("out").join(name).display().to_string()
    }

    fn runs(&self, crash_at: Option<&str>) -> Process {
        let mut command = self.command(&["run"]);
        crash_at.map(|point| command.env("CERTFLEET_CRASH_AT", point));
        Process::start("n1", &mut command, &self.lab.dir.path().join("log")).expect("it starts")
    }

    async fn dies_at(&self, point: &str) {
        let mut process = self.runs(Some(point));
        let status = eventually(&format!("it dies at {point}"), LIMIT, || std::future::ready(process.ended())).await;
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{point}: {}", process.output());
    }
}

/// Whether it is a secret's, by where it is: of what is live, certificates are for everybody.
fn is_private(path: &Path, meta: &fs::Metadata) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_live = path.components().any(|part| part.as_os_str() == "live");
    !meta.is_symlink() && (!is_live || meta.is_dir() || name.contains("privkey"))
}

/// What others may do with secrets below `dir`, and how much there is.
fn loose(dir: &Path) -> (Vec<String>, usize) {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        // What is gone again was not for others either, as far as anybody saw.
        let Ok(meta) = entry.metadata() else { continue };
        seen += 1;
        let mode = meta.permissions().mode();
        if mode & OF_OTHERS != 0 && is_private(&entry.path(), &meta) {
            wrong.push(format!("{} has mode {:o}", entry.path().display(), mode & 0o7777));
        }
        if meta.is_dir() {
            let (more, below) = loose(&entry.path());
            wrong.extend(more);
            seen += below;
        }
    }
    (wrong, seen)
}

/// Looks all the time.
struct Watch {
    ends: Arc<AtomicBool>,
    looks: Arc<AtomicUsize>,
    thread: JoinHandle<Vec<String>>,
}

impl Watch {
    fn over(dirs: Vec<PathBuf>) -> Self {
        let (ends, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (ending, looked) = (ends.clone(), looks.clone());
        let thread = std::thread::spawn(move || {
            let mut wrong = Vec::new();
            while wrong.is_empty() && !ending.load(Ordering::Relaxed) {
                wrong = dirs.iter().flat_map(|dir| loose(dir).0).collect();
                looked.fetch_add(1, Ordering::Relaxed);
            }
            wrong
        });
        Self { ends, looks, thread }
    }

    fn end(self) {
        self.ends.store(true, Ordering::Relaxed);
        let wrong = self.thread.join().expect("it does not panic");
        assert!(wrong.is_empty(), "{wrong:?}");
        assert!(self.looks.load(Ordering::Relaxed) > POINTS.len(), "it hardly looked");
    }
}

/// Files with a private key, wherever they are.
fn keys_are_private(dir: &Path) -> usize {
    let holds_key = |path: &PathBuf| fs::read(path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains("PRIVATE KEY-----"));
    let keys: Vec<PathBuf> = audit::files(dir).into_iter().filter(holds_key).collect();
    for key in &keys {
        let mode = fs::metadata(key).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", key.display());
    }
    keys.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_umask_and_wherever_it_dies_secrets_are_their_owners() {
    let Some(machine) = Machine::new().await else { return };
    let watch = Watch::over(["state", "live", "out"].map(|dir| machine.dir(dir)).into());
    machine.does(&["init"]);
    for point in POINTS {
        machine.dies_at(point).await;
        assert_eq!(loose(&machine.dir("state")).0, Vec::<String>::new(), "{point}");
        keys_are_private(&machine.dir("live"));
    }
    let running = machine.runs(None);
    let live = machine.dir("live").join(NAME).join("privkey.pem");
    eventually("it has its key", LIMIT, || std::future::ready(live.exists().then_some(()))).await;
    machine.does(&["invite", "n2", "--out", &machine.out("")]);
    machine.does(&["account", "export", "--out", &machine.out("account.pem")]);
    machine.does(&["store", "backup", &machine.out("backup")]);
    watch.end();
    drop(running);
    let mode = fs::metadata(machine.dir("state")).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode, keys_are_private(machine.lab.dir.path())), (0o700, 2), "one key that is served, one that was exported");
    let (wrong, seen) = loose(&machine.dir("state"));
    assert!(wrong.is_empty() && seen > POINTS.len(), "{wrong:?} of {seen}");
    assert_eq!(loose(&machine.dir("out")), (Vec::new(), 3));
}

/// The fleet key, taken away when the fleet is made.
#[tokio::test(flavor = "multi_thread")]
async fn an_exported_fleet_key_is_its_owners() {
    let Some(machine) = Machine::new().await else { return };
    machine.does(&["init", "--export-key", &machine.out("fleet.key")]);
    assert_eq!(loose(&machine.dir("out")), (Vec::new(), 1));
    assert!(!machine.dir("state").join("fleet.key").exists());
}
