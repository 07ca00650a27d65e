//! The configuration file of a test's fleet: one for all nodes, what differs in `[node.*]`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

/// The usual target: files, and nobody to serve them.
pub const PLAIN: &str = "[deploy.plain]\nkind = \"files\"\ndir = \"{lab}/{node}/live/{name}\"\n";

/// A certificate in the configuration.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// DNS names; the first is its name.
    pub names: Vec<String>,
    /// Its targets.
    pub deploy: Vec<&'static str>,
    /// Further lines of its table.
    pub lines: String,
}

impl Certificate {
    /// One name, at the target `plain`.
    pub fn plain(name: &str) -> Self {
        Self { names: vec![name.to_owned()], deploy: vec!["plain"], lines: String::new() }
    }
}

/// What stands in the file. `{lab}` is replaced by the laboratory's directory everywhere.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the store is.
    pub store: String,
    /// The certificates.
    pub certificates: Vec<Certificate>,
    /// The `[deploy.*]` tables.
    pub deploy: String,
    /// Further lines for `[node.nX]`, by number.
    pub overlays: BTreeMap<u8, String>,
    /// What nodes are granted, where that is not everything.
    pub granted: BTreeMap<u8, &'static str>,
    /// Further tables.
    pub tables: String,
    /// The CA's directory, by issuer, and the root to trust there.
    pub issuers: BTreeMap<String, (String, String)>,
    /// Further lines of each issuer's table.
    pub issuer_lines: String,
    /// `[log]`.
    pub log: &'static str,
}

impl Config {
    /// One certificate with one name, at the target `plain`.
    pub fn plain(name: &str) -> Self {
        Self {
            store: "file://{lab}/store".into(),
            certificates: vec![Certificate::plain(name)],
            deploy: PLAIN.into(),
            overlays: BTreeMap::new(),
            granted: BTreeMap::new(),
            tables: String::new(),
            issuers: BTreeMap::new(),
            issuer_lines: String::new(),
            log: "format = \"json\"\nlevel = \"debug\"\n",
        }
    }

    /// Node `n` serves its store there.
    pub fn served(mut self, n: u8, at: SocketAddr) -> Self {
        self.store = format!("https://{at}");
        self.overlays.entry(n).or_default().push_str(&format!("store = \"file://{{lab}}/store\"\nserve = \"{at}\"\n"));
        self
    }

    /// Whether a node serves its store.
    pub fn is_served(&self) -> bool {
        self.store.starts_with("https:")
    }

    /// The file.
    pub fn text(&self, lab: &Path, nodes: &[(String, String)]) -> String {
        let mut text = format!("[fleet]\nname = \"lab\"\nstore = \"{}\"\n[log]\n{}{}{}", self.store, self.log, self.deploy, self.tables);
        for (name, (directory, root)) in &self.issuers {
            let _ =
                write!(text, "[issuer.{name}]\ndirectory = \"{directory}\"\nroot = \"{root}\"\nagree_tos = true\n{}", self.issuer_lines);
        }
        for (number, (name, http)) in (1..).zip(nodes) {
            let own = self.overlays.get(&number).map_or("", String::as_str);
            let _ = write!(
                text,
                "[node.{name}]\nstate = \"{{lab}}/{name}/state\"\nanswer = {{ http = \"{http}\" }}\nadmin = {{ listen = \"{{lab}}/{name}/admin.sock\" }}\n{own}\n"
            );
        }
        for Certificate { names, deploy, lines } in &self.certificates {
            let _ = write!(text, "[[certificate]]\nnames = {names:?}\ndeploy = {deploy:?}\n{lines}\n");
        }
        text.replace("{lab}", &lab.display().to_string())
    }
}
