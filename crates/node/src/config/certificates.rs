//! `[[certificate]]` and `[defaults]`: from their forms to [`Specification`]s.
//!
//! Always holds: issuers and targets that a specification names exist; names are normalised and different; lists whose order means nothing are
//! sorted, so that the same meaning is the same value.

use std::collections::{BTreeMap, HashMap};

use certfleet_core::names::{CertName, Identifier, IssuerName, NameError, NodePattern, TargetName};
use certfleet_core::spec::{ChallengeType, OnFailure, Rollout, Specification};

use super::at::{At, Many};
use super::error::Fault;
use super::issuers::Issuer;
use super::nearest::advice;
use super::raw;
use super::source::Place;

/// Most names in one certificate (Let's Encrypt, "classic" profile).
pub const NAMES_MAX: usize = 100;
/// Challenges that the design names and this version has not.
const CHALLENGES_LATER: [&str; 3] = ["tls-alpn-01", "dns-01", "dns-persist-01"];

/// What certificates may refer to.
pub(crate) struct Known<'a> {
    pub(crate) issuers: &'a BTreeMap<IssuerName, Issuer>,
    pub(crate) targets: &'a BTreeMap<TargetName, Place>,
    pub(crate) defaults: raw::Defaults,
}

/// What the certificates come to.
pub(crate) struct Resolved {
    pub(crate) certificates: BTreeMap<CertName, Specification>,
    /// Those that no target installs.
    pub(crate) not_installed: Vec<(CertName, Place)>,
}

/// Checks `[defaults]` and all certificates.
pub(crate) fn resolve(certificates: Vec<raw::Certificate>, known: &Known<'_>) -> Result<Resolved, Fault> {
    check_choices(&known.defaults, known)?;
    let mut specs = BTreeMap::new();
    let mut places: HashMap<CertName, Place> = HashMap::with_capacity(certificates.len());
    let mut not_installed = Vec::new();
    for certificate in certificates {
        let (name, spec) = resolve_one(certificate, known)?;
        if let Some(first) = places.insert(name.value.clone(), name.place) {
            let fault = Fault::at(name.place, format!("certificate `{}` stands twice", name.value)).label("the second");
            return Err(fault.also(first, "the first").help("give one of them another `name`, or remove it"));
        }
        if spec.deploy.is_empty() {
            not_installed.push((name.value.clone(), name.place));
        }
        specs.insert(name.value, spec);
    }
    Ok(Resolved { certificates: specs, not_installed })
}

fn resolve_one(mut raw: raw::Certificate, known: &Known<'_>) -> Result<(At<CertName>, Specification), Fault> {
    refuse_later(&raw)?;
    let choices = raw.take_choices();
    check_choices(&choices, known)?;
    let names = identifiers(&raw.names)?;
    let Some(first) = names.first() else {
        return Err(Fault::at(raw.names.place, "`names` is empty").help("name at least one: `names = [\"www.example.com\"]`"));
    };
    let name_place = raw.names.value.first().map_or(raw.names.place, |name| name.place);
    let name = raw.name.unwrap_or_else(|| At { value: CertName::from_identifier(first), place: name_place });
    if name.value.node().is_some() {
        let fault = Fault::at(name.place, format!("`{}` is the name of a node's own certificate", name.value));
        return Err(
            fault.help("choose a name without `@`; with `key = { policy = \"per-node\" }` each node's certificate is called NAME@NODE")
        );
    }
    let defaults = &known.defaults;
    let spec = Specification {
        issuers: issuers(choices.issuer.as_ref().or(defaults.issuer.as_ref()), name.place, known)?,
        names,
        challenge: ChallengeType::Http01,
        key: key(&choices, defaults, |key| key.kind),
        policy: key(&choices, defaults, |key| key.policy),
        reuse: key(&choices, defaults, |key| key.reuse),
        nodes: choices.nodes.as_ref().or(defaults.nodes.as_ref()).map(|nodes| sorted(&nodes.value)).unwrap_or_default(),
        deploy: choices.deploy.as_ref().or(defaults.deploy.as_ref()).map(|names| target_names(names)).unwrap_or_default(),
        rollout: rollout(choices.rollout.as_ref(), defaults.rollout.as_ref()),
    };
    Ok((name, spec))
}

