//! The words of the stories, read into values.

use std::time::Duration;

use certfleet_core::key::Key;
use certfleet_core::names::CertName;
use certfleet_core::spec::{ChallengeType, KeyPolicy, KeyType, Roles, Rollout, Specification, all_roles};

use super::machine::TargetMood;
use super::trust::Invitation;
use super::{Blow, Trap};

pub fn yes_or_no(is: bool) -> String {
    if is { "yes".into() } else { "no".into() }
}

pub fn store_key(text: &str) -> Key {
    text.parse().expect("a store key")
}

pub fn roles_of(text: &str) -> Roles {
    let role = |word: &str| all_roles().into_iter().find(|role| role.to_string() == word).unwrap_or_else(|| panic!("no role: {word}"));
    text.split('+').map(role).collect()
}

/// `for=web-* roles=deploy+answer uses=3 expires=1h replace`.
pub fn invitation(options: &[&str]) -> Invitation {
    let option = |key: &str| options.iter().find_map(|option| option.strip_prefix(key)?.strip_prefix('='));
    Invitation {
        pattern: option("for").expect("whom it is for").to_owned(),
        roles: option("roles").map_or_else(all_roles, roles_of),
        uses: option("uses").map_or(1, |uses| uses.parse().expect("a number")),
        life: option("expires").map_or(Duration::from_secs(24 * 3600), span_of),
        replace: options.contains(&"replace"),
    }
}

pub fn name(text: &str) -> CertName {
    text.parse().expect("a certificate's name")
}

pub fn trap(moment: &str, point: &[&str], what: Blow) -> Trap {
    Trap { after: moment == "after", point: point.join(" "), what }
}

pub fn target_mood(text: &str) -> TargetMood {
    match text {
        "works" => TargetMood::Works,
        "fails" => TargetMood::Fails,
        "not-running" => TargetMood::NotRunning,
        _ => panic!("target: {text}"),
    }
}

/// A certificate with the given options: `names=x,y`, `canary=1`, `nodes=a,b`, `issuers=ca,spare`, `key=rsa`, `per-node`, `reuse`.
pub fn specification(text: &str, options: &[&str]) -> Specification {
    let option = |key: &str| options.iter().find_map(|option| option.strip_prefix(key)?.strip_prefix('='));
    let list = |key: &str, default: &str| option(key).unwrap_or(default).split(',').map(str::to_owned).collect::<Vec<_>>();
    let nodes = option("nodes").map(|nodes| nodes.split(',').map(|node| node.parse().expect("a pattern")).collect());
    Specification {
        names: list("names", text).iter().map(|name| name.parse().expect("a name")).collect(),
        issuers: list("issuers", "ca").iter().map(|name| name.parse().expect("a name")).collect(),
        challenge: ChallengeType::Http01,
        key: if option("key") == Some("rsa") { KeyType::Rsa2048 } else { KeyType::EcdsaP256 },
        policy: if options.contains(&"per-node") { KeyPolicy::PerNode } else { KeyPolicy::Shared },
        reuse: options.contains(&"reuse"),
        nodes: nodes.unwrap_or_default(),
        deploy: vec![super::fleet::TARGET.parse().expect("a name")],
        rollout: Rollout { canary: option("canary").map_or(0, |count| count.parse().expect("a number")), ..Rollout::default() },
    }
}

/// `90d`, `1h`, `5m`, `10s`, `300ms`.
pub fn span_of(text: &str) -> Duration {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let count: u64 = digits.parse().unwrap_or_else(|_| panic!("no span: {text}"));
    let ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        other => panic!("no unit of time: {other}"),
    };
    Duration::from_millis(count * ms)
}

pub fn signed_seconds(text: &str) -> i64 {
    let span = |text: &str| i64::try_from(span_of(text).as_secs()).expect("a span");
    text.strip_prefix('-').map_or_else(|| span(text.trim_start_matches('+')), |text| -span(text))
}
