//! The configuration's tables as they are written: every key that the design names, each with its place.
//!
//! Always holds: an unknown key is refused here; what belongs to a later version is known by name and refused by name further in.
//!
//! Deliberately not here: `[deploy.*]` (each kind reads its own table) and what values mean together.

use std::collections::BTreeMap;
use std::path::PathBuf;

use certfleet_core::names::{CertName, IssuerName, NodePattern, TargetName};
use certfleet_core::spec::{KeyPolicy, KeyType, OnFailure, Role};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::at::{At, Many};
use super::secrets::SecretSource;
use super::settings::{LogFormat, LogLevel};

/// `[fleet]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fleet {
    pub(crate) name: At<String>,
    pub(crate) store: At<Store>,
    pub(crate) state: Option<At<PathBuf>>,
    pub(crate) roles: Option<At<Vec<At<Role>>>>,
    /// Stands in one node's table only; it is merged to here.
    pub(crate) serve: Option<At<String>>,
}

/// `store`: a URL, or a table with one.
#[derive(Debug)]
pub(crate) enum Store {
    Url(String),
    Table(Box<StoreTable>),
}

/// `store = { url = … }`. What stands beside `url` says how to get in; of no use to `file`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreTable {
    pub(crate) url: At<String>,
    ca: Option<At<PathBuf>>,
    cert: Option<At<PathBuf>>,
    key: Option<At<PathBuf>>,
    user: Option<At<String>>,
    password: Option<At<SecretSource>>,
    pub(crate) prefix: Option<At<String>>,
}

impl StoreTable {
    /// What stands beside `url`, but for `prefix`, as options of a URL. Of a password only where it is.
    pub(crate) fn options(&self) -> impl Iterator<Item = (&'static str, String)> {
        let path = |key: &'static str, value: &Option<At<PathBuf>>| Some((key, value.as_ref()?.value.display().to_string()));
        let user = self.user.as_ref().map(|at| ("user", at.value.clone()));
        let password = self.password.as_ref().map(|at| match &at.value {
            SecretSource::File(file) => ("password_file", file.display().to_string()),
            SecretSource::Env(name) => ("password_env", name.clone()),
            SecretSource::Credential(name) => ("password_credential", name.clone()),
        });
        let all = [path("ca", &self.ca), path("cert", &self.cert), path("key", &self.key), user, password];
        all.into_iter().flatten()
    }

    /// Keys beside `url`, with their places.
    pub(crate) fn extras(&self) -> impl Iterator<Item = (&'static str, super::source::Place)> {
        let path = |key: &'static str, value: &Option<At<PathBuf>>| value.as_ref().map(|at| (key, at.place));
        let text = |key: &'static str, value: &Option<At<String>>| value.as_ref().map(|at| (key, at.place));
        let password = self.password.as_ref().map(|at| ("password", at.place));
        let all = [path("ca", &self.ca), path("cert", &self.cert), path("key", &self.key), text("user", &self.user), password];
        all.into_iter().chain([text("prefix", &self.prefix)]).flatten()
    }
}

impl<'de> Deserialize<'de> for Store {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;
        impl<'de> serde::de::Visitor<'de> for Forms {
            type Value = Store;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a URL or a table with `url`")
            }
            fn visit_str<E: serde::de::Error>(self, url: &str) -> Result<Store, E> {
                Ok(Store::Url(url.to_owned()))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Store, A::Error> {
                StoreTable::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(|table| Store::Table(Box::new(table)))
            }
        }
        deserializer.deserialize_any(Forms)
    }
}

/// `[answer]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    pub(crate) http: Option<At<Many<At<String>>>>,
    pub(crate) redirect: Option<bool>,
    pub(crate) stateless: Option<At<bool>>,
    pub(crate) peers: Option<At<Vec<IgnoredAny>>>,
    #[serde(default)]
    pub(crate) thumbprints: BTreeMap<At<String>, At<String>>,
}

/// `[admin]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Admin {
    pub(crate) listen: Option<At<String>>,
    pub(crate) group: Option<At<String>>,
}

/// `[metrics]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metrics {
    pub(crate) listen: Option<At<String>>,
}

/// `[log]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    #[serde(default)]
    pub(crate) format: LogFormat,
    #[serde(default)]
    pub(crate) level: LogLevel,
}

