//! A running daemon, from its start until it is killed.

use std::sync::Arc;

use certfleet_core::names::NodeName;
use certfleet_edge::AnswerTable;
use certfleet_node::daemon::Control;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::gate::{Gate, Process};
use crate::history::History;
use crate::link::Link;

/// A daemon that panics is none that was killed: that something in it did not hold is a finding.
pub(super) struct Alarm {
    pub history: Arc<History>,
    pub who: NodeName,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.history.violated(format!("the daemon of {} panicked: see what it printed", self.who));
        }
    }
}

/// A running daemon.
#[derive(Debug)]
pub(super) struct Life {
    pub gate: Gate,
    pub store: Arc<Link>,
    pub ca: Arc<Link>,
    pub answers: AnswerTable,
    pub control: mpsc::Sender<Control>,
    pub task: JoinHandle<()>,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.gate.set(Process::Gone);
        self.task.abort();
    }
}
