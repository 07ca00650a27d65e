//! Seeing a certificate served: where to look, and what was seen there.
//!
//! Always holds: `Served` means that at every address that counts, for every name asked for, a TLS handshake showed exactly this leaf and
//! proved its key. Nothing here says whether the certificate is trusted: it need not be (a private CA, a test).
//!
//! Deliberately not here: STARTTLS (refused by [`Verify::validate`]).

mod local;
mod probe;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::material::Material;
pub(crate) use probe::Seen;

/// Most names of one certificate that are asked for; the first ones.
const NAMES_MAX: usize = 16;
/// Most handshakes of one target under way.
const PROBES_AT_ONCE_MAX: usize = 16;
/// How long one handshake may take, connecting included.
const PROBE_MS_MAX: u64 = 5_000;

/// `verify` of a target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verify {
    /// `host:port`; empty: nothing is looked at.
    pub connect: Vec<String>,
    /// Pass over addresses that are not on this machine now.
    pub local: bool,
    /// What to ask for instead of the certificate's names.
    pub sni: Vec<String>,
    /// Version of the PROXY protocol header to send first.
    pub proxy: Option<u8>,
    starttls: bool,
}

/// The table form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(deserialize_with = "one_or_more")]
    connect: Vec<String>,
    #[serde(default)]
    local: bool,
    #[serde(default, deserialize_with = "one_or_more")]
    sni: Vec<String>,
    starttls: Option<IgnoredAny>,
    proxy: Option<u8>,
}

/// A string, or a list of strings.
pub(crate) fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct OneOrMore;
    impl<'de> Visitor<'de> for OneOrMore {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string or a list of strings")
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(vec![text.to_owned()])
        }
        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(list))
        }
    }
    deserializer.deserialize_any(OneOrMore)
}

struct Forms;

impl<'de> Visitor<'de> for Forms {
    type Value = Verify;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address (\"127.0.0.1:443\"), a list of addresses, \"off\", or { connect = […], local = true, sni = […] }")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Verify, E> {
        let connect = if text == "off" { Vec::new() } else { vec![text.to_owned()] };
        Ok(Verify { connect, ..Verify::default() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Verify, A::Error> {
        Ok(Verify { connect: Vec::deserialize(SeqAccessDeserializer::new(list))?, ..Verify::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Verify, A::Error> {
        let table = Table::deserialize(MapAccessDeserializer::new(map))?;
        let Table { connect, local, sni, starttls, proxy } = table;
        Ok(Verify { connect, local, sni, proxy, starttls: starttls.is_some() })
    }
}

impl<'de> Deserialize<'de> for Verify {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Forms)
    }
}

impl Verify {
    /// Whether nothing is looked at.
    pub fn is_off(&self) -> bool {
        self.connect.is_empty()
    }

    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.starttls {
            return Err("verify.starttls is not in this version; use `verify = \"off\"` for this server".into());
        }
        if let Some(version) = self.proxy.filter(|version| !(1..=2).contains(version)) {
            return Err(format!("verify.proxy = {version}: the PROXY protocol has versions 1 and 2"));
        }
        for address in &self.connect {
            let port = address.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then(|| port.parse::<u16>().ok())?);
            if port.is_none_or(|port| port == 0) {
                return Err(format!(
                    "verify: `{address}` is not an address; `host:port` is wanted, for example \"127.0.0.1:443\" or \"[::1]:443\""
                ));
            }
        }
        for name in &self.sni {
            probe::server_name(name).ok_or_else(|| format!("verify.sni: `{name}` is not a host name"))?;
        }
        Ok(())
    }

    /// Looks at every address for every name of every certificate, at once within bounds; gives what is worst for each.
    pub(crate) async fn look(&self, batch: &[&Material]) -> Vec<Seen> {
        if self.is_off() {
            return vec![Seen::NotAsked("verify is off".into()); batch.len()];
        }
        let (addresses, known) = self.addresses().await;
        let slots = Arc::new(Semaphore::new(PROBES_AT_ONCE_MAX));
        let mut probes = JoinSet::new();
        for (index, material) in batch.iter().enumerate() {
            for (address, name) in pairs(&addresses, self.server_names(material)) {
                let (slots, wanted, proxy) = (slots.clone(), material.leaf.clone(), self.proxy);
                probes.spawn(async move {
                    let _slot = slots.acquire_owned().await;
                    (index, probe::look(address, name, proxy, &wanted, Duration::from_millis(PROBE_MS_MAX)).await)
                });
            }
        }
        let mut worst = vec![known; batch.len()];
        while let Some(joined) = probes.join_next().await {
            match joined {
                Ok((index, seen)) => worst[index] = worst[index].clone().max(seen),
                // Without all of the looks none of them is worth anything.
                Err(e) => return vec![Seen::Trouble(format!("a look was stopped half-way: {e}")); batch.len()],
            }
        }
        worst
    }

    /// The addresses that count, and what is known before any of them is asked.
    async fn addresses(&self) -> (Vec<SocketAddr>, Seen) {
        let mut found = Vec::new();
        let mut known = Seen::Served;
        for address in &self.connect {
            match tokio::net::lookup_host(address).await {
                Ok(addresses) => found.extend(addresses),
                Err(e) => known = known.max(Seen::Trouble(format!("{address} cannot be resolved: {e}"))),
            }
        }
        if self.local {
            found.retain(|address| local::is_here(address.ip()));
        }
        found.sort_unstable();
        found.dedup();
        if found.is_empty() {
            known = known.max(Seen::NotAsked(format!("not on this machine now: {}", self.connect.join(", "))));
        }
        (found, known)
    }

    /// What to ask for; `None` asks without a name, as a client of an IP address does (RFC 6066 section 3).
    fn server_names(&self, material: &Material) -> Vec<Option<String>> {
        if !self.sni.is_empty() {
            return self.sni.iter().cloned().map(Some).collect();
        }
        let mut names: Vec<Option<String>> = Vec::new();
        for identifier in &material.names {
            let name = match identifier.as_str().strip_prefix("*.") {
                Some(parent) => Some(format!("certfleet-verify.{parent}")),
                None => identifier.ip().is_none().then(|| identifier.to_string()),
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.is_empty() {
            names.push(None);
        }
        names.truncate(NAMES_MAX);
        names
    }
}

fn pairs(addresses: &[SocketAddr], names: Vec<Option<String>>) -> impl Iterator<Item = (SocketAddr, Option<String>)> + '_ {
    names.into_iter().flat_map(move |name| addresses.iter().map(move |address| (*address, name.clone())))
}

#[cfg(test)]
mod tests;
