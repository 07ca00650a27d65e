//! Lines for the web server's configuration: challenges forwarded to certfleet's listener, and a server that uses an installed certificate.
//!
//! Always holds: what is printed is accepted by the server as it stands, in the place that its first comment names (once the certificate's
//! files are there); everything that is a guess is said in a comment.
//!
//! Deliberately not here: changing the web server's files.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use certfleet_core::names::{CertName, Identifier};
use certfleet_deploy::TargetConfig;
use certfleet_edge::ListenAddress;

use crate::config::Settings;

/// Where challenges are forwarded to if the configuration does not say.
const PLACEHOLDER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8402);
/// The port that the CA asks on, and that the web server wants.
const HTTP_PORT: u16 = 80;
/// How many names of a certificate are written out.
const NAMES_MAX: usize = 20;
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// Which web server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// nginx.
    Nginx,
    /// HAProxy.
    Haproxy,
    /// Apache httpd.
    Apache,
}

/// The lines for `server`, as this node would need them.
pub fn snippet(server: Server, settings: &Settings) -> String {
    let example = Example::find(server, settings);
    let upstream = Upstream::of(settings);
    let mut text = upstream.remarks(settings);
    match server {
        Server::Nginx => nginx(&mut text, &upstream, &example),
        Server::Haproxy => haproxy(&mut text, &upstream, &example),
        Server::Apache => apache(&mut text, &upstream, &example),
    }
    text
}

/// Where certfleet answers challenges.
struct Upstream(Option<ListenAddress>);

impl Upstream {
    fn of(settings: &Settings) -> Self {
        let mut addresses: Vec<ListenAddress> = settings.answer.http.iter().filter_map(|address| address.parse().ok()).collect();
        // An address that leaves port 80 to the web server is the one that is meant.
        addresses.sort_by_key(is_port_80);
        Self(addresses.into_iter().next())
    }

    fn remarks(&self, settings: &Settings) -> String {
        match &self.0 {
            None => format!(
                "# `answer.http` is \"off\" on node {}: replace {PLACEHOLDER} by the address of a node that answers challenges.\n",
                settings.node
            ),
            Some(address) if is_port_80(address) => format!(
                "# certfleet listens on {address} itself. If this server is to have port 80, set `answer.http = \"127.0.0.1:8402\"` (or\n\
                 # another free address) and print this again.\n"
            ),
            Some(_) => String::new(),
        }
    }

    /// What a client connects to: a wildcard address is every address of this machine.
    fn tcp(&self) -> Option<SocketAddr> {
        match &self.0 {
            None => Some(PLACEHOLDER),
            Some(ListenAddress::Tcp(address)) if address.ip().is_unspecified() => Some((Ipv4Addr::LOCALHOST, address.port()).into()),
            Some(ListenAddress::Tcp(address)) => Some(*address),
            Some(ListenAddress::Unix(_)) => None,
        }
    }

    /// As `tcp` or `unix` writes it.
    fn spelled(&self, unix: impl Fn(&Path) -> String, tcp: impl Fn(SocketAddr) -> String) -> String {
        match &self.0 {
            Some(ListenAddress::Unix(path)) => unix(path),
            _ => tcp(self.tcp().unwrap_or(PLACEHOLDER)),
        }
    }
}

fn is_port_80(address: &ListenAddress) -> bool {
    matches!(address, ListenAddress::Tcp(address) if address.port() == HTTP_PORT)
}

/// A certificate that this node installs for the server.
struct Example {
    names: Vec<String>,
    /// Chain and key; none if no target of this node writes files for such a server.
    files: Option<(PathBuf, PathBuf)>,
    sockets: Vec<String>,
}

impl Example {
    fn find(server: Server, settings: &Settings) -> Self {
        let here = settings.spec.certificates.iter().filter(|(_, spec)| spec.is_placed_on(&settings.node));
        let mut installed = here.clone().flat_map(|(cert, spec)| spec.deploy.iter().map(move |target| (cert, spec, target)));
        let found = installed.find_map(|(cert, spec, target)| {
            let config = settings.targets.get(target)?;
            Some((spec, files(server, config, cert, settings)?, sockets(config)))
        });
        match found {
            Some((spec, files, sockets)) => Self { names: names(&spec.names), files: Some(files), sockets },
            None => {
                let first = here.map(|(_, spec)| names(&spec.names)).next();
                Self { names: first.unwrap_or_else(|| vec!["example.com".into()]), files: None, sockets: Vec::new() }
            }
        }
    }

    /// The part about the certificate, commented out if there is none.
    fn about(&self, kind: &str, block: impl Fn(&str, &str) -> String) -> String {
        if let Some((chain, key)) = &self.files {
            return block(&quoted(chain), &quoted(key));
        }
        let block = block("/etc/ssl/example/fullchain.pem", "/etc/ssl/example/privkey.pem");
        let lines = block.lines().fold(String::new(), |text, line| text + "# " + line + "\n");
        format!("# No certificate of this node is installed by a target of kind {kind}; with one, this would be:\n{lines}")
    }
}

