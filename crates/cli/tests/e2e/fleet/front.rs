//! nginx before the CA, to refuse some of its endpoints for a while.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use certfleet_testkit::nginx::{Nginx, Setup};
use certfleet_testkit::{eventually, free_port};

use super::Lab;
use crate::LIMIT;

/// A CA that can be busy.
pub struct Front {
    nginx: Nginx,
    address: SocketAddr,
    behind: String,
    pem: PathBuf,
}

impl Front {
    /// Passes everything on; `None`, loudly, where nginx is not installed.
    pub async fn start(lab: &Lab) -> Option<Self> {
        let url = lab.pebble.directory_url();
        let authority = url.strip_prefix("https://").and_then(|rest| rest.strip_suffix("/dir")).expect("pebble's directory");
        let ip: IpAddr = authority.parse::<SocketAddr>().expect("an address").ip();
        let address = SocketAddr::new(ip, free_port(ip));
        let pem = lab.pebble.root_pem_path().with_file_name("https.pem");
        let setup = Setup { http_lines: lines(address, &format!("https://{authority}"), &pem, None), ..Setup::default() };
        let nginx = Nginx::start(&lab.dir.path().join("front"), &setup).await.expect("nginx starts")?;
        Some(Self { nginx, address, behind: format!("https://{authority}"), pem })
    }

    /// The directory, and the root to trust.
    pub fn issuer(&self, lab: &Lab) -> (String, String) {
        (format!("https://{}/dir", self.address), lab.pebble.root_pem_path().display().to_string())
    }

    /// From now on what begins with `path` gets 503 and `Retry-After: 1`.
    pub async fn refuse(&mut self, path: &str) {
        self.obey(Some(path)).await;
    }

    /// From now on everything is passed on.
    pub async fn pass(&mut self) {
        self.obey(None).await;
    }

    async fn obey(&mut self, refused: Option<&str>) {
        let before = self.nginx.reloads();
        let http_lines = lines(self.address, &self.behind, &self.pem, refused);
        self.nginx.write(&Setup { http_lines, ..Setup::default() }).expect("nginx's configuration can be written");
        self.nginx.reload();
        eventually("nginx has reloaded", LIMIT, || async { (self.nginx.reloads() > before).then_some(()) }).await;
    }
}

fn lines(address: SocketAddr, behind: &str, pem: &std::path::Path, refused: Option<&str>) -> String {
    let key = pem.with_extension("key");
    let refused = refused.map(|path| format!("location {path} {{ add_header Retry-After 1 always; return 503; }}")).unwrap_or_default();
    format!(
        "server {{ listen {address} ssl; ssl_certificate {}; ssl_certificate_key {}; proxy_set_header Host $http_host; {refused} \
         location / {{ proxy_pass {behind}; }} }}",
        pem.display(),
        key.display()
    )
}