fn refuse_later(raw: &raw::Certificate) -> Result<(), Fault> {
    if let Some(split) = raw.split.as_ref().filter(|split| split.value) {
        let help = "write one `[[certificate]]` for each name";
        return Err(Fault::not_in_this_version(split.place, "`split = true`", help));
    }
    if let Some(dns) = &raw.dns {
        return Err(Fault::not_in_this_version(dns.place, "`dns`", "this version answers http-01 only; remove the key"));
    }
    if let Some(source) = &raw.source {
        let help = "this version installs certificates that it ordered itself; remove the key";
        return Err(Fault::not_in_this_version(source.place, "`source`", help));
    }
    Ok(())
}

fn identifiers(names: &At<Vec<At<String>>>) -> Result<Vec<Identifier>, Fault> {
    if let Some(first_too_many) = names.value.get(NAMES_MAX) {
        let message = format!("{} names are too many: a certificate has at most {NAMES_MAX}", names.value.len());
        return Err(Fault::at(first_too_many.place, message).help("split them over several certificates"));
    }
    let mut seen: BTreeMap<Identifier, Place> = BTreeMap::new();
    let mut list = Vec::with_capacity(names.value.len());
    for name in &names.value {
        let identifier = identifier(name)?;
        if let Some(first) = seen.insert(identifier.clone(), name.place) {
            let fault = Fault::at(name.place, format!("`{identifier}` stands twice in `names`")).label("the second");
            return Err(fault.also(first, "the first").help("remove one of them"));
        }
        list.push(identifier);
    }
    Ok(list)
}

fn identifier(name: &At<String>) -> Result<Identifier, Fault> {
    if name.value.contains("{node}") {
        let help = "write one `[[certificate]]` for each node, with `nodes = [\"that node\"]`";
        return Err(Fault::not_in_this_version(name.place, "`{node}` in a name", help));
    }
    let identifier: Identifier = name.value.parse().map_err(|error: NameError| Fault::at(name.place, error.to_string()))?;
    if identifier.is_wildcard() {
        let help = "a CA issues them by dns-01 only, which comes later; name each host";
        return Err(Fault::not_in_this_version(name.place, "a wildcard name", help));
    }
    Ok(identifier)
}

/// What can be said of the choices wherever they stand, `[defaults]` included.
fn check_choices(choices: &raw::Defaults, known: &Known<'_>) -> Result<(), Fault> {
    choices.challenge.iter().try_for_each(check_challenge)?;
    choices.rollout.iter().try_for_each(check_rollout)?;
    if let Some(nodes) = choices.nodes.as_ref().filter(|nodes| nodes.value.is_empty()) {
        return Err(Fault::at(nodes.place, "`nodes` is empty: the certificate would be placed nowhere")
            .help("leave the key out to place it on every node with the deploy role"));
    }
    if let Some(issuer) = choices.issuer.as_ref() {
        issuers(Some(issuer), issuer.place, known)?;
    }
    for target in choices.deploy.iter().flatten() {
        if !known.targets.contains_key(&target.value) {
            let help = advice(target.value.as_str(), "targets", known.targets.keys().map(TargetName::as_str));
            return Err(Fault::at(target.place, format!("there is no target `[deploy.{}]`", target.value))
                .label("no such target")
                .help(help));
        }
    }
    Ok(())
}

fn check_challenge(challenge: &At<String>) -> Result<(), Fault> {
    match challenge.value.as_str() {
        "http-01" => Ok(()),
        later if CHALLENGES_LATER.contains(&later) => {
            Err(Fault::not_in_this_version(challenge.place, &format!("the challenge `{later}`"), "use `http-01`"))
        }
        unknown => {
            let help = advice(unknown, "valid values", ["http-01"]);
            Err(Fault::at(challenge.place, format!("there is no challenge `{}`", unknown.escape_debug())).help(help))
        }
    }
}