fn names(identifiers: &[Identifier]) -> Vec<String> {
    identifiers.iter().take(NAMES_MAX).map(ToString::to_string).collect()
}

/// Chain and key as the target writes them, if `server` can read them.
fn files(server: Server, config: &TargetConfig, cert: &CertName, settings: &Settings) -> Option<(PathBuf, PathBuf)> {
    let (dir, combined) = match (server, config) {
        (Server::Haproxy, TargetConfig::Haproxy(config)) => (None, Some(&config.bundle)),
        (Server::Haproxy, TargetConfig::Files(config)) => (None, config.combined.as_ref()),
        (Server::Nginx, TargetConfig::Nginx(config)) => (config.dir.as_ref(), config.combined.as_ref()),
        (Server::Nginx | Server::Apache, TargetConfig::Files(config)) => (config.dir.as_ref(), config.combined.as_ref()),
        _ => return None,
    };
    let dir = dir.map(|dir| dir.path(cert, &settings.node)).map(|dir| (dir.join("fullchain.pem"), dir.join("privkey.pem")));
    dir.or_else(|| combined.map(|path| path.path(cert, &settings.node)).map(|path| (path.clone(), path)))
}

fn sockets(config: &TargetConfig) -> Vec<String> {
    match config {
        TargetConfig::Haproxy(config) => config.socket.clone(),
        _ => Vec::new(),
    }
}

/// A path as all three servers read it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+@:,".contains(&b)) {
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn nginx(text: &mut String, upstream: &Upstream, example: &Example) {
    let to = upstream.spelled(|path| format!("unix:{}", path.display()), |address| address.to_string());
    let names = example.names.join(" ");
    let _ = write!(
        text,
        "# nginx, in the `http` block. The first `location` belongs into every server on port 80 that has managed names.
server {{
    listen 80;
    listen [::]:80;
    server_name {names};
    location ^~ {CHALLENGES} {{
        proxy_pass http://{to};
        proxy_set_header Host $host;
    }}
    location / {{
        return 308 https://$host$request_uri;
    }}
}}
"
    );
    text.push_str(&example.about("`nginx` or `files`", |chain, key| {
        format!(
            "server {{
    listen 443 ssl;
    listen [::]:443 ssl;
    server_name {names};
    ssl_certificate {chain};
    ssl_certificate_key {key};
}}
"
        )
    }));
}

fn haproxy(text: &mut String, upstream: &Upstream, example: &Example) {
    let to = upstream.spelled(|path| format!("unix@{}", path.display()), |address| address.to_string());
    for socket in &example.sockets {
        let _ = writeln!(text, "# In `global`, for certificates without a reload: stats socket {socket} level admin mode 660");
    }
    let _ = write!(
        text,
        "# HAProxy, after `defaults`. If you have a front end on port 80 already, give it the lines below `mode`.
frontend certfleet_http
    bind :::80 v4v6
    mode http
    timeout client 10s
    acl acme_challenge path_beg {CHALLENGES}
    http-request redirect scheme https code 308 unless acme_challenge
    use_backend certfleet_challenges if acme_challenge

backend certfleet_challenges
    mode http
    timeout connect 5s
    timeout server 10s
    server certfleet {to}

"
    );
    text.push_str(&example.about("`haproxy`", |chain, _| {
        format!(
            "frontend certfleet_https
    bind :::443 v4v6 ssl crt {chain}
    mode http
    timeout client 30s
    # default_backend …
"
        )
    }));
}

fn apache(text: &mut String, upstream: &Upstream, example: &Example) {
    let to = upstream
        .spelled(|path| format!("unix:{}|http://localhost{CHALLENGES}", path.display()), |address| format!("http://{address}{CHALLENGES}"));
    let first = example.names.first().map(|name| name.trim_start_matches("*.")).unwrap_or("example.com");
    let mut names = format!("    ServerName {first}\n");
    if example.names.len() > 1 || example.names.first().is_some_and(|name| name != first) {
        let aliases = example.names.iter().filter(|name| *name != first).cloned().collect::<Vec<_>>().join(" ");
        let _ = writeln!(names, "    ServerAlias {aliases}");
    }
    let _ = write!(
        text,
        "# Apache httpd, with the modules proxy, proxy_http, rewrite and ssl (a2enmod proxy proxy_http rewrite ssl). The Proxy lines belong into
# every virtual host on port 80 that has managed names.
<VirtualHost *:80>
{names}    ProxyPreserveHost On
    ProxyPass \"{CHALLENGES}\" \"{to}\"
    RewriteEngine On
    RewriteCond %{{REQUEST_URI}} !^/\\.well-known/acme-challenge/
    RewriteRule ^ https://%{{HTTP_HOST}}%{{REQUEST_URI}} [R=308,L,NE]
</VirtualHost>
"
    );
    text.push_str(&example.about("`files`", |chain, key| {
        format!(
            "<VirtualHost *:443>
{names}    SSLEngine on
    SSLCertificateFile {chain}
    SSLCertificateKeyFile {key}
</VirtualHost>
"
        )
    }));
}
