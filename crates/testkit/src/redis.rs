//! Private Redis servers, replicas and Sentinels: in a temporary directory, on loopback ports of their own.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::addresses::free_port;
use crate::process::{Process, eventually, installed};

/// How long a server may take to answer after its start.
const START: Duration = Duration::from_secs(20);
/// Until Sentinels take a silent master for dead.
const DOWN_AFTER_MS: u64 = 1_000;
/// Until a failover that came to nothing is tried again.
const FAILOVER_MS_MAX: u64 = 5_000;
/// Ports are tried again where another process was faster.
const PORT_TRIES: u32 = 5;

/// A running server, a replica or a Sentinel.
#[derive(Debug)]
pub struct Redis {
    program: PathBuf,
    cli: PathBuf,
    dir: TempDir,
    address: SocketAddr,
    /// For `redis-cli`.
    login: Vec<String>,
    process: Process,
}

impl Redis {
    /// Starts a server that keeps what it is told (`appendonly yes`); `lines` are added to its configuration. `None` where Redis is not
    /// installed.
    pub async fn start(lines: &[&str]) -> Option<Self> {
        Self::start_with(lines, &[]).await
    }

    /// As [`Redis::start`]; `login` are the options that `redis-cli` needs to get in (`-a`, `--user`, `--tls`, …).
    pub async fn start_with(lines: &[&str], login: &[&str]) -> Option<Self> {
        let program = installed("redis-server", "redis-server")?;
        Self::launch(program, lines.join("\n"), login, false).await
    }

    /// Starts a replica of this one.
    pub async fn replica(&self) -> Option<Self> {
        let master = format!("replicaof {} {}", self.address.ip(), self.address.port());
        let replica = Self::start(&[&master, "repl-diskless-sync-delay 0", "repl-ping-replica-period 1"]).await?;
        let linked = || async { replica.cli(&["INFO", "replication"]).contains("master_link_status:up").then_some(()) };
        eventually("the replica is in step", START, linked).await;
        Some(replica)
    }

    /// Starts a Sentinel that watches this one as `service`, alone: it needs no other's agreement.
    pub async fn sentinel(&self, service: &str) -> Option<Self> {
        let program = installed("redis-sentinel", "redis-sentinel")?;
        let (ip, port) = (self.address.ip(), self.address.port());
        let text = format!(
            "sentinel monitor {service} {ip} {port} 1\nsentinel down-after-milliseconds {service} {DOWN_AFTER_MS}\n\
             sentinel failover-timeout {service} {FAILOVER_MS_MAX}"
        );
        let sentinel = Self::launch(program, text, &[], true).await?;
        let knows = || async { sentinel.cli(&["SENTINEL", "REPLICAS", service]).contains("runid").then_some(()) };
        eventually("the Sentinel knows the replica", START, knows).await;
        Some(sentinel)
    }

    async fn launch(program: PathBuf, lines: String, login: &[&str], is_sentinel: bool) -> Option<Self> {
        let cli = installed("redis-cli", "redis-tools")?;
        let login: Vec<String> = login.iter().map(ToString::to_string).collect();
        for _ in 0..PORT_TRIES {
            let dir = tempfile::Builder::new().prefix("redis-").tempdir().expect("a directory");
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(Ipv4Addr::LOCALHOST.into())));
            std::fs::write(dir.path().join("redis.conf"), configuration(dir.path(), address, &lines, is_sentinel)).expect("written");
            let process = run(&program, dir.path()).expect("Redis starts");
            let mut redis = Self { program: program.clone(), cli: cli.clone(), dir, address, login: login.clone(), process };
            if redis.is_ready().await {
                return Some(redis);
            }
            assert!(redis.process.output().contains("Address already in use"), "Redis ended at its start:\n{}", redis.process.output());
        }
        panic!("no port stayed free for Redis");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What it logged, over all of its starts.
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// What `redis-cli` prints; a leading error word tells what went wrong.
    pub fn cli(&self, words: &[&str]) -> String {
        self.cli_with(words, None)
    }

    /// As [`Redis::cli`]; the last word is read from `last`, since it may be anything.
    pub fn cli_with(&self, words: &[&str], last: Option<&[u8]>) -> String {
        let mut command = Command::new(&self.cli);
        command.args(["-h", "127.0.0.1", "-p", &self.address.port().to_string(), "--no-auth-warning"]).args(&self.login);
        if let Some(last) = last {
            let path = self.dir.path().join("word");
            std::fs::write(&path, last).expect("written");
            command.arg("-x").stdin(std::fs::File::open(&path).expect("opened"));
        }
        let output = command.args(words).output().expect("redis-cli runs");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).trim_end().to_owned()
    }

    /// Lets it hang: connections are accepted by the kernel, nothing answers (SIGSTOP).
    pub fn pause(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Ends [`Redis::pause`].
    pub fn resume(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Ends it without warning.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it anew at the same address, with what it kept.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.process = run(&self.program, self.dir.path()).expect("Redis starts");
        assert!(self.is_ready().await, "Redis ended at its start:\n{}", self.process.output());
    }

    /// Waits until it answers; false if it ended.
    async fn is_ready(&mut self) -> bool {
        let this = std::cell::RefCell::new(self);
        let looked = || async {
            let mut this = this.borrow_mut();
            match this.process.is_running() {
                false => Some(false),
                true => this.cli(&["PING"]).contains("PONG").then_some(true),
            }
        };
        eventually("Redis answers", START, looked).await
    }
}

fn configuration(dir: &Path, address: SocketAddr, lines: &str, is_sentinel: bool) -> String {
    let own = if is_sentinel { "" } else { "appendonly yes\nappendfsync always\nsave \"\"\nenable-debug-command local" };
    let (ip, port, dir) = (address.ip(), address.port(), dir.display());
    format!("bind {ip}\nport {port}\ndir {dir}\ndaemonize no\nprotected-mode no\n{own}\n{lines}\n")
}

fn run(program: &Path, dir: &Path) -> io::Result<Process> {
    let mut command = Command::new(program);
    Process::start("redis", command.arg(dir.join("redis.conf")), &dir.join("redis.log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_a_replica_and_a_sentinel_start_and_end() {
        let Some(mut server) = Redis::start(&[]).await else { return };
        let Some(replica) = server.replica().await else { return };
        let Some(sentinel) = server.sentinel("prod").await else { return };
        assert_eq!(server.cli_with(&["SET", "a"], Some(b"b c")), "OK");
        eventually("the replica has it", START, || async { (replica.cli(&["GET", "a"]) == "b c").then_some(()) }).await;
        let master = sentinel.cli(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "prod"]);
        assert!(master.contains(&server.address().port().to_string()), "{master}");
        server.restart().await;
        assert_eq!(server.cli(&["GET", "a"]), "b c");
        server.kill();
        assert!(!server.cli(&["PING"]).contains("PONG"));
    }
}
