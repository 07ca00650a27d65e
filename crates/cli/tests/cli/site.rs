//! Machines that share a store, each with its own configuration and directories; and a stand-in for the daemon's admin socket.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use certfleet_testkit::{Process, eventually};
use serde_json::Value;
use tempfile::TempDir;

/// How long a daemon may take to do what is waited for.
const LIMIT: Duration = Duration::from_secs(20);

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Panics with everything unless it ended with `code`.
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Panics unless it was refused with 1, in two lines, and both words are there.
    #[track_caller]
    pub fn refused(self, what: &str, remedy: &str) {
        let ran = self.ended(1);
        let lines: Vec<&str> = ran.stderr.lines().collect();
        let [.., first, second] = lines.as_slice() else { panic!("not two lines: {ran:#?}") };
        assert!(first.starts_with("certfleet: ") && first.contains(what), "{what:?} is not in {ran:#?}");
        assert!(second.contains(remedy), "{remedy:?} is not in {ran:#?}");
        assert_eq!(ran.stdout, "");
    }
}

/// Machines that share a store.
pub struct Site {
    dir: TempDir,
}

/// One of them.
pub struct Machine {
    pub name: String,
    pub config: PathBuf,
    pub state: PathBuf,
    pub socket: PathBuf,
}

impl Site {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("temporary directory") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A machine with the usual configuration and the store `store`.
    pub fn machine(&self, name: &str) -> Machine {
        self.machine_with(name, &self.path("store"), "")
    }

    pub fn machine_with(&self, name: &str, store: &Path, more: &str) -> Machine {
        let (config, state, socket) =
            (self.path(&format!("{name}.toml")), self.path(&format!("{name}.state")), self.path(&format!("{name}.sock")));
        let text = format!(
            "[fleet]\nname = \"prod\"\nstore = \"file://{}\"\nstate = \"{}\"\n[admin]\nlisten = \"{}\"\n[answer]\nhttp = \"off\"\n\
             [issuer.ca]\ndirectory = \"https://127.0.0.1:9/directory\"\nagree_tos = true\n{more}\n\
             [[certificate]]\nnames = [\"example.com\", \"www.example.com\"]\n",
            store.display(),
            state.display(),
            socket.display()
        );
        std::fs::write(&config, text).expect("writes");
        Machine { name: name.to_owned(), config, state, socket }
    }

    /// A machine that made the fleet.
    pub fn first(&self, name: &str) -> Machine {
        let machine = self.machine(name);
        machine.run(&["init"]).ended(0);
        machine
    }
}

impl Machine {
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_certfleet"));
        command.env("CERTFLEET_CONFIG", &self.config).env("CERTFLEET_NODE", &self.name).env_remove("NOTIFY_SOCKET");
        command
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        self.run_with(words, "")
    }

    pub fn run_with(&self, words: &[&str], stdin: &str) -> Ran {
        let mut command = self.command();
        let mut child = command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        // A command that reads nothing may be gone before this is written.
        let _ = child.stdin.take().expect("is piped").write_all(stdin.as_bytes());
        let output = child.wait_with_output().expect("ends");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Ran { code: output.status.code().expect("no signal"), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// A token for one node, by itself.
    pub fn token(&self, words: &[&str]) -> String {
        self.run(&[&["invite"], words].concat()).ended(0).stdout.trim().to_owned()
    }

    /// What `words` print as JSON.
    #[track_caller]
    pub fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.run(words).ended(0).stdout).expect("JSON")
    }

    /// Its row of `node ls`.
    #[track_caller]
    pub fn row(&self, node: &str) -> Option<Value> {
        let rows = self.json(&["node", "ls", "--json"])["nodes"].take();
        rows.as_array().expect("a list").iter().find(|row| row["name"] == node).cloned()
    }

    /// Its daemon, which lets machines in.
    pub fn daemon(&self) -> Process {
        let log = self.config.with_extension("log");
        Process::start(&format!("certfleet of {}", self.name), self.command().arg("run"), &log).expect("starts")
    }

    /// Joins with `token`, and waits until somebody has let it in.
    pub async fn join(&self, token: &str) {
        assert!(self.run(&["join", token]).ended(0).stderr.contains("asks to join fleet prod"));
        let what = format!("{} is let in", self.name);
        eventually(&what, LIMIT, || std::future::ready(self.is_member(token).then_some(()))).await;
    }

    fn is_member(&self, token: &str) -> bool {
        let said = self.run(&["join", token]).ended(0).stderr;
        assert!(said.contains("nothing changed"), "{said}");
        said.contains("this machine is node")
    }

    /// Answers on the admin socket as a daemon would, with what `document` holds at the time; until the test's process ends.
    pub fn pretend_daemon(&self, document: &Arc<Mutex<String>>) {
        let listener = UnixListener::bind(&self.socket).expect("binds");
        let document = document.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("accepts");
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                    request.push(byte[0]);
                }
                let body = document.lock().expect("not poisoned").clone();
                let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            }
        });
    }
}

pub fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).permissions().mode() & 0o777
}
