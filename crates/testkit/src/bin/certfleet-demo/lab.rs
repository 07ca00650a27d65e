//! Where everything is: names, addresses, ports, files, and the one configuration file.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use certfleet_testkit::free_port;
use certfleet_testkit::pebble::Pebble;

use crate::failure::{During, Failure, unseen};

/// The name that the certificate is for.
pub const NAME: &str = "www.demo.example";
/// The nodes.
pub const NODES: [&str; 3] = ["n1", "n2", "n3"];
/// Their addresses.
pub const ADDRESSES: [Ipv4Addr; 3] = [Ipv4Addr::new(127, 0, 0, 11), Ipv4Addr::new(127, 0, 0, 12), Ipv4Addr::new(127, 0, 0, 13)];
/// The web server in front of each.
pub const SERVERS: [&str; 3] = ["nginx", "nginx", "HAProxy"];

/// Asked for first: where the CA's checks go (80 in real life), and where visitors go (443).
const HTTP_PORT: u16 = 8080;
const HTTPS_PORT: u16 = 8443;
/// How many ports are tried before the demo gives up.
const PORT_TRIES_MAX: usize = 100;
/// Demos that run at the same time see by this address which ports are taken.
const CLAIMS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 14);

/// Where everything is.
#[derive(Debug)]
pub struct Lab {
    dir: PathBuf,
    http: TcpListener,
    https: TcpListener,
}

impl Lab {
    /// Finds ports that are free on all three addresses, and makes the directories.
    pub fn prepare(dir: &Path) -> Result<Self, Failure> {
        let lab = Self { dir: dir.to_owned(), http: claim_port(HTTP_PORT)?, https: claim_port(HTTPS_PORT)? };
        for node in 0..NODES.len() {
            let certs = lab.certificates(node);
            fs::create_dir_all(&certs).during(format!("{} cannot be made", certs.display()))?;
        }
        Ok(lab)
    }

    /// Where the CA asks.
    pub fn http_port(&self) -> u16 {
        port_of(&self.http)
    }

    /// Where visitors go.
    pub fn https_port(&self) -> u16 {
        port_of(&self.https)
    }

    /// Where the web server of `node` listens.
    pub fn https(&self, node: usize) -> SocketAddr {
        (ADDRESSES[node], self.https_port()).into()
    }

    /// The directory of everything.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What belongs to one node alone.
    pub fn node_dir(&self, node: usize) -> PathBuf {
        self.dir.join(NODES[node])
    }

    /// Where the web server of `node` looks for certificates.
    pub fn certificates(&self, node: usize) -> PathBuf {
        self.node_dir(node).join("certs")
    }

    /// Where the daemon of `node` writes its log.
    pub fn log(&self, node: usize) -> PathBuf {
        self.node_dir(node).join("certfleet.log")
    }

    /// Where the daemon of `node` tells how it is.
    pub fn admin_socket(&self, node: usize) -> PathBuf {
        self.node_dir(node).join("admin.sock")
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir.join("certfleet.toml")
    }

    /// What the nodes share.
    pub fn store(&self) -> PathBuf {
        self.dir.join("shared-store")
    }

    /// What visitors trust.
    pub fn visitor_root(&self) -> PathBuf {
        self.dir.join("visitors-trust.pem")
    }

    /// Writes the configuration.
    pub fn configure(&self, ca: &Pebble) -> Result<(), Failure> {
        fs::write(self.config(), self.configuration(ca)).during(format!("{} cannot be written", self.config().display()))
    }

    fn configuration(&self, ca: &Pebble) -> String {
        let dir = self.dir.display();
        let mut text = format!(
            "# One file for all three nodes. What differs stands in the [node.…] tables.\n\n\
             [fleet]\nname  = \"demo\"\nstore = \"file://{}\"\n\n\
             [issuer.pebble]\ndirectory = \"{}\"\nroot      = \"{}\"\nagree_tos = true\n\n\
             [log]\nformat = \"json\"\n\n\
             [[certificate]]\nnames  = [\"{NAME}\"]\ndeploy = [\"nginx\", \"haproxy\"]\n\n\
             [deploy.nginx]\nkind  = \"nginx\"\nnodes = [\"n1\", \"n2\"]\ndir   = \"{dir}/{{node}}/certs/{{name}}\"\n\n\
             [deploy.haproxy]\nkind   = \"haproxy\"\nnodes  = [\"n3\"]\nbundle = \"{dir}/{{node}}/certs/{{name}}.pem\"\nsocket = \"{dir}/n3/haproxy/admin.sock\"\n",
            self.store().display(),
            ca.directory_url(),
            ca.root_pem_path().display(),
        );
        (0..NODES.len()).for_each(|node| text.push_str(&self.overlay(node)));
        text
    }

    fn overlay(&self, node: usize) -> String {
        let (name, dir, http) = (NODES[node], self.node_dir(node), SocketAddr::from((ADDRESSES[node], self.http_port())));
        let dir = dir.display();
        let target = SERVERS[node].to_lowercase();
        let mut text = format!(
            "\n[node.{name}]\nstate  = \"{dir}/state\"\nanswer = {{ http = \"{http}\" }}\nadmin  = {{ listen = \"{dir}/admin.sock\" }}\n\
             deploy.{target}.verify = \"{}\"\n",
            self.https(node)
        );
        if target == "nginx" {
            let _ = writeln!(text, "deploy.nginx.config = \"{dir}/nginx/nginx.conf\"");
        }
        text
    }
}

fn port_of(claim: &TcpListener) -> u16 {
    claim.local_addr().map_or(0, |address| address.port())
}

/// The preferred port, or another one, that is free on all three addresses.
fn claim_port(preferred: u16) -> Result<TcpListener, Failure> {
    for tried in 0..PORT_TRIES_MAX {
        let port = if tried == 0 { preferred } else { free_port(CLAIMS.into()) };
        let Ok(claim) = TcpListener::bind((CLAIMS, port)) else { continue };
        if ADDRESSES.iter().all(|address| TcpListener::bind((*address, port)).is_ok()) {
            return Ok(claim);
        }
    }
    let addresses = ADDRESSES.map(|address| address.to_string()).join(", ");
    unseen(format!(
        "no port is free on all of {addresses}; the demo needs these loopback addresses for itself (what holds them: `ss -tlnp`)"
    ))
}
