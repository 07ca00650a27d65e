//! The hash over everything that is the fleet's, by which nodes tell whether they were given the same configuration.
//!
//! Always holds: comments, layout, order, and the splitting into files change nothing; neither does what may differ by node (`[node.*]`,
//! `[fleet]`, `[answer]`, `[admin]`, `[metrics]`, `[log]`, an issuer's `root`). A default spelt out changes nothing, but for the fields that
//! only one kind of target has.

use std::collections::BTreeMap;

use certfleet_core::names::{CertName, ConfigHash, IssuerName, TargetName};
use certfleet_core::spec::{IssuerSpec, Specification, TargetSpec};
use serde_json::{Value, json};

/// Changes only when the same meaning would otherwise be written differently.
const HASH_FORMAT: u32 = 1;

/// Hashes what is the fleet's.
pub(crate) fn hash(
    certificates: &BTreeMap<CertName, Specification>,
    issuers: &BTreeMap<IssuerName, IssuerSpec>,
    targets: &BTreeMap<TargetName, (TargetSpec, toml::Table)>,
) -> ConfigHash {
    let mut text = format!("certfleet {HASH_FORMAT}\n");
    let mut line = |kind: &str, name: &str, value: &Value| {
        // Names hold no line end, and JSON escapes them.
        text.push_str(&format!("{kind} {name} {value}\n"));
    };
    certificates.iter().for_each(|(name, spec)| line("certificate", name.as_str(), &json!(spec)));
    issuers.iter().for_each(|(name, spec)| line("issuer", name.as_str(), &json!(spec)));
    for (name, (spec, table)) in targets {
        line("deploy", name.as_str(), &json!([spec, canonical(table)]));
    }
    ConfigHash::of(text.as_bytes())
}

/// A target's table as JSON, without `nodes`, whose order means nothing and which the specification has. The keys are sorted here: either
/// library may be built to keep their order.
fn canonical(table: &toml::Table) -> Value {
    let fields = table.iter().filter(|(key, _)| *key != "nodes");
    let sorted: BTreeMap<&str, Value> = fields.map(|(key, value)| (key.as_str(), canonical_value(value))).collect();
    Value::Object(sorted.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn canonical_value(value: &toml::Value) -> Value {
    match value {
        toml::Value::Table(table) => canonical(table),
        toml::Value::Array(items) => items.iter().map(canonical_value).collect(),
        scalar => json!(scalar.to_string()),
    }
}
