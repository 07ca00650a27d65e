//! Whole daemons in one process, against a real CA: the shortest way to see all parts work together.

#[path = "fleet/brought_back.rs"]
mod brought_back;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use certfleet_core::names::{CertName, NodeName};
use certfleet_core::time::Timestamp;
use certfleet_node::daemon::{Control, ThisMachine, run};
use certfleet_node::membership::{FleetKeyPlace, Invitation, Joiner, init, invite, join};
use certfleet_node::operator::{Machine, renew};
use certfleet_node::status::Status;
use certfleet_testkit::pebble::{Pebble, PebbleOptions};
use certfleet_testkit::{Site, eventually};
use tokio::sync::mpsc;

const LIMIT: Duration = Duration::from_secs(20);

struct Lab {
    dir: tempfile::TempDir,
    pebble: Pebble,
}

struct Node {
    machine: Machine,
    control: mpsc::Sender<Control>,
    task: tokio::task::JoinHandle<()>,
}

fn config(dir: &Path, pebble: &Pebble, site: &Site, http_port: u16, names: &[String]) -> PathBuf {
    let certificates: String = names.iter().map(|name| format!("[[certificate]]\nnames = [\"{name}\"]\ndeploy = [\"plain\"]\n")).collect();
    let nodes: String = (1..=3)
        .map(|n| {
            format!(
                "[node.n{n}]\nstate = \"{0}/n{n}/state\"\nanswer = {{ http = \"{1}:{http_port}\" }}\nadmin = {{ listen = \"{0}/n{n}.sock\" }}\ndeploy.plain.dir = \"{0}/n{n}/live/{{name}}\"\n",
                dir.display(),
                site.host(n)
            )
        })
        .collect();
    let text = format!(
        "[fleet]\nname = \"lab\"\nstore = \"file://{0}/store\"\n[issuer.pebble]\ndirectory = \"{1}\"\nroot = \"{2}\"\nagree_tos = true\n\
         [deploy.plain]\nkind = \"files\"\ndir = \"{0}/live/{{name}}\"\n{nodes}{certificates}",
        dir.display(),
        pebble.directory_url(),
        pebble.root_pem_path().display(),
    );
    let path = dir.join("certfleet.toml");
    std::fs::write(&path, text).expect("the configuration can be written");
    for n in 1..=3 {
        std::fs::create_dir_all(dir.join(format!("n{n}/live"))).expect("directory");
    }
    path
}

impl Lab {
    async fn start(names: &[String]) -> Option<(Self, Vec<Node>)> {
        let dir = tempfile::tempdir().expect("temporary directory");
        let site = Site::claim();
        let http_port = site.port_on_all(3);
        let pebble = Pebble::start(PebbleOptions::new(http_port)).await?;
        for name in names {
            pebble.set_a(name, &[site.host(1), site.host(2), site.host(3)].map(Ipv4Addr::from)).await;
        }
        let config = config(dir.path(), &pebble, &site, http_port, names);
        let mut nodes = Vec::new();
        for machine in members(&config).await {
            nodes.push(start(machine));
        }
        Some((Self { dir, pebble }, nodes))
    }

    fn live(&self, node: u8, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(format!("n{node}/live/{name}/fullchain.pem"))).unwrap_or_default()
    }
}

async fn members(config: &Path) -> Vec<Machine> {
    let name = |n: u8| -> NodeName { format!("n{n}").parse().expect("name") };
    let machine = |n: u8| Machine::load(config, Some(&name(n))).expect("the configuration is good");
    let store = certfleet_store::open_or_create(&machine(1).settings.store).await.expect("the store can be made");
    init(store.as_ref(), &machine(1).settings, Some(&name(1)), &FleetKeyPlace::State, Timestamp::now()).await.expect("init");
    let first = machine(1);
    let (_, _, view) = first.standing().await.expect("the store can be read");
    let fleet_key = first.fleet_key(None).expect("init made it");
    for n in 2..=3 {
        let invitation = Invitation {
            node: name(n).as_str().parse().expect("pattern"),
            roles: certfleet_core::spec::all_roles(),
            uses: 1,
            valid_for: Duration::from_secs(60),
            replace: false,
        };
        let token = invite(&view, (&first.settings.store, &[]), &invitation, &fleet_key, Timestamp::now()).expect("invite");
        join(
            store.as_ref(),
            &machine(n).settings,
            &token,
            Joiner::new(&machine(n).settings, &token, None).expect("may ask"),
            Timestamp::now(),
        )
        .await
        .expect("join");
    }
    (1..=3).map(machine).collect()
}

fn start(machine: Machine) -> Node {
    let (control, orders) = mpsc::channel(1);
    let (settings, identity) = (machine.settings.clone(), machine.member().expect("has joined").clone());
    let task = tokio::spawn(async move { run(settings, identity, orders, || {}, Arc::new(ThisMachine)).await.expect("the daemon runs") });
    Node { machine, control, task }
}

impl Node {
    async fn status(&self) -> Option<Status> {
        self.machine.status().await.ok().map(|(status, _)| status)
    }

    async fn stop(self) {
        self.control.send(Control::Stop).await.expect("the daemon listens");
        self.task.await.expect("the daemon ends in peace");
    }
}

async fn all_have(nodes: &[Node], lab: &Lab, name: &str, generation: u64) {
    let cert: CertName = name.parse().expect("name");
    for (index, node) in nodes.iter().enumerate() {
        eventually("every node reports what it installed", LIMIT, || async {
            let status = node.status().await?;
            let certificate = status.certificate(&cert)?;
            let has = certificate.nodes.len() == 3 && certificate.nodes.iter().all(|n| n.generation.is_some_and(|g| g.0 == generation));
            (has && !lab.live(index as u8 + 1, name).is_empty()).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_daemons_share_one_certificate_and_renew_it() {
    let name = "shared.example.com".to_owned();
    let Some((lab, nodes)) = Lab::start(std::slice::from_ref(&name)).await else { return };
    all_have(&nodes, &lab, &name, 1).await;
    assert_eq!(lab.pebble.issued().len(), 1, "{}", lab.pebble.log());
    assert_eq!(lab.pebble.accounts_seen(), 1);
    assert!(lab.live(1, &name) == lab.live(2, &name) && lab.live(2, &name) == lab.live(3, &name));

    renew(&nodes[1].machine, &name.parse().expect("name"), false).await.expect("a renewal can be asked for");
    all_have(&nodes, &lab, &name, 2).await;
    assert_eq!(lab.pebble.issued().len(), 2);
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_ready_once_its_targets_have_files() {
    let name = "ready.example.com".to_owned();
    let Some((lab, mut nodes)) = Lab::start(std::slice::from_ref(&name)).await else { return };
    // Else what it has begun to write may come after the directory was removed.
    all_have(&nodes, &lab, &name, 1).await;
    let stopped = nodes.remove(0);
    let machine = stopped.machine.clone();
    stopped.stop().await;
    let live = lab.dir.path().join("n1/live");
    std::fs::remove_dir_all(&live).expect("the directory was there");

    let again = start(machine);
    let readiness = || async { certfleet_edge::admin_get(&again.machine.admin_socket(), "/readyz").await.ok() };
    let unready = "a node that is not ready says which target has no file";
    eventually(unready, LIMIT, || async {
        readiness().await.filter(|(code, text)| *code == 503 && text.contains("deploy.plain has no file for ready.example.com yet"))
    })
    .await;
    std::fs::create_dir_all(&live).expect("directory");
    eventually("it is ready when the file is there", LIMIT, || async { readiness().await.filter(|(code, _)| *code == 200) }).await;
    again.stop().await;
}
