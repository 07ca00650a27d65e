//! A `[deploy.*]` table as the configuration writes it.
//!
//! Every kind's `Config` has the common fields and refuses unknown ones. `flatten` cannot do that, so the macro writes the common fields into
//! each of them. `kind` is taken and passed over, so that a caller who looked at it first can read the table straight into that kind
//! ([`TargetConfig::of_kind`]) and keep the place of each mistake; serde's tagged enum would lose it.

use std::sync::Arc;
use std::time::Duration;

use certfleet_core::names::{NodeName, NodePattern, TargetName};
use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer};

use crate::material::{BuildError, Target};
use crate::targets::{files, haproxy, nginx};
use crate::verify::Verify;

/// How long a check or a reload may take unless configured.
const TIMEOUT_SECONDS: u64 = 30;
/// The kinds of this version.
const KINDS: [&str; 3] = ["files", "nginx", "haproxy"];
/// Kinds that the design names and this version has not.
const KINDS_LATER: [&str; 7] = ["apache", "pkcs12", "jks", "ccs", "azure-key-vault", "sftp", "exec"];

/// Which of the placed nodes run a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Run {
    /// Each for itself.
    #[default]
    Each,
    /// One for all.
    Once,
}

/// What every kind has.
#[derive(Debug, Clone)]
pub struct Common {
    /// Which nodes have the target; empty: all on which the certificate is placed.
    pub nodes: Vec<NodePattern>,
    /// Which of them run it.
    pub run: Run,
    /// Where to look whether it is served.
    pub verify: Verify,
    /// How long after activation another certificate may still be seen.
    pub grace: Duration,
    /// How long a check or a reload may take.
    pub timeout: Duration,
}

pub(crate) fn timeout() -> Duration {
    Duration::from_secs(TIMEOUT_SECONDS)
}

/// Writes a kind's `Config`: the common fields and its own.
macro_rules! target_config {
    ($(#[$doc:meta])* pub struct Config { $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Config {
            $($(#[$field_doc])* pub $field: $type,)*
            /// Which nodes have the target; empty: all on which the certificate is placed.
            #[serde(default)]
            pub nodes: Vec<certfleet_core::names::NodePattern>,
            /// Which of them run it.
            #[serde(default)]
            pub run: crate::config::Run,
            /// Where to look whether it is served.
            #[serde(default)]
            pub verify: crate::verify::Verify,
            /// How long after activation another certificate may still be seen.
            #[serde(default, deserialize_with = "crate::duration::deserialize")]
            pub grace: std::time::Duration,
            /// How long a check or a reload may take.
            #[serde(default = "crate::config::timeout", deserialize_with = "crate::duration::deserialize")]
            pub timeout: std::time::Duration,
            #[serde(default, rename = "kind")]
            _kind: serde::de::IgnoredAny,
        }

        impl Config {
            /// The fields that every kind has.
            pub fn common(&self) -> crate::config::Common {
                crate::config::Common {
                    nodes: self.nodes.clone(),
                    run: self.run,
                    verify: self.verify.clone(),
                    grace: self.grace,
                    timeout: self.timeout,
                }
            }
        }
    };
}
pub(crate) use target_config;

/// A `[deploy.*]` table.
#[derive(Debug, Clone)]
pub enum TargetConfig {
    /// Files, and a command.
    Files(files::Config),
    /// nginx.
    Nginx(nginx::Config),
    /// HAProxy, through its runtime API.
    Haproxy(haproxy::Config),
}

/// The tagged form; kinds that are not there yet are told from typing errors.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Tagged {
    Files(files::Config),
    Nginx(nginx::Config),
    Haproxy(haproxy::Config),
    Apache(IgnoredAny),
    Pkcs12(IgnoredAny),
    Jks(IgnoredAny),
    Ccs(IgnoredAny),
    AzureKeyVault(IgnoredAny),
    Sftp(IgnoredAny),
    Exec(IgnoredAny),
}

fn not_yet(kind: &str) -> String {
    format!("kind `{kind}` is not in this version, which has `{}`", KINDS.join("`, `"))
}

impl<'de> Deserialize<'de> for TargetConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let later = match Tagged::deserialize(deserializer)? {
            Tagged::Files(config) => return Ok(Self::Files(config)),
            Tagged::Nginx(config) => return Ok(Self::Nginx(config)),
            Tagged::Haproxy(config) => return Ok(Self::Haproxy(config)),
            Tagged::Apache(_) => "apache",
            Tagged::Pkcs12(_) => "pkcs12",
            Tagged::Jks(_) => "jks",
            Tagged::Ccs(_) => "ccs",
            Tagged::AzureKeyVault(_) => "azure-key-vault",
            Tagged::Sftp(_) => "sftp",
            Tagged::Exec(_) => "exec",
        };
        Err(D::Error::custom(not_yet(later)))
    }
}

impl TargetConfig {
    /// Reads a table whose `kind` the caller has looked at. Unlike the plain `Deserialize`, errors keep their place in the text.
    pub fn of_kind<'de, D: Deserializer<'de>>(kind: &str, deserializer: D) -> Result<Self, D::Error> {
        match kind {
            "files" => files::Config::deserialize(deserializer).map(Self::Files),
            "nginx" => nginx::Config::deserialize(deserializer).map(Self::Nginx),
            "haproxy" => haproxy::Config::deserialize(deserializer).map(Self::Haproxy),
            later if KINDS_LATER.contains(&later) => Err(D::Error::custom(not_yet(later))),
            unknown => Err(D::Error::unknown_variant(unknown, &KINDS)),
        }
    }

    /// The kind's name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Files(_) => files::KIND,
            Self::Nginx(_) => nginx::KIND,
            Self::Haproxy(_) => haproxy::KIND,
        }
    }

    /// The fields that every kind has.
    pub fn common(&self) -> Common {
        match self {
            Self::Files(config) => config.common(),
            Self::Nginx(config) => config.common(),
            Self::Haproxy(config) => config.common(),
        }
    }

    /// Which nodes have the target; empty: all on which the certificate is placed.
    pub fn nodes(&self) -> &[NodePattern] {
        match self {
            Self::Files(config) => &config.nodes,
            Self::Nginx(config) => &config.nodes,
            Self::Haproxy(config) => &config.nodes,
        }
    }

    /// Says what the types alone cannot: fields that do not go together, relative paths, what this version has not.
    pub fn validate(&self) -> Result<(), String> {
        let common = self.common();
        if common.run == Run::Once {
            return Err("run = \"once\" is not in this version; leave it out, and name one node in `nodes`".into());
        }
        if common.timeout.is_zero() {
            return Err("timeout = 0 leaves no time for anything".into());
        }
        common.verify.validate()?;
        match self {
            Self::Files(config) => config.validate(),
            Self::Nginx(config) => config.validate(),
            Self::Haproxy(config) => config.validate(),
        }
    }

    /// Makes the target. Looks up users and groups, opens nothing else.
    pub fn build(&self, name: TargetName, _node: &NodeName) -> Result<Arc<dyn Target>, BuildError> {
        self.validate().map_err(|problem| BuildError::Invalid { target: name.clone(), problem })?;
        match self {
            Self::Files(config) => files::build(config, name),
            Self::Nginx(config) => nginx::build(config, name),
            Self::Haproxy(config) => haproxy::build(config, name),
        }
    }
}

#[cfg(test)]
mod tests;
