//! Kind `nginx`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use certfleet_core::names::CertName;
use certfleet_deploy::State;
use certfleet_testkit::nginx::{Nginx, Server, Setup};
use certfleet_testkit::{Site, eventually};

use crate::certs::Ca;
use crate::client::served;
use crate::rig::{NAMES, Rig, name};
use crate::suite::{LIMIT, stand_ins};

pub struct NginxRig {
    pub nginx: Nginx,
    certs: PathBuf,
    address: SocketAddr,
    _site: Site,
}

/// The server blocks for all names, with the files that `files` gives for each.
pub fn servers(files: impl Fn(&str) -> (PathBuf, PathBuf)) -> Vec<Server> {
    let server = |n| {
        let (certificate, key) = files(&name(n));
        Server { names: vec![name(n)], certificate, key, body: "hello".into() }
    };
    (0..NAMES).map(server).collect()
}

impl Rig for NginxRig {
    const RELOADS_PER_CHANGE: usize = 1;

    fn new(home: &Path) -> Option<Self> {
        let site = Site::claim();
        let address = SocketAddr::from((site.host(1), site.port_on_all(1)));
        let certs = home.join("certs");
        fs::create_dir(&certs).expect("a directory");
        let servers = servers(|name| (certs.join(name).join("fullchain.pem"), certs.join(name).join("privkey.pem")));
        let nginx = Nginx::prepare(&home.join("nginx"), &Setup { tls: vec![address], servers, ..Setup::default() }).expect("prepared")?;
        Some(Self { nginx, certs, address, _site: site })
    }

    fn table(&self) -> String {
        format!("kind = \"nginx\"\ndir = \"{}/{{name}}\"\nconfig = \"{}\"\n", self.certs.display(), self.nginx.conf().display())
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn key_file(&self, cert: &CertName) -> PathBuf {
        self.certs.join(cert.as_str()).join("privkey.pem")
    }

    async fn start(&mut self) {
        self.nginx.run().await.expect("nginx starts");
    }

    fn stop(&mut self) {
        self.nginx.stop();
    }

    async fn settled(&self) {
        self.nginx.settled().await;
    }

    fn reloads(&self) -> usize {
        self.nginx.reloads()
    }
}

crate::conforms_in_all!(NginxRig);

#[tokio::test]
async fn a_broken_configuration_puts_the_old_files_back() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let Some(mut rig) = NginxRig::new(home.path()) else { return };
    let (ca, target) = (Ca::new(), rig.target());
    stand_ins(&rig).await;
    rig.start().await;
    let (old, new) = (ca.issue(&name(0), 1), ca.issue(&name(0), 2));
    assert_eq!(target.converge(std::slice::from_ref(&old)).await[0].state, State::Verified);
    rig.settled().await;
    fs::write(rig.nginx.include_dir().join("broken.conf"), "no_such_directive on;\n").expect("written");

    let outcome = target.converge(std::slice::from_ref(&new)).await.remove(0);

    assert_eq!((outcome.state, outcome.changed, outcome.activations), (State::Failed, false, 0));
    let reason = outcome.reason.expect("a reason");
    assert!(reason.contains("unknown directive \"no_such_directive\""), "{reason}");
    assert_eq!(fs::read_to_string(rig.key_file(&old.cert)).ok().as_deref(), old.key_pem.expose_text());
    assert_eq!(served(rig.address, &name(0), ca.roots()).await, Ok(old.leaf.fingerprint));
    fs::remove_file(rig.nginx.include_dir().join("broken.conf")).expect("removed");
    assert_eq!(target.converge(&[new]).await[0].state, State::Verified);
}

#[tokio::test]
async fn the_grace_period_makes_an_old_certificate_no_failure_yet() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let Some(mut rig) = NginxRig::new(home.path()) else { return };
    let ca = Ca::new();
    stand_ins(&rig).await;
    rig.start().await;
    let lines = format!("verify = \"{}\"\nreload = \"none\"\ngrace = \"1h\"\n", rig.address);
    let outcome = rig.target_with(&lines).converge(&[ca.issue(&name(0), 1)]).await.remove(0);
    assert_eq!(outcome.state, State::Installed, "{outcome:?}");
    assert!(outcome.reason.expect("a reason").contains("self-signed certificate"));
}

#[tokio::test]
async fn a_failing_reload_puts_the_old_files_back() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let Some(mut rig) = NginxRig::new(home.path()) else { return };
    let ca = Ca::new();
    stand_ins(&rig).await;
    rig.start().await;
    let before = fs::read(rig.key_file(&ca.issue(&name(0), 1).cert)).expect("a stand-in");
    let runs = home.path().join("runs");
    let reload = format!("reload = [\"sh\", \"-c\", \"echo $CERTFLEET_CERT >> {}; echo no luck >&2; exit 3\"]\n", runs.display());
    let target = rig.target_with(&format!("verify = \"{}\"\n{reload}", rig.address));
    let batch = [ca.issue(&name(0), 1), ca.issue(&name(1), 1)];
    let outcomes = target.converge(&batch).await;
    for outcome in &outcomes {
        assert_eq!((outcome.state, outcome.changed), (State::Failed, false));
        assert!(outcome.reason.as_deref().is_some_and(|reason| reason.contains("no luck")), "{outcome:?}");
    }
    assert_eq!(fs::read(rig.key_file(&batch[0].cert)).expect("the file"), before);
    // Once with the new files, once with the old ones; those failed alike, so the certificates are not to blame and nothing is tried apart.
    assert_eq!(fs::read_to_string(runs).expect("it ran").lines().count(), 2);
}

#[tokio::test]
async fn a_server_that_a_reload_brings_down_was_not_just_not_running() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let Some(mut rig) = NginxRig::new(home.path()) else { return };
    stand_ins(&rig).await;
    rig.start().await;
    let material = Ca::new().issue(&name(0), 1);
    let before = fs::read(rig.key_file(&material.cert)).expect("a stand-in");
    let pid_file = rig.nginx.pid_file();
    let down = format!("kill $(cat {0}); while [ -e {0} ]; do sleep 0.05; done; exit 1", pid_file.display());
    let target = rig.target_with(&format!("verify = \"{}\"\nreload = [\"sh\", \"-c\", \"{down}\"]\n", rig.address));
    let outcome = target.converge(std::slice::from_ref(&material)).await.remove(0);
    assert_eq!((outcome.state, outcome.changed), (State::Failed, false), "{outcome:?}");
    assert_eq!(fs::read(rig.key_file(&material.cert)).expect("the file"), before);
}

#[tokio::test]
async fn two_targets_work_at_the_same_time() {
    let homes = [tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory")];
    let (Some(mut one), Some(mut two)) = (NginxRig::new(homes[0].path()), NginxRig::new(homes[1].path())) else { return };
    let (ca, targets) = (Ca::new(), [one.target(), two.target()]);
    for rig in [&mut one, &mut two] {
        stand_ins(rig).await;
        rig.start().await;
    }
    let batch = [ca.issue(&name(0), 1)];
    let (first, second) = tokio::join!(targets[0].converge(&batch), targets[1].converge(&batch));
    assert_eq!((first[0].state, second[0].state), (State::Verified, State::Verified));
    eventually("both servers serve it", LIMIT, || async {
        let both = (served(one.address, &name(0), ca.roots()).await, served(two.address, &name(0), ca.roots()).await);
        (both.0.is_ok() && both.0 == both.1).then_some(())
    })
    .await;
}
