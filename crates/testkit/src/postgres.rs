//! A private PostgreSQL: a cluster of its own in a temporary directory, on a loopback port and a Unix socket.
//!
//! Always holds: it runs as an unprivileged user, since PostgreSQL refuses root; commits are synced to the disk, as on a real machine; it
//! ends with its owner.

mod certificates;
mod system;

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::fs::chown;
use rustix::process::{Gid, Signal, Uid, geteuid};
use tempfile::TempDir;

use crate::{Process, eventually, free_port};
use certificates::Authority;
use system::{User, programs, run};

/// How long the server may take to start or to stop.
const LIMIT: Duration = Duration::from_secs(60);
const PASSWORD: &str = "secret-of-the-tests";

/// How a PostgreSQL is set up.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// Lines of `postgresql.conf`.
    pub settings: Vec<String>,
    /// Whether it offers TLS: [`Postgres::ca`] is its CA.
    pub tls: bool,
    /// Lines of `pg_hba.conf` before those that let everybody in with a password.
    pub hba: Vec<String>,
}

/// A running PostgreSQL. Its superuser is `postgres`.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    user: Option<User>,
    port: u16,
    process: Option<Process>,
    authority: Option<Authority>,
    databases: AtomicU32,
    dir: TempDir,
}

impl Postgres {
    /// Makes a cluster and starts it; `None` where PostgreSQL is not installed.
    pub async fn start(options: PostgresOptions) -> Option<Self> {
        let mut server = Self::prepare()?;
        let password = server.dir.path().join("password");
        server.write(&password, PASSWORD);
        let mut initdb = server.command("initdb");
        initdb.arg("--pgdata").arg(server.data()).arg("--pwfile").arg(&password);
        run(initdb.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]));
        server.configure(&options);
        server.run().await;
        Some(server)
    }

    /// A read-only standby of this server, started. (This server's `pg_hba.conf` lets it in.)
    pub async fn standby(&self) -> Self {
        let mut standby = Self::prepare().expect("PostgreSQL is installed, since this one runs");
        let mut copy = standby.command("pg_basebackup");
        copy.env("PGPASSWORD", PASSWORD).arg("--pgdata").arg(standby.data()).arg("--dbname").arg(self.conninfo());
        run(copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]));
        standby.append("postgresql.conf", &standby.settings());
        standby.run().await;
        standby
    }

    /// Makes the running server's standby the primary.
    pub async fn promote(&self) {
        self.sql("postgres", "SELECT pg_promote(true, 60)").await;
    }

    fn prepare() -> Option<Self> {
        let programs = programs()?;
        let user = geteuid().is_root().then(User::unprivileged);
        let dir = tempfile::Builder::new().prefix("postgres-").tempdir().expect("a directory");
        let port = free_port(Ipv4Addr::LOCALHOST.into());
        let server = Self { programs, user, port, process: None, authority: None, databases: AtomicU32::new(0), dir };
        server.give(server.dir.path());
        Some(server)
    }

    fn configure(&mut self, options: &PostgresOptions) {
        let mut settings = self.settings();
        if options.tls {
            settings.push_str(&self.make_certificates());
        }
        for line in &options.settings {
            let _ = writeln!(settings, "{line}");
        }
        self.append("postgresql.conf", &settings);
        let mut hba = options.hba.join("\n");
        hba.push_str(
            "\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n",
        );
        let path = self.data().join("pg_hba.conf");
        fs::remove_file(&path).expect("initdb made it");
        self.write(&path, &hba);
    }

    fn settings(&self) -> String {
        let (port, dir) = (self.port, self.dir.path().display());
        format!(
            "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{dir}'\nshared_buffers = 16MB\nlogging_collector = off\n"
        )
    }

    fn make_certificates(&mut self) -> String {
        let authority = Authority::new();
        let (certificate, key) = authority.server();
        self.write(&self.data().join("server.crt"), &certificate);
        self.write(&self.data().join("server.key"), &key);
        self.write(&self.data().join("ca.crt"), authority.pem());
        self.authority = Some(authority);
        "ssl = on\nssl_ca_file = 'ca.crt'\n".to_owned()
    }

    /// Starts it, and waits until it lets clients in.
    pub async fn run(&mut self) {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data());
        self.process = Some(Process::start("postgres", &mut command, &self.dir.path().join("log")).expect("started"));
        eventually("PostgreSQL lets clients in", LIMIT, || async {
            let mut ready = self.command("pg_isready");
            let ready = ready.args(["--quiet", "--host"]).arg(self.dir.path()).arg("--port").arg(self.port.to_string()).status();
            ready.is_ok_and(|status| status.success()).then_some(())
        })
        .await;
    }

    /// Ends it: sessions are told, and cut; nothing is lost.
    pub async fn stop(&mut self) {
        self.end(Signal::INT).await;
    }

    /// Ends it as a crash does; the next start recovers.
    pub async fn crash(&mut self) {
        self.end(Signal::QUIT).await;
    }

    async fn end(&mut self, signal: Signal) {
        let Some(mut process) = self.process.take() else { return };
        process.signal(signal);
        let end = std::time::Instant::now() + LIMIT;
        while process.is_running() {
            assert!(std::time::Instant::now() < end, "PostgreSQL does not stop:\n{}", process.output());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The directory of its Unix socket.
    pub fn socket_dir(&self) -> &Path {
        self.dir.path()
    }

    /// The user that it runs as.
    pub fn uid(&self) -> u32 {
        self.user.map_or_else(|| geteuid().as_raw(), |user| user.uid)
    }

    /// The PEM of its CA, if it offers TLS.
    pub fn ca(&self) -> Option<&str> {
        self.authority.as_ref().map(Authority::pem)
    }

    /// A client certificate for `role` and its key (PEM), if it offers TLS.
    pub fn client_certificate(&self, role: &str) -> Option<(String, String)> {
        self.authority.as_ref().map(|authority| authority.client(role))
    }

    /// The superuser's password.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// A store URL of a database at `address` (this server's, or a proxy's before it), as the superuser and without TLS.
    pub fn url_at(&self, address: SocketAddr, database: &str) -> String {
        format!("postgres://postgres:{PASSWORD}@{address}/{database}?sslmode=disable")
    }

    /// A store URL of a database here.
    pub fn url(&self, database: &str) -> String {
        self.url_at(self.address(), database)
    }

    /// Makes a new database, and gives its name.
    pub async fn new_database(&self) -> String {
        let name = format!("db{}", self.databases.fetch_add(1, Ordering::SeqCst));
        self.sql("postgres", &format!("CREATE DATABASE {name}")).await;
        name
    }

    /// What a statement of the superuser prints, by psql; panics if it fails.
    pub async fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = self.command("psql");
        psql.env("PGPASSWORD", PASSWORD).arg("--host").arg(self.dir.path()).arg("--port").arg(self.port.to_string());
        psql.args(["--username=postgres", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "--dbname", database, "--file=-"]);
        let script = self.dir.path().join(format!("script-{:?}", std::thread::current().id()).replace(['(', ')'], ""));
        self.write(&script, sql);
        psql.stdin(fs::File::open(&script).expect("just written"));
        let output = tokio::task::spawn_blocking(move || psql.output()).await.expect("not cancelled").expect("psql runs");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn conninfo(&self) -> String {
        format!("host=127.0.0.1 port={} user=postgres password={PASSWORD}", self.port)
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A program of PostgreSQL's, run as the user that it runs as.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = match self.user {
            None => Command::new(program),
            Some(User { uid, gid }) => {
                let mut command = Command::new("setpriv");
                command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups").arg(program);
                command
            }
        };
        command.current_dir(self.dir.path()).env("LC_ALL", "C");
        command
    }

    fn write(&self, path: &Path, text: &str) {
        fs::write(path, text).expect("written");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("made private");
        self.give(path);
    }

    fn append(&self, file: &str, text: &str) {
        let path = self.data().join(file);
        let before = fs::read_to_string(&path).expect("initdb made it");
        self.write(&path, &format!("{before}\n{text}"));
    }

    fn give(&self, path: &Path) {
        if let Some(User { uid, gid }) = self.user {
            chown(path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).expect("root may give files away");
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // Told and waited for, so that its own processes are gone before its directory is.
            process.signal(Signal::INT);
            process.stop();
        }
    }
}
