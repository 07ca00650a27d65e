//! A private nginx: its own configuration, pid file and logs, no root-owned port.
//!
//! It runs with a master process, so that HUP and `nginx -s reload` work as on a real machine. A reload loses no *new* connection (the
//! listening sockets stay open); it does end idle keep-alive ones, so a client that must not see an error opens a connection for each request.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::process::{Process, eventually, installed};

/// How long nginx may take to start, and old workers to end.
const LIMIT: Duration = Duration::from_secs(20);
/// How many workers it has.
const WORKERS: usize = 2;

/// A TLS `server` block.
#[derive(Debug, Clone)]
pub struct Server {
    /// `server_name`s; empty: the default server.
    pub names: Vec<String>,
    /// `ssl_certificate`.
    pub certificate: PathBuf,
    /// `ssl_certificate_key`.
    pub key: PathBuf,
    /// What every request is answered with.
    pub body: String,
}

/// What nginx is to be.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Where the TLS servers listen.
    pub tls: Vec<SocketAddr>,
    /// The TLS servers.
    pub servers: Vec<Server>,
    /// Lines for the `http` block, for example a plain `server` that forwards challenges.
    pub http_lines: String,
}

/// A running nginx, or one that can be started.
#[derive(Debug)]
pub struct Nginx {
    program: PathBuf,
    dir: PathBuf,
    process: Option<Process>,
}

impl Nginx {
    /// Writes the configuration under `dir` without starting anything; `None` where nginx is not installed.
    pub fn prepare(dir: &Path, setup: &Setup) -> io::Result<Option<Self>> {
        let Some(program) = installed("nginx", "nginx") else { return Ok(None) };
        for sub in ["tmp", "logs", "conf.d"] {
            fs::create_dir_all(dir.join(sub))?;
        }
        let nginx = Self { program, dir: dir.to_owned(), process: None };
        nginx.write(setup)?;
        Ok(Some(nginx))
    }

    /// Prepares and starts.
    pub async fn start(dir: &Path, setup: &Setup) -> io::Result<Option<Self>> {
        let Some(mut nginx) = Self::prepare(dir, setup)? else { return Ok(None) };
        nginx.run().await?;
        Ok(Some(nginx))
    }

    /// Writes the configuration anew; a running nginx sees it at its next reload.
    pub fn write(&self, setup: &Setup) -> io::Result<()> {
        fs::write(self.conf(), configuration(&self.dir, setup))
    }

    /// Starts it, and waits until it accepts signals.
    pub async fn run(&mut self) -> io::Result<()> {
        let mut command = Command::new(&self.program);
        command.arg("-e").arg(self.error_log_path()).arg("-p").arg(&self.dir).arg("-c").arg(self.conf());
        let process = self.process.insert(Process::start("nginx", &mut command, &self.dir.join("logs/output.log"))?);
        let pid = process.id().to_string();
        let pid_file = self.dir.join("nginx.pid");
        let started = || async { fs::read_to_string(&pid_file).ok().filter(|text| text.trim() == pid) };
        eventually("nginx writes its pid file", LIMIT, started).await;
        Ok(())
    }

    /// The main configuration file, for `nginx -c`.
    pub fn conf(&self) -> PathBuf {
        self.dir.join("nginx.conf")
    }

    /// Where the process id stands while it runs.
    pub fn pid_file(&self) -> PathBuf {
        self.dir.join("nginx.pid")
    }

    /// A directory whose `*.conf` are included in the `http` block.
    pub fn include_dir(&self) -> PathBuf {
        self.dir.join("conf.d")
    }

    /// What it logged, at level `notice`.
    pub fn error_log(&self) -> String {
        fs::read_to_string(self.error_log_path()).unwrap_or_default()
    }

    /// How often it was told to reload and did.
    pub fn reloads(&self) -> usize {
        // Each is logged twice: that the signal came ("…, reconfiguring"), and that it is obeyed.
        self.error_log().lines().filter(|line| line.ends_with(": reconfiguring")).count()
    }

    /// Waits until no worker of an earlier configuration is left. (For a moment after a reload they still take connections.)
    pub async fn settled(&self) {
        let gone = || async {
            let log = self.error_log();
            let count = |sign: &str| log.lines().filter(|line| line.contains(sign)).count();
            // Not from the number of reloads: one that nginx refuses starts no workers.
            (count("start worker process ") == WORKERS + count("exited with code")).then_some(())
        };
        eventually("old workers of nginx end", LIMIT, gone).await;
    }

    /// `nginx -t`: whether the configuration is good.
    pub fn is_good(&self) -> bool {
        let mut command = Command::new(&self.program);
        command.args(["-t", "-q", "-e", "/dev/null", "-c"]).arg(self.conf());
        command.output().is_ok_and(|output| output.status.success())
    }

    /// SIGHUP.
    pub fn reload(&self) {
        if let Some(process) = &self.process {
            process.signal(Signal::HUP);
        }
    }

    /// Ends it gracefully enough that no worker is left.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop();
        }
    }

    fn error_log_path(&self) -> PathBuf {
        self.dir.join("logs/error.log")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.stop();
    }
}

fn configuration(dir: &Path, setup: &Setup) -> String {
    let dir = dir.display();
    let mut text = format!(
        "daemon off;\nworker_processes {WORKERS};\npid {dir}/nginx.pid;\nerror_log {dir}/logs/error.log notice;\nevents {{ worker_connections 256; }}\n\
         http {{\n  access_log off;\n  server_tokens off;\n  client_body_temp_path {dir}/tmp/body;\n  proxy_temp_path {dir}/tmp/proxy;\n  \
         fastcgi_temp_path {dir}/tmp/fastcgi;\n  uwsgi_temp_path {dir}/tmp/uwsgi;\n  scgi_temp_path {dir}/tmp/scgi;\n  \
         include {dir}/conf.d/*.conf;\n{}\n",
        setup.http_lines
    );
    for server in &setup.servers {
        text.push_str(&block(&setup.tls, server));
    }
    text.push_str("}\n");
    text
}

fn block(listen: &[SocketAddr], server: &Server) -> String {
    let mut text = String::from("  server {\n");
    for address in listen {
        let default = if server.names.is_empty() { " default_server" } else { "" };
        let _ = writeln!(text, "    listen {address} ssl{default};");
    }
    let names = if server.names.is_empty() { "_".to_owned() } else { server.names.join(" ") };
    let (certificate, key) = (server.certificate.display(), server.key.display());
    let _ = write!(
        text,
        "    server_name {names};\n    ssl_certificate {certificate};\n    ssl_certificate_key {key};\n    \
         location / {{ default_type text/plain; return 200 \"{}\"; }}\n  }}\n",
        server.body
    );
    text
}
