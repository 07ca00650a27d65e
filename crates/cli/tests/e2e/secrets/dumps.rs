//! A process of certfleet leaves no core dump, however it is started and whoever asks for one.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use certfleet_testkit::{Process, eventually};
use rustix::process::Signal;

use super::{BINARY, NAME};
use crate::LIMIT;
use crate::fleet::Fleet;

/// Somebody who is not root (`nobody`).
const STRANGER: u32 = 65_534;

/// Runs in `dir` with no limit of its own on core dumps.
fn unlimited(dir: &Path, program: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -c unlimited && exec \"$@\"", "sh"]).args(program).current_dir(dir).stdin(Stdio::null());
    command
}

fn dumps(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).expect("the directory is there").flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains("core")).collect()
}

/// Whether processes of this machine leave their dumps where they run: one that does not mind is told to.
fn are_left_here() -> bool {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ended = unlimited(dir.path(), &["sh", "-c", "kill -ABRT $$"]).stderr(Stdio::null()).status().expect("sh runs");
    ended.core_dumped() && !dumps(dir.path()).is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_told_to_dump_does_not() {
    let Some(fleet) = Fleet::plain(1, NAME).await else { return };
    let dir = tempfile::tempdir().expect("temporary directory");
    let config = fleet.config_path().display().to_string();
    let mut command = unlimited(dir.path(), &[BINARY, "-c", &config, "run"]);
    let mut process = Process::start("n1", command.env("CERTFLEET_NODE", "n1"), &dir.path().join("log")).expect("it starts");
    fleet.all_have(NAME, 1, 1).await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", process.id())).expect("it runs");
    let limit = limits.lines().find(|line| line.starts_with("Max core file size")).expect("it has that limit");
    assert_eq!(limit.split_whitespace().filter(|word| *word == "0").count(), 2, "{limit}");
    process.signal(Signal::ABORT);
    let ended = eventually("it has ended", LIMIT, || std::future::ready(process.ended())).await;
    assert_eq!((ended.signal(), ended.core_dumped()), (Some(Signal::ABORT.as_raw()), false));
    assert_eq!(dumps(dir.path()), Vec::<String>::new());
    if !are_left_here() {
        eprintln!("SKIPPED in part: this machine leaves no dumps where processes run (core(5)), so only the limit was seen");
    }
}

/// Ended with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// A program that waits for its input, as nobody in particular.
fn waiting(program: &Path, words: &[&str]) -> Ends {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    if rustix::process::geteuid().is_root() {
        command.uid(STRANGER).gid(STRANGER);
    }
    Ends(command.spawn().expect("it can be started"))
}

/// Whose the kernel says that the process's secrets are: root's, if nobody else may look at them (proc(5), prctl(2)).
async fn belongs(child: &Child, whose: &str, wanted: impl Fn(u32) -> bool) {
    let owner = || fs::metadata(format!("/proc/{}/mem", child.id())).ok().map(|meta| meta.uid());
    eventually(&format!("the memory is {whose}"), LIMIT, || std::future::ready(owner().filter(|uid| wanted(*uid)))).await;
}

/// By this the kernel knows not to hand a dump to a collector, and lets nobody attach who is not root.
#[tokio::test]
async fn nobody_but_root_may_look_into_a_command() {
    let dir = tempfile::tempdir().expect("temporary directory");
    fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("its mode can be set");
    let binary = dir.path().join("certfleet");
    fs::copy(BINARY, &binary).expect("it can be copied");
    let (other, own) = (waiting(Path::new("cat"), &[]), waiting(&binary, &["join", "-"]));
    belongs(&other.0, "its user's", |uid| uid != 0).await;
    belongs(&own.0, "root's", |uid| uid == 0).await;
}
