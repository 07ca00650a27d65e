//! A private HAProxy: one process in the foreground, its runtime API on a socket of its own.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{Process, eventually, installed};

/// How long HAProxy may take to start, and to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// What HAProxy is to be.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Where it listens for TLS.
    pub tls: Vec<SocketAddr>,
    /// `crt FILE`, `crt DIRECTORY` or `crt-list FILE`, and further words of the `bind` lines.
    pub certificates: String,
    /// What every request is answered with.
    pub body: String,
    /// More sections, for example a plain front end that forwards challenges.
    pub lines: String,
}

/// A running HAProxy, or one that can be started.
#[derive(Debug)]
pub struct HaProxy {
    program: PathBuf,
    dir: PathBuf,
    process: Option<Process>,
}

impl HaProxy {
    /// Writes the configuration under `dir` without starting anything; `None` where HAProxy is not installed.
    pub fn prepare(dir: &Path, setup: &Setup) -> io::Result<Option<Self>> {
        let Some(program) = installed("haproxy", "haproxy") else { return Ok(None) };
        fs::create_dir_all(dir)?;
        let haproxy = Self { program, dir: dir.to_owned(), process: None };
        haproxy.write(setup)?;
        Ok(Some(haproxy))
    }

    /// Prepares and starts.
    pub async fn start(dir: &Path, setup: &Setup) -> io::Result<Option<Self>> {
        let Some(mut haproxy) = Self::prepare(dir, setup)? else { return Ok(None) };
        haproxy.run().await?;
        Ok(Some(haproxy))
    }

    /// Writes the configuration anew, for the next start.
    pub fn write(&self, setup: &Setup) -> io::Result<()> {
        fs::write(self.conf(), configuration(&self.socket(), setup))
    }

    /// Starts it, and waits until its runtime API answers.
    pub async fn run(&mut self) -> io::Result<()> {
        let mut command = Command::new(&self.program);
        command.arg("-db").arg("-f").arg(self.conf());
        self.process = Some(Process::start("haproxy", &mut command, &self.dir.join("output.log"))?);
        eventually(&format!("haproxy answers; see {}/output.log", self.dir.display()), LIMIT, || async {
            self.say("show info").ok().filter(|text| text.contains("Pid:"))
        })
        .await;
        Ok(())
    }

    /// The configuration file.
    pub fn conf(&self) -> PathBuf {
        self.dir.join("haproxy.cfg")
    }

    /// The socket of the runtime API, level admin.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("admin.sock")
    }

    /// Its process id, if it was started.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// What it printed.
    pub fn output(&self) -> String {
        fs::read_to_string(self.dir.join("output.log")).unwrap_or_default()
    }

    /// One command of the runtime API.
    pub fn say(&self, command: &str) -> io::Result<String> {
        let mut stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(format!("{command}\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Ends it.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop();
        }
    }
}

fn configuration(socket: &Path, setup: &Setup) -> String {
    let mut text = format!(
        "global\n  stats socket {} level admin mode 600\n  maxconn 500\n\ndefaults\n  mode http\n  timeout connect 5s\n  \
         timeout client 5s\n  timeout server 5s\n\nfrontend tls\n",
        socket.display()
    );
    for address in &setup.tls {
        let _ = writeln!(text, "  bind {address} ssl {}", setup.certificates);
    }
    let _ = write!(text, "  http-request return status 200 content-type text/plain string \"{}\"\n\n{}\n", setup.body, setup.lines);
    text
}
