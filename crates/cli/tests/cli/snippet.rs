//! `snippet`: real servers accept it as it is printed.

use std::fs;
use std::path::Path;
use std::process::Command;

use certfleet_testkit::{installed, nginx};

use crate::site::{Machine, Site};

fn targets(site: &Site) -> String {
    let dir = site.path("");
    let dir = dir.display();
    format!(
        "[defaults]\ndeploy = [\"web\", \"lb\"]\n[deploy.web]\nkind = \"files\"\ndir = \"{dir}web of {{node}}/{{name}}\"\nverify = \"off\"\n\
         [deploy.lb]\nkind = \"haproxy\"\nbundle = \"{dir}lb/{{name}}.pem\"\nsocket = \"{dir}ha.sock\"\nverify = \"off\"\n"
    )
}

/// A machine with targets and their files in place, and an address to forward to.
fn machine(site: &Site, http: &str) -> Option<Machine> {
    let lb0 = site.machine_with("lb0", &site.path("store"), &targets(site));
    let text = fs::read_to_string(&lb0.config).expect("reads").replace("http = \"off\"", &format!("http = \"{http}\""));
    fs::write(&lb0.config, text).expect("writes");
    let (web, lb) = (site.path("web of lb0/example.com"), site.path("lb"));
    fs::create_dir_all(&web).expect("makes");
    fs::create_dir_all(&lb).expect("makes");
    let (key, chain) = (web.join("privkey.pem"), web.join("fullchain.pem"));
    let mut openssl = Command::new(installed("openssl", "openssl")?);
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=example.com",
        "-days",
        "1",
    ]);
    let output = openssl.arg("-keyout").arg(&key).arg("-out").arg(&chain).output().expect("starts");
    assert!(output.status.success(), "{output:?}");
    let bundle = [fs::read(&chain).expect("reads"), fs::read(&key).expect("reads")].concat();
    fs::write(lb.join("example.com.pem"), bundle).expect("writes");
    Some(lb0)
}

const ADDRESSES: [(&str, &str); 4] = [
    ("off", "127.0.0.1:8402"),
    ("[::]:8403", "127.0.0.1:8403"),
    ("127.0.0.7:8404", "127.0.0.7:8404"),
    ("unix:/run/certfleet/http.sock", "/run/certfleet/http.sock"),
];

#[test]
fn nginx_accepts_it() {
    for (http, forwarded_to) in ADDRESSES {
        let site = Site::new();
        let Some(lb0) = machine(&site, http) else { return };
        let snippet = lb0.run(&["snippet", "nginx"]).ended(0).stdout;
        assert!(snippet.contains(forwarded_to) && snippet.contains("web of lb0/example.com/fullchain.pem"), "{snippet}");
        // `nginx -t` binds what it is told to; the ports are root's, and may be in use.
        let unix = |port: &str| format!("listen unix:{}", site.path(port).display());
        let lines = snippet
            .replace("listen [::]:80;", "")
            .replace("listen [::]:443 ssl;", "")
            .replace("listen 80", &unix("80"))
            .replace("listen 443", &unix("443"));
        assert_accepted_by_nginx(&site.path("nginx"), lines);
    }
}

fn assert_accepted_by_nginx(dir: &Path, http_lines: String) {
    let setup = nginx::Setup { http_lines: http_lines.clone(), ..nginx::Setup::default() };
    let Some(nginx) = nginx::Nginx::prepare(dir, &setup).expect("prepares") else { return };
    assert!(nginx.is_good(), "nginx -t refuses:\n{http_lines}");
    nginx.write(&nginx::Setup { http_lines: http_lines.replace("proxy_pass", "proxy_pess"), ..nginx::Setup::default() }).expect("writes");
    assert!(!nginx.is_good(), "nginx -t must be able to refuse");
}

#[test]
fn haproxy_accepts_it() {
    for (http, forwarded_to) in ADDRESSES {
        let site = Site::new();
        let Some(lb0) = machine(&site, http) else { return };
        let snippet = lb0.run(&["snippet", "haproxy"]).ended(0).stdout;
        assert!(snippet.contains(forwarded_to) && snippet.contains("lb/example.com.pem"), "{snippet}");
        let Some(haproxy) = installed("haproxy", "haproxy") else { return };
        let file = site.path("haproxy.cfg");
        let accepted = |text: &str| {
            fs::write(&file, format!("global\n    maxconn 100\n\ndefaults\n    mode http\n\n{text}")).expect("writes");
            Command::new(&haproxy).arg("-c").arg("-f").arg(&file).output().expect("starts")
        };
        let output = accepted(&snippet);
        assert!(output.status.success() && output.stderr.is_empty(), "{}\n{snippet}", String::from_utf8_lossy(&output.stderr));
        assert!(!accepted(&snippet.replace("server certfleet", "sorver certfleet")).status.success());
    }
}

#[test]
fn apache_gets_the_same_facts() {
    for (http, forwarded_to) in ADDRESSES {
        let site = Site::new();
        let Some(lb0) = machine(&site, http) else { return };
        let snippet = lb0.run(&["snippet", "apache"]).ended(0).stdout;
        for line in ["ServerName example.com", "ServerAlias www.example.com", "SSLCertificateFile ", "ProxyPreserveHost On", forwarded_to] {
            assert!(snippet.contains(line), "{line} is not in\n{snippet}");
        }
    }
}

#[test]
fn what_is_a_guess_is_said() {
    let site = Site::new();
    let lb0 = site.machine("lb0");
    for server in ["nginx", "haproxy", "apache"] {
        let snippet = lb0.run(&["snippet", server]).ended(0).stdout;
        assert!(
            snippet.contains("# `answer.http` is \"off\"") && snippet.contains("# No certificate of this node is installed"),
            "{snippet}"
        );
    }
    let text = fs::read_to_string(&lb0.config).expect("reads").replace("http = \"off\"", "");
    fs::write(&lb0.config, text).expect("writes");
    assert!(lb0.run(&["snippet", "nginx"]).ended(0).stdout.starts_with("# certfleet listens on [::]:80 itself"));
}
