//! Kind `haproxy`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use certfleet_core::names::CertName;
use certfleet_deploy::State;
use certfleet_testkit::Site;
use certfleet_testkit::haproxy::{HaProxy, Setup};

use crate::certs::Ca;
use crate::client::served;
use crate::rig::{Rig, build, name, node};
use crate::suite::stand_ins;

pub struct HaProxyRig {
    haproxy: HaProxy,
    certs: PathBuf,
    address: SocketAddr,
    _site: Site,
}

impl Rig for HaProxyRig {
    const RELOADS_PER_CHANGE: usize = 0;

    fn new(home: &Path) -> Option<Self> {
        let site = Site::claim();
        let address = SocketAddr::from((site.host(1), site.port_on_all(1)));
        let certs = home.join("certs");
        fs::create_dir(&certs).expect("a directory");
        let setup =
            Setup { tls: vec![address], certificates: format!("crt {}/", certs.display()), body: "hello".into(), ..Setup::default() };
        let haproxy = HaProxy::prepare(&home.join("haproxy"), &setup).expect("prepared")?;
        Some(Self { haproxy, certs, address, _site: site })
    }

    fn table(&self) -> String {
        let (certs, socket) = (self.certs.display(), self.haproxy.socket());
        format!("kind = \"haproxy\"\nbundle = \"{certs}/{{name}}.pem\"\nsocket = \"{}\"\n", socket.display())
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn key_file(&self, cert: &CertName) -> PathBuf {
        self.certs.join(format!("{cert}.pem"))
    }

    async fn start(&mut self) {
        self.haproxy.run().await.expect("haproxy starts");
    }

    fn stop(&mut self) {
        self.haproxy.stop();
    }

    /// A reload is a new process; there is one only.
    fn reloads(&self) -> usize {
        self.haproxy.output().matches("New worker").count()
    }
}

crate::conforms_in_all!(HaProxyRig);

/// A started HAProxy with stand-ins, its home, and a CA.
async fn started() -> Option<(tempfile::TempDir, HaProxyRig, Ca)> {
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut rig = HaProxyRig::new(home.path())?;
    stand_ins(&rig).await;
    rig.start().await;
    Some((home, rig, Ca::new()))
}

#[tokio::test]
async fn the_process_goes_on_and_the_file_is_there_for_the_next_one() {
    let Some((_home, mut rig, ca)) = started().await else { return };
    let started = |rig: &HaProxyRig| {
        rig.haproxy.say("show info").expect("it answers").lines().find(|line| line.starts_with("Start_time")).map(str::to_owned)
    };
    let (process, since) = (rig.haproxy.id(), started(&rig));
    let material = ca.issue(&name(0), 1);
    assert_eq!(rig.target().converge(std::slice::from_ref(&material)).await[0].state, State::Verified);
    assert_eq!((rig.haproxy.id(), started(&rig)), (process, since));
    rig.stop();
    rig.start().await;
    assert_eq!(served(rig.address, &name(0), ca.roots()).await, Ok(material.leaf.fingerprint));
}

#[tokio::test]
async fn a_certificate_that_haproxy_does_not_know_is_added_to_its_directory() {
    let Some((_home, rig, ca)) = started().await else { return };
    let material = ca.issue("late.example.com", 1);
    let outcome = rig.target().converge(std::slice::from_ref(&material)).await.remove(0);
    assert_eq!(outcome.state, State::Verified, "{outcome:?}");
    assert_eq!(served(rig.address, "late.example.com", ca.roots()).await, Ok(material.leaf.fingerprint));
}

#[tokio::test]
async fn what_an_interrupted_change_leaves_does_not_bother_haproxy() {
    let Some((_home, mut rig, _ca)) = started().await else { return };
    rig.stop();
    for role in ["new", "old"] {
        fs::write(rig.certs.join(format!(".{}.pem.web.certfleet-{role}", name(0))), "half a fi").expect("written");
    }
    rig.start().await;
    assert!(!rig.haproxy.say("show ssl cert").expect("it answers").contains("certfleet-"));
}

#[tokio::test]
async fn a_crt_list_takes_new_certificates() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let Some(rig) = HaProxyRig::new(home.path()) else { return };
    let list = home.path().join("list.txt");
    stand_ins(&rig).await;
    fs::write(&list, format!("{}/{}.pem\n", rig.certs.display(), name(0))).expect("written");
    let certificates = format!("crt-list {}", list.display());
    rig.haproxy.write(&Setup { tls: vec![rig.address], certificates, body: "hello".into(), ..Setup::default() }).expect("written");
    let mut rig = rig;
    rig.start().await;
    let (ca, verify) = (Ca::new(), format!("verify = \"{}\"\n", rig.address));
    let batch = [ca.issue(&name(0), 1), ca.issue("late.example.com", 1)];

    let without = rig.target_with(&verify).converge(&batch).await;
    assert_eq!((without[0].state, without[1].state), (State::Verified, State::Failed), "{without:?}");
    assert!(without[1].reason.as_deref().is_some_and(|reason| reason.contains("does not know")), "{without:?}");
    assert!(!rig.key_file(&batch[1].cert).exists(), "what was not taken is not left lying there");

    let with = rig.target_with(&format!("{verify}crt_list = \"{}\"\n", list.display())).converge(&batch).await;
    assert_eq!((with[0].state, with[1].state), (State::Verified, State::Verified), "{with:?}");
}

#[tokio::test]
async fn every_socket_of_the_list_counts() {
    let Some((home, rig, ca)) = started().await else { return };
    let table = format!(
        "kind = \"haproxy\"\nbundle = \"{}/{{name}}.pem\"\nsocket = [\"{}\", \"{}\"]\n",
        rig.certs.display(),
        rig.haproxy.socket().display(),
        home.path().join("other.sock").display()
    );
    let material = ca.issue(&name(0), 1);
    let outcome = build(&table).converge(std::slice::from_ref(&material)).await.remove(0);
    assert_eq!(outcome.state, State::Installed);
    assert!(
        outcome.reason.as_deref().is_some_and(|reason| reason.starts_with("not running") && reason.contains("other.sock")),
        "{outcome:?}"
    );
    assert_eq!(served(rig.address, &name(0), ca.roots()).await, Ok(material.leaf.fingerprint));
}

#[tokio::test]
async fn what_the_runtime_api_refuses_is_reloaded() {
    let Some((home, rig, ca)) = started().await else { return };
    let runs = home.path().join("runs");
    let elsewhere = home.path().join("elsewhere");
    fs::create_dir(&elsewhere).expect("a directory");
    let table = format!(
        "kind = \"haproxy\"\nbundle = \"{}/{{name}}.pem\"\nsocket = \"{}\"\nreload = [\"sh\", \"-c\", \"echo x >> {}\"]\n",
        elsewhere.display(),
        rig.haproxy.socket().display(),
        runs.display()
    );
    let outcomes = build(&table).converge(&[ca.issue(&name(0), 1), ca.issue(&name(1), 1)]).await;
    assert!(outcomes.iter().all(|outcome| outcome.state == State::Installed), "{outcomes:?}");
    assert_eq!(fs::read_to_string(runs).expect("it ran").lines().count(), 1, "once for both");
    assert!(!rig.target().stand_in(&ca.issue(&name(0), 1).cert, &node(), &[]).await.expect("looked"));
}
