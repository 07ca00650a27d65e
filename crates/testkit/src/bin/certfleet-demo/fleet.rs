//! The `certfleet` binary: its commands, as a person types them, and its daemons.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use certfleet_testkit::Process;

use crate::failure::{During, Failure, unseen};
use crate::lab::{Lab, NODES};
use crate::screen::Screen;

/// Longest time a command may take, in seconds.
const COMMAND_SECONDS_MAX: u64 = 20;

/// The binary.
#[derive(Debug)]
pub struct Certfleet {
    program: PathBuf,
}

/// What a command printed.
#[derive(Debug)]
pub struct Printed {
    /// The data.
    pub stdout: String,
    /// The talk.
    pub stderr: String,
}

impl Certfleet {
    /// Finds it beside this program.
    pub fn find() -> Result<Self, Failure> {
        let own = std::env::current_exe().during("where this program lies cannot be seen")?;
        let program = own.with_file_name("certfleet");
        match program.is_file() {
            true => Ok(Self { program }),
            false => unseen(format!("{} is not there: build it first, `make demo` does", program.display())),
        }
    }

    /// Where it lies.
    pub fn program(&self) -> &PathBuf {
        &self.program
    }

    /// Runs a command on `node` to its end, and shows it; `shown` is what stands on the screen.
    pub async fn type_in(&self, screen: &Screen, lab: &Lab, node: usize, words: &[&str], shown: &str) -> Result<Printed, Failure> {
        screen.command(node, shown);
        let mut command = tokio::process::Command::from(self.command(lab, node));
        let output = command.args(words).stdin(std::process::Stdio::null()).kill_on_drop(true).output();
        let output = tokio::time::timeout(Duration::from_secs(COMMAND_SECONDS_MAX), output).await;
        let output = output.during(format!("`{shown}` on {} did not end within {COMMAND_SECONDS_MAX} s", NODES[node]))?;
        let output = output.during(format!("`{shown}` on {} cannot be run", NODES[node]))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let printed = Printed { stdout: text(&output.stdout), stderr: text(&output.stderr) };
        match output.status.success() {
            true => Ok(printed),
            false => unseen(format!("`{shown}` on {} failed ({}):\n{}{}", NODES[node], output.status, printed.stdout, printed.stderr)),
        }
    }

    /// `certfleet run` on `node`.
    pub fn run(&self, lab: &Lab, node: usize) -> Result<Process, Failure> {
        let mut command = self.command(lab, node);
        Process::start("certfleet", command.arg("run"), &lab.log(node)).during(format!("`certfleet run` on {}", NODES[node]))
    }

    /// Two variables say what a machine of its own would know: where its configuration is, and who it is.
    fn command(&self, lab: &Lab, node: usize) -> Command {
        let mut command = Command::new(&self.program);
        command.env("CERTFLEET_CONFIG", lab.config()).env("CERTFLEET_NODE", NODES[node]).env_remove("NOTIFY_SOCKET").env("NO_COLOR", "1");
        command
    }
}