/// `[issuer.*]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Issuer {
    pub(crate) directory: At<String>,
    #[serde(default)]
    pub(crate) contact: Vec<At<String>>,
    pub(crate) agree_tos: Option<At<bool>>,
    pub(crate) root: Option<At<PathBuf>>,
    pub(crate) chain_root: Option<At<PathBuf>>,
    pub(crate) profile: Option<At<String>>,
    pub(crate) eab: Option<At<Eab>>,
    pub(crate) limits: Option<At<IgnoredAny>>,
}

/// External account binding (RFC 8555 section 7.3.4): read, so that a literal key is refused as such.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its errors only; the issue that binds accounts uses it")]
pub(crate) struct Eab {
    kid: String,
    hmac_key: SecretSource,
}

/// `[defaults]`, and the same keys in `[[certificate]]`.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Defaults {
    pub(crate) issuer: Option<At<Many<At<IssuerName>>>>,
    pub(crate) challenge: Option<At<String>>,
    pub(crate) key: Option<Key>,
    pub(crate) nodes: Option<At<Vec<NodePattern>>>,
    pub(crate) deploy: Option<Vec<At<TargetName>>>,
    pub(crate) rollout: Option<Rollout>,
}

/// `[[certificate]]`. The keys of [`Defaults`] are repeated because `flatten` would lose places.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Certificate {
    pub(crate) name: Option<At<CertName>>,
    pub(crate) names: At<Vec<At<String>>>,
    issuer: Option<At<Many<At<IssuerName>>>>,
    challenge: Option<At<String>>,
    key: Option<Key>,
    nodes: Option<At<Vec<NodePattern>>>,
    deploy: Option<Vec<At<TargetName>>>,
    rollout: Option<Rollout>,
    pub(crate) split: Option<At<bool>>,
    pub(crate) dns: Option<At<IgnoredAny>>,
    pub(crate) source: Option<At<IgnoredAny>>,
}

impl Certificate {
    /// What `[defaults]` may say too.
    pub(crate) fn take_choices(&mut self) -> Defaults {
        Defaults {
            issuer: self.issuer.take(),
            challenge: self.challenge.take(),
            key: self.key.take(),
            nodes: self.nodes.take(),
            deploy: self.deploy.take(),
            rollout: self.rollout.take(),
        }
    }
}

/// `key = { … }`.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    #[serde(rename = "type")]
    pub(crate) kind: Option<KeyType>,
    pub(crate) policy: Option<KeyPolicy>,
    pub(crate) reuse: Option<bool>,
}

/// `rollout = { … }`.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rollout {
    pub(crate) canary: Option<At<Canary>>,
    pub(crate) on_failure: Option<OnFailure>,
    #[serde(rename = "override")]
    pub(crate) yields_below: Option<At<String>>,
}

/// How many go first, or who.
#[derive(Debug, Clone)]
pub(crate) enum Canary {
    Count(u32),
    Nodes,
}

impl<'de> Deserialize<'de> for Canary {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;
        impl<'de> serde::de::Visitor<'de> for Forms {
            type Value = Canary;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number of nodes")
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Canary, E> {
                let refuse = |_| E::invalid_value(serde::de::Unexpected::Unsigned(number), &self);
                u32::try_from(number).map(Canary::Count).map_err(refuse)
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Canary, E> {
                Err(E::invalid_value(serde::de::Unexpected::Signed(number), &self))
            }
            fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Canary, E> {
                Ok(Canary::Nodes)
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Canary, A::Error> {
                while list.next_element::<String>()?.is_some() {}
                Ok(Canary::Nodes)
            }
        }
        deserializer.deserialize_any(Forms)
    }
}

/// `[node."…"]`. Read to refuse what it may not say; the merged tables are read again afterwards.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its errors only")]
pub(crate) struct Overlay {
    pub(crate) serve: Option<At<IgnoredAny>>,
    store: Option<Store>,
    state: Option<PathBuf>,
    roles: Option<Vec<Role>>,
    answer: Option<Answer>,
    admin: Option<Admin>,
    metrics: Option<Metrics>,
    pub(crate) deploy: Option<BTreeMap<At<TargetName>, IgnoredAny>>,
}
