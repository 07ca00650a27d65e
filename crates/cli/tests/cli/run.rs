//! `run`: answers, obeys signals, tells systemd. The CA's port is closed, so nothing is ever issued.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use certfleet_testkit::{Process, eventually};
use rustix::process::Signal;
use serde_json::Value;

use crate::site::{Machine, Site};

const LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(2);

struct Daemon {
    machine: Machine,
    process: Process,
    systemd: UnixDatagram,
}

impl Daemon {
    fn start(site: &Site) -> Self {
        let machine = site.first("lb0");
        let notify = site.path("notify.sock");
        let systemd = UnixDatagram::bind(&notify).expect("binds");
        systemd.set_read_timeout(Some(LIMIT)).expect("a time-out");
        let mut command = machine.command();
        command.arg("run").env("NOTIFY_SOCKET", &notify);
        let process = Process::start("certfleet", &mut command, &site.path("run.log")).expect("starts");
        Self { machine, process, systemd }
    }

    /// The next message to systemd.
    fn notified(&self) -> String {
        let mut buffer = [0; 256];
        let length =
            self.systemd.recv(&mut buffer).unwrap_or_else(|e| panic!("nothing was said to systemd: {e}\n{}", self.process.output()));
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// What the daemon itself says; none before it answers.
    fn status(&self) -> Option<Value> {
        let ran = self.machine.run(&["status", "--json"]);
        (ran.code == 0 && ran.stderr.is_empty()).then(|| serde_json::from_str(&ran.stdout).expect("JSON"))
    }

    async fn status_with(&self, what: &str, wanted: impl Fn(&Value) -> bool) {
        eventually(what, LIMIT, || std::future::ready(self.status().filter(|status| wanted(status)))).await;
    }
}

#[tokio::test]
async fn it_answers_and_ends_within_two_seconds() {
    let site = Site::new();
    let mut daemon = Daemon::start(&site);
    daemon.status_with("lb0 is live", |status| status["fleet"]["nodes"][0]["live"] == true).await;
    assert_eq!(daemon.notified(), "READY=1\n");
    let second = daemon.machine.run(&["run"]).ended(1);
    assert!(second.stderr.contains("another certfleet runs with"), "{second:#?}");
    let took = daemon.process.stop();
    assert!(took < STOP_LIMIT, "it took {took:?}:\n{}", daemon.process.output());
    assert_eq!(daemon.notified(), "STOPPING=1\n");
    assert!(daemon.process.output().contains("stopped"), "{}", daemon.process.output());
    let ran = daemon.machine.run(&["status", "--json"]).ended(0);
    let status: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(status["fleet"]["nodes"][0]["live"], false, "it said goodbye in the store");
}

#[tokio::test]
async fn a_bad_configuration_is_refused_and_a_good_one_taken() {
    let site = Site::new();
    let mut daemon = Daemon::start(&site);
    assert_eq!(daemon.notified(), "READY=1\n");
    let good = fs::read_to_string(&daemon.machine.config).expect("reads");

    fs::write(&daemon.machine.config, good.replace("agree_tos", "agree_tso")).expect("writes");
    daemon.process.signal(Signal::HUP);
    daemon.process.printed("reload-refused", LIMIT).await;
    assert!(daemon.process.output().contains("agree_tso"), "the log names the mistake: {}", daemon.process.output());
    assert!(daemon.notified().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(daemon.notified(), "READY=1\n");

    fs::write(&daemon.machine.config, format!("{good}[[certificate]]\nnames = [\"more.example.com\"]\n")).expect("writes");
    // The configuration file is for the command too; what the daemon itself follows is in its answer.
    daemon
        .status_with("the old configuration is kept", |status| status["certificates"].as_array().is_some_and(|certs| certs.len() == 1))
        .await;
    daemon.process.signal(Signal::HUP);
    daemon.status_with("the new certificate is there", |status| status["certificates"][1]["name"] == "more.example.com").await;
    assert!(daemon.process.stop() < STOP_LIMIT);
}

#[tokio::test]
async fn an_interrupt_ends_it_too() {
    let site = Site::new();
    let mut daemon = Daemon::start(&site);
    assert_eq!(daemon.notified(), "READY=1\n");
    daemon.process.signal(Signal::INT);
    let start = std::time::Instant::now();
    eventually("it ends", STOP_LIMIT, || std::future::ready((!daemon.process.is_running()).then_some(()))).await;
    assert!(start.elapsed() < STOP_LIMIT);
}
