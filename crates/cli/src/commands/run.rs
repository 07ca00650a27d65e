//! `run`: the daemon, and what signals tell it.
//!
//! Always holds: it is gone two seconds after the first SIGTERM or SIGINT, at once after the second; a configuration that cannot be used is
//! refused with the old one kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use certfleet_node::config::{self, ConfigError, Settings};
use certfleet_node::daemon::{self, Control, ThisMachine};
use certfleet_node::identity::Identity;
use certfleet_node::logging;
use certfleet_node::names::NodeName;
use certfleet_node::operator::Machine;
use clap::Args;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::failure::Failure;

/// How many threads carry the daemon; waiting costs none.
const WORKER_THREADS: usize = 2;
/// How many signals may wait for the daemon.
const CONTROLS: usize = 8;
/// When a daemon that was told to stop and has not is ended, in milliseconds.
const STOP_MS_MAX: u64 = 1_900;

/// Runs the daemon: orders, answers, installs, reports.
///
/// SIGTERM and SIGINT end it, SIGHUP makes it read the configuration again. It never makes a fleet.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  certfleet run -c /etc/certfleet/certfleet.toml")]
pub struct Run {}

impl Run {
    /// Runs until it is told to stop.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let machine = Machine::load(config, None)?;
        let identity = machine.member()?.clone();
        logging::start(machine.settings.log);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKER_THREADS).enable_all().build();
        let runtime = runtime
            .map_err(|error| Failure::refused(format!("the run time cannot be started: {error}"), "see what limits this process"))?;
        let end = runtime.block_on(serve(machine, identity));
        // Whatever still hangs in a system call must not keep the process.
        runtime.shutdown_background();
        end
    }
}

async fn serve(machine: Machine, identity: Identity) -> Result<(), Failure> {
    let (tell, control) = mpsc::channel(CONTROLS);
    let signals = Signals::new(&machine.config, &identity.node, tell)
        .map_err(|error| Failure::refused(format!("signals cannot be received: {error}"), "see what limits this process"))?;
    tokio::spawn(signals.obey());
    let ready = || notify(&[NotifyState::Ready]);
    daemon::run(machine.settings, identity, control, ready, Arc::new(ThisMachine))
        .await
        .map_err(|error| Failure::refused(error.to_string(), "nothing was changed; mend that and start it again"))
}

/// To systemd, if it started us; elsewhere nobody listens.
fn notify(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}

struct Signals {
    term: Signal,
    interrupt: Signal,
    hangup: Signal,
    config: PathBuf,
    node: NodeName,
    tell: mpsc::Sender<Control>,
}

impl Signals {
    /// From now on no signal ends the process unasked.
    fn new(config: &Path, node: &NodeName, tell: mpsc::Sender<Control>) -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            config: config.to_owned(),
            node: node.clone(),
            tell,
        })
    }

    async fn obey(mut self) {
        loop {
            tokio::select! {
                _ = self.term.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hangup.recv() => self.reload().await,
            }
        }
        notify(&[NotifyState::Stopping]);
        let tell = self.tell.clone();
        tokio::spawn(async move { tell.send(Control::Stop).await });
        tokio::select! {
            _ = self.term.recv() => tracing::warn!(event = "stopped", "told twice: ended at once"),
            _ = self.interrupt.recv() => tracing::warn!(event = "stopped", "told twice: ended at once"),
            () = tokio::time::sleep(Duration::from_millis(STOP_MS_MAX)) => tracing::warn!(event = "stopped", "not in time: ended at once"),
        }
        std::process::exit(1);
    }

    async fn reload(&self) {
        let states: Vec<NotifyState<'_>> =
            [Some(NotifyState::Reloading), NotifyState::monotonic_usec_now().ok()].into_iter().flatten().collect();
        notify(&states);
        match self.settings() {
            Ok(settings) => drop(self.tell.send(Control::Reload(Box::new(settings))).await),
            Err(error) => tracing::error!(event = "reload-refused", error = %error.one_line(), "the old configuration is kept"),
        }
        notify(&[NotifyState::Ready]);
    }

    fn settings(&self) -> Result<Settings, ConfigError> {
        config::load(&self.config)?.for_node(&self.node)
    }
}
