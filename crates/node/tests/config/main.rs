//! The configuration as an operator meets it: what parses, what is refused and how that looks, what one node makes of it.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside `#[test]`")]

mod mistakes;
mod nodes;
mod properties;
mod tables;

use std::path::PathBuf;

use certfleet_node::config::{ConfigError, Configuration, Settings, load};
use miette::{GraphicalReportHandler, GraphicalTheme};

/// A directory with the files of one configuration.
pub struct Files(tempfile::TempDir);

impl Files {
    /// Paths are relative; the configuration itself is `certfleet.toml`.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Self(dir)
    }

    /// Where a file of this configuration is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Loads `certfleet.toml`.
    pub fn load(&self) -> Result<Configuration, ConfigError> {
        load(&self.path("certfleet.toml"))
    }

    /// As a terminal without colours shows it, with the directory's name taken out.
    pub fn shown(&self, error: &ConfigError) -> String {
        let mut text = String::new();
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100);
        handler.render_report(&mut text, error).unwrap();
        let dir = format!("{}/", self.0.path().display());
        text.replace(&dir, "").lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }
}

/// Loads one file that is expected to be good.
pub fn good(text: &str) -> Configuration {
    let files = Files::new(&[("certfleet.toml", text)]);
    files.load().unwrap_or_else(|error| panic!("{}", files.shown(&error)))
}

/// What one node makes of it.
pub fn settings(configuration: &Configuration, node: &str) -> Settings {
    configuration.for_node(&node.parse().unwrap()).unwrap_or_else(|error| panic!("{error:?}"))
}

/// A small, whole configuration.
pub const SMALL: &str = r#"
[fleet]
name = "prod"
store = "file:///srv/certfleet"

[issuer.le]
directory = "https://acme.example/directory"
agree_tos = true

[[certificate]]
names = ["example.com", "www.example.com"]
deploy = ["web"]

[deploy.web]
kind = "files"
dir = "/etc/certs/{name}"
"#;
