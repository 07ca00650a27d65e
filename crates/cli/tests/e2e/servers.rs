//! Real nginx on two nodes and HAProxy on the third.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use certfleet_core::records::TargetState;
use certfleet_core::x509::Leaf;
use certfleet_node::status::{CertificateState, CertificateStatus, TargetStatus};
use certfleet_testkit::haproxy::{self, HaProxy};
use certfleet_testkit::nginx::{self, Nginx};

use crate::client::{Traffic, served, trusting};
use crate::fleet::{Config, Fleet, Lab};

const NAME: &str = "server.example.com";
const TABLES: &str = "[deploy.web]\nkind = \"nginx\"\nnodes = [\"n1\", \"n2\"]\ndir = \"{lab}/{node}/web\"\n\
                      [deploy.lb]\nkind = \"haproxy\"\nnodes = [\"n3\"]\nbundle = \"{lab}/{node}/certs/{name}.pem\"\nsocket = \"{lab}/n3/haproxy/admin.sock\"\n";

/// Three nodes with a server each; the servers do not run yet.
struct Rig {
    fleet: Fleet,
    tls: Vec<SocketAddr>,
    nginx: Vec<Nginx>,
    haproxy: HaProxy,
}

impl Rig {
    async fn new() -> Option<Self> {
        let lab = Lab::new(3, |_| {}).await?;
        let port = lab.site.port_on_all(3);
        let tls: Vec<SocketAddr> = (1..=3).map(|n| SocketAddr::new(IpAddr::V4(lab.site.host(n)), port)).collect();
        let mut config = Config::plain(NAME);
        config.certificates[0].deploy = vec!["web", "lb"];
        config.deploy = TABLES.into();
        for n in [1, 2] {
            let address = tls[usize::from(n) - 1];
            config
                .overlays
                .insert(n, format!("deploy.web.config = \"{{lab}}/n{n}/nginx/nginx.conf\"\ndeploy.web.verify = \"{address}\"\n"));
        }
        config.overlays.insert(3, format!("deploy.lb.verify = \"{}\"\n", tls[2]));
        let fleet = Fleet::with(lab, config, 3).await;
        let mut nginx = Vec::new();
        for n in [1, 2] {
            std::fs::create_dir(fleet.dir(n).join("web")).expect("directory");
            nginx.push(prepare_nginx(&fleet.dir(n), tls[usize::from(n) - 1])?);
        }
        std::fs::create_dir(fleet.dir(3).join("certs")).expect("directory");
        let haproxy = prepare_haproxy(&fleet.dir(3), tls[2])?;
        Some(Self { fleet, tls, nginx, haproxy })
    }

    /// Starts the nodes, then the servers as soon as they can: with what the nodes left for them.
    async fn start(&mut self) {
        self.fleet.start_all();
        let files = [(1, "web/fullchain.pem".to_owned()), (2, "web/fullchain.pem".to_owned()), (3, format!("certs/{NAME}.pem"))];
        for (n, file) in files {
            self.fleet.until("a file to start with", || async { self.fleet.dir(n).join(&file).exists().then_some(()) }).await;
        }
        for nginx in &mut self.nginx {
            nginx.run().await.expect("nginx starts");
        }
        self.haproxy.run().await.expect("HAProxy starts");
    }

    /// Waits until all are seen serving this generation; checks it from outside.
    async fn serve(&self, generation: u64) -> Leaf {
        let all = |status: &CertificateStatus| status.generation.is_some_and(|g| g.0 == generation) && status.is_verified();
        let status = self.fleet.sees(1, NAME, &format!("generation {generation} served by all"), all).await;
        assert_eq!(status.nodes.len(), 3);
        let connector = trusting(&self.fleet.lab.pebble.issuing_root().await);
        let mut leaves = Vec::new();
        for address in &self.tls {
            leaves.push(served(&connector, *address, NAME).await.expect("it serves what the CA issued"));
        }
        assert!(leaves.iter().all(|leaf| *leaf == leaves[0]));
        leaves.remove(0)
    }
}

fn prepare_nginx(dir: &Path, tls: SocketAddr) -> Option<Nginx> {
    let (certificate, key) = (dir.join("web/fullchain.pem"), dir.join("web/privkey.pem"));
    let server = nginx::Server { names: vec![NAME.into()], certificate, key, body: "here".into() };
    let setup = nginx::Setup { tls: vec![tls], servers: vec![server], http_lines: String::new() };
    Nginx::prepare(&dir.join("nginx"), &setup).expect("nginx's directory")
}

