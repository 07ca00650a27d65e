//! Scenes in which node 1 dies installing into a real server.

use std::net::{IpAddr, SocketAddr};

use certfleet_core::records::TargetState;
use certfleet_testkit::{haproxy, nginx};

use super::finished;
use super::scenes::{NAME, fleet_in, lab};
use crate::client::{served, trusting};
use crate::fleet::{Config, Fleet, Lab};

/// What node 1 has beside plain files, and where it serves.
struct Scene {
    fleet: Fleet,
    tls: SocketAddr,
}

async fn scene(point: &str, target: &str, table: impl FnOnce(&Lab, SocketAddr) -> String) -> Scene {
    let lab = lab(|_| {}).await;
    let tls = SocketAddr::new(IpAddr::V4(lab.site.host(1)), lab.site.port_on_all(1));
    let mut config = Config::plain(NAME);
    config.certificates[0].deploy = vec!["plain", "web"];
    let own = table(&lab, tls);
    config.tables = format!("[deploy.web]\nkind = \"{target}\"\nnodes = [\"n1\"]\nverify = \"{tls}\"\n{own}");
    Scene { fleet: fleet_in(lab, config, point).await, tls }
}

impl Scene {
    /// Node 1 dies there; the others finish; `server` is started when node 1 is dead; then node 1 brings the certificate to it.
    async fn play<S>(mut self, point: &str, server: impl AsyncFnOnce(&Fleet) -> S) {
        self.fleet.start_with(1, Some(point));
        self.fleet.died_at(1, point).await;
        self.fleet.start(2);
        self.fleet.start(3);
        self.fleet.have([2, 3], NAME, 1).await;
        let _server = server(&self.fleet).await;
        self.fleet.start(1);
        finished(&self.fleet, NAME, 1).await;
        let verified =
            |target: &certfleet_node::status::TargetStatus| target.target.as_str() != "web" || target.state == TargetState::Verified;
        let n1 = self.fleet.name(1);
        let status = self.fleet.sees(2, NAME, "node 1 serves it", |status| {
            status.nodes.iter().filter(|node| node.node == n1).all(|node| node.targets.iter().all(verified))
        });
        let serial = status.await.nodes.iter().find(|node| node.node == n1).and_then(|node| node.serial.clone());
        let root = self.fleet.lab.pebble.issuing_root().await;
        let leaf = served(&trusting(&root), self.tls, NAME).await.expect("the server answers");
        assert_eq!(Some(leaf.serial), serial);
    }
}

/// Node 1 has nginx.
pub async fn nginx(point: &str) {
    let table = |lab: &Lab, _: SocketAddr| {
        let dir = lab.dir.path().display().to_string();
        std::fs::create_dir_all(lab.dir.path().join("n1/web")).expect("directory");
        format!("dir = \"{dir}/n1/web\"\nconfig = \"{dir}/n1/nginx/nginx.conf\"\n")
    };
    let scene = scene(point, "nginx", table).await;
    let (tls, dir) = (scene.tls, scene.fleet.dir(1));
    let server = nginx::Server {
        names: vec![NAME.into()],
        certificate: dir.join("web/fullchain.pem"),
        key: dir.join("web/privkey.pem"),
        body: "here".into(),
    };
    let setup = nginx::Setup { tls: vec![tls], servers: vec![server], http_lines: String::new() };
    let Some(mut nginx) = nginx::Nginx::prepare(&dir.join("nginx"), &setup).expect("nginx's directory") else { return };
    scene
        .play(point, async move |_| {
            nginx.run().await.expect("nginx starts with what node 1 left");
            nginx
        })
        .await;
}

/// Node 1 has HAProxy.
pub async fn haproxy(point: &str) {
    let table = |lab: &Lab, _: SocketAddr| {
        let dir = lab.dir.path().display().to_string();
        std::fs::create_dir_all(lab.dir.path().join("n1/certs")).expect("directory");
        format!("bundle = \"{dir}/n1/certs/{{name}}.pem\"\nsocket = \"{dir}/n1/haproxy/admin.sock\"\n")
    };
    let scene = scene(point, "haproxy", table).await;
    let (tls, dir) = (scene.tls, scene.fleet.dir(1));
    let certificates = format!("crt {}", dir.join("certs").join(format!("{NAME}.pem")).display());
    let setup = haproxy::Setup { tls: vec![tls], certificates, body: "here".into(), lines: String::new() };
    let Some(mut haproxy) = haproxy::HaProxy::prepare(&dir.join("haproxy"), &setup).expect("HAProxy's directory") else { return };
    scene
        .play(point, async move |_| {
            haproxy.run().await.expect("HAProxy starts with what node 1 left");
            haproxy
        })
        .await;
}