fn check_rollout(rollout: &raw::Rollout) -> Result<(), Fault> {
    if let Some(canary) = rollout.canary.as_ref().filter(|canary| matches!(canary.value, raw::Canary::Nodes)) {
        return Err(Fault::not_in_this_version(canary.place, "a canary by node name", "give a number: `canary = 1`"));
    }
    if let Some(share) = &rollout.yields_below
        && percent(&share.value).is_none()
    {
        return Err(Fault::at(share.place, "`override`: this is not a share of the certificate's life").help("write `override = \"20%\"`"));
    }
    Ok(())
}

fn percent(text: &str) -> Option<u8> {
    let digits = text.strip_suffix('%').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok().filter(|share| *share <= 100)
}

fn issuers(chosen: Option<&At<Many<At<IssuerName>>>>, place: Place, known: &Known<'_>) -> Result<Vec<IssuerName>, Fault> {
    let names = || known.issuers.keys().map(IssuerName::as_str);
    let Some(chosen) = chosen else {
        return match known.issuers.len() {
            1 => Ok(known.issuers.keys().cloned().collect()),
            0 => Err(Fault::at(place, "there is no issuer to ask for this certificate").help("add an `[issuer.NAME]` table")),
            _ => Err(Fault::at(place, "there are several issuers, and none is chosen for this certificate")
                .help(format!("set `issuer` here or in `[defaults]`; {}", advice("", "issuers", names())))),
        };
    };
    if chosen.value.0.is_empty() {
        return Err(Fault::at(chosen.place, "`issuer` is empty").help(advice("", "issuers", names())));
    }
    let mut list: Vec<IssuerName> = Vec::with_capacity(chosen.value.0.len());
    for name in &chosen.value.0 {
        if !known.issuers.contains_key(&name.value) {
            let fault = Fault::at(name.place, format!("there is no issuer `[issuer.{}]`", name.value)).label("no such issuer");
            return Err(fault.help(advice(name.value.as_str(), "issuers", names())));
        }
        if list.contains(&name.value) {
            return Err(Fault::at(name.place, format!("`{}` stands twice in `issuer`", name.value)).help("remove one of them"));
        }
        list.push(name.value.clone());
    }
    Ok(list)
}

/// The certificate's own, else that of `[defaults]`, else the built-in.
fn key<T: Default>(choices: &raw::Defaults, defaults: &raw::Defaults, field: impl Fn(&raw::Key) -> Option<T>) -> T {
    let of = |choices: &raw::Defaults| choices.key.as_ref().and_then(&field);
    of(choices).or_else(|| of(defaults)).unwrap_or_default()
}

fn sorted(nodes: &[NodePattern]) -> Vec<NodePattern> {
    let mut nodes = nodes.to_vec();
    nodes.sort();
    nodes.dedup();
    nodes
}

fn target_names(names: &[At<TargetName>]) -> Vec<TargetName> {
    let mut names: Vec<_> = names.iter().map(|name| name.value.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// Field by field: the certificate's own, else `[defaults]`, else the built-in.
fn rollout(own: Option<&raw::Rollout>, defaults: Option<&raw::Rollout>) -> Rollout {
    let built_in = Rollout::default();
    let pick = |rollout: Option<&raw::Rollout>| {
        let canary = rollout.and_then(|r| r.canary.as_ref()).and_then(|canary| match canary.value {
            raw::Canary::Count(count) => Some(count),
            raw::Canary::Nodes => None,
        });
        let share = rollout.and_then(|r| r.yields_below.as_ref()).and_then(|share| percent(&share.value));
        (canary, rollout.and_then(|r| r.on_failure), share)
    };
    let (own, default): ((_, Option<OnFailure>, _), _) = (pick(own), pick(defaults));
    Rollout {
        canary: own.0.or(default.0).unwrap_or(built_in.canary),
        on_failure: own.1.or(default.1).unwrap_or(built_in.on_failure),
        override_percent: own.2.or(default.2).unwrap_or(built_in.override_percent),
    }
}