fn prepare_haproxy(dir: &Path, tls: SocketAddr) -> Option<HaProxy> {
    let certificates = format!("crt {}", dir.join("certs").join(format!("{NAME}.pem")).display());
    let setup = haproxy::Setup { tls: vec![tls], certificates, body: "here".into(), lines: String::new() };
    HaProxy::prepare(&dir.join("haproxy"), &setup).expect("HAProxy's directory")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_loses_no_connection() {
    let Some(mut rig) = Rig::new().await else { return };
    rig.start().await;
    let first = rig.serve(1).await;
    let connector = trusting(&rig.fleet.lab.pebble.issuing_root().await);
    let traffic = Traffic::start(connector, rig.tls.clone(), NAME);
    traffic.more(9).await;
    rig.fleet.certfleet(3, &["renew", NAME, "--wait"]).await.worked();
    let second = rig.serve(2).await;
    traffic.more(9).await;
    let seen = traffic.end().await.expect("no request failed");
    assert_eq!(seen, [first.serial, second.serial]);
    assert_eq!(rig.fleet.lab.pebble.issued().len(), 2);
    assert_eq!(rig.haproxy.output().matches("Reloading").count(), 0, "HAProxy was not reloaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_configuration_is_reported_and_heals() {
    let Some(mut rig) = Rig::new().await else { return };
    rig.start().await;
    let first = rig.serve(1).await;
    let broken = rig.nginx[0].include_dir().join("broken.conf");
    std::fs::write(&broken, "no_such_directive on;\n").expect("writes");
    rig.fleet.certfleet(2, &["renew", NAME]).await.worked();
    let n1 = rig.fleet.name(1);
    let target = |status: &CertificateStatus| status.nodes.iter().find(|node| node.node == n1).map(|node| node.targets[0].clone());
    let failed =
        |target: TargetStatus| target.state == TargetState::Failed && target.reason.is_some_and(|r| r.contains("no_such_directive"));
    let others = |status: &CertificateStatus| {
        let mut nodes = status.nodes.iter().filter(|node| node.node != n1);
        nodes.all(|node| node.generation.is_some_and(|g| g.0 == 2) && node.targets.iter().all(|t| t.state == TargetState::Verified))
    };
    let stuck = |status: &CertificateStatus| target(status).is_some_and(failed) && others(status);
    let status = rig.fleet.sees(2, NAME, "node 1 failed with nginx's words, the others have it", stuck).await;
    assert_eq!(status.state, CertificateState::Valid);
    let connector = trusting(&rig.fleet.lab.pebble.issuing_root().await);
    let leaf = served(&connector, rig.tls[0], NAME).await.expect("the old one is served");
    assert_eq!(leaf.serial, first.serial);
    let on_disk = std::fs::read_to_string(rig.fleet.dir(1).join("web/fullchain.pem")).expect("a chain");
    assert_eq!(Leaf::from_pem(&on_disk).expect("a chain").serial, first.serial, "the old files were put back");

    std::fs::remove_file(&broken).expect("it is there");
    rig.serve(2).await;
    assert_eq!(rig.fleet.lab.pebble.issued().len(), 2);
}

/// The servers can start although nothing can be issued yet; nobody takes the stand-ins for certificates.
#[tokio::test(flavor = "multi_thread")]
async fn stand_ins_let_servers_start_and_are_never_called_valid() {
    let Some(mut rig) = Rig::new().await else { return };
    let nobody = rig.fleet.lab.site.host(200);
    rig.fleet.lab.pebble.set_a(NAME, &[nobody]).await;
    rig.start().await;
    let connector = trusting(&rig.fleet.lab.pebble.issuing_root().await);
    for address in &rig.tls {
        let refused = served(&connector, *address, NAME).await.expect_err("nobody vouches for it").to_string();
        assert!(refused.contains("certificate"), "{refused}");
    }
    let failed = |status: &CertificateStatus| status.last_error.is_some();
    let status = rig.fleet.sees(3, NAME, "it cannot be issued", failed).await;
    assert_eq!((status.state, status.generation), (CertificateState::Pending, None));
    for node in &status.nodes {
        assert!(node.generation.is_none() && node.targets.iter().all(|target| target.state == TargetState::Pending), "{node:?}");
    }
    let metrics = rig.fleet.admin(1, "/metrics").await.expect("metrics").body;
    assert!(!metrics.contains("certfleet_certificate_expiry_timestamp_seconds{"), "{metrics}");
    assert_eq!(rig.fleet.certfleet(1, &["status", "--exit-code"]).await.code, Some(1), "it is not well");

    rig.fleet.lab.resolve(NAME, 3).await;
    rig.fleet.certfleet(1, &["renew", NAME]).await.worked();
    let placed = rig.fleet.sees(1, NAME, "it is issued", |status| status.generation.is_some()).await;
    rig.serve(placed.generation.expect("just seen").0).await;
}
