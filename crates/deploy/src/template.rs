//! Paths in which `{name}` stands for the certificate's name and `{node}` for the node's.

use std::path::PathBuf;

use certfleet_core::names::{CertName, NodeName};
use serde::Deserialize;

/// A path of the configuration. Neither name can hold a slash or be `..`, so the result stays where the operator pointed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct PathTemplate(String);

impl PathTemplate {
    /// The path as configured.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says what is wrong with it, as the value of `field`.
    pub(crate) fn validate(&self, field: &str) -> Result<(), String> {
        if !self.0.starts_with('/') {
            return Err(format!("{field} = \"{}\": an absolute path is wanted", self.0));
        }
        let rest = self.0.replace("{name}", "").replace("{node}", "");
        if rest.contains(['{', '}']) {
            return Err(format!("{field} = \"{}\": only {{name}} and {{node}} are replaced", self.0));
        }
        if self.0.bytes().any(|b| b.is_ascii_control()) {
            return Err(format!("{field}: the path has control characters in it"));
        }
        Ok(())
    }

    /// The path for one certificate on one node.
    pub fn path(&self, cert: &CertName, node: &NodeName) -> PathBuf {
        // Split at the placeholders first: a certificate that is called `{node}` must not be replaced again.
        let parts = self.0.split("{name}").map(|part| part.replace("{node}", node.as_str()));
        PathBuf::from(parts.collect::<Vec<_>>().join(cert.as_str()))
    }
}

impl From<&str> for PathTemplate {
    fn from(path: &str) -> Self {
        Self(path.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_are_replaced_once() {
        let path =
            |template: &str, cert: &str| PathTemplate::from(template).path(&cert.parse().expect(cert), &"lb0".parse().expect("node"));
        assert_eq!(path("/etc/{node}/{name}.pem", "_.example.com"), PathBuf::from("/etc/lb0/_.example.com.pem"));
        assert_eq!(path("/etc/{name}/{name}", "{node}"), PathBuf::from("/etc/{node}/{node}"));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["certs/{name}", "/etc/{cert}", "/etc/{name", "/etc/\n", ""] {
            assert!(PathTemplate::from(bad).validate("dir").is_err(), "{bad:?}");
        }
        assert_eq!(PathTemplate::from("/etc/{name}/{node}").validate("dir"), Ok(()));
    }
}
