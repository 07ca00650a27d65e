//! The language of the stories: one command a line, carried out in order; only `run` and `live` (which suspends nobody) let time
//! pass.

use std::collections::BTreeMap;
use std::time::Duration;

use certfleet_core::names::{CertName, Identifier};
use certfleet_core::spec::{ChallengeType, KeyType, Rollout, Specification};

use super::fleet::configuration;
use super::machine::TargetMood;
use super::{Blow, Trap, World};

/// A story being told.
pub struct Story {
    pub world: World,
    /// What a machine that joins is configured with.
    certificates: BTreeMap<CertName, Specification>,
    issuers: Vec<String>,
    /// What `expect` is about if it does not say `of`.
    first: Option<CertName>,
}

/// Tells a whole story and gives its log; a failed expectation fails the test, with the log.
pub fn tell(script: &str) -> String {
    let mut story = Story::new(1);
    script.lines().for_each(|line| story.line(line));
    story.world.log
}

impl Story {
    /// A story in which nothing has happened yet.
    pub fn new(seed: u64) -> Self {
        Self { world: World::new(seed), certificates: BTreeMap::new(), issuers: vec!["ca".into()], first: None }
    }

    /// Carries out a line; what follows `#` is for the reader.
    pub fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
        if !words.is_empty() {
            self.command(&words);
        }
    }

    /// Whether every machine has seen the placed generation served, with the names that it is configured with, and nothing is under way.
    pub fn is_at_rest(&self) -> bool {
        let cert = self.main();
        let Some(record) = self.world.cert_record(&cert) else { return false };
        let wanted = self.certificates.get(&cert);
        let as_configured = record.placed.as_ref().zip(wanted).is_some_and(|(placed, wanted)| wanted.has_names(&placed.names));
        as_configured && record.attempt.is_none() && self.world.verified_by(&cert).len() == self.world.machines.len()
    }

    fn command(&mut self, words: &[&str]) {
        let world = &mut self.world;
        match words {
            ["run", span] => return world.run(span_of(span)),
            ["live", span] => return world.live(span_of(span)),
            ["expect", rest @ ..] => return self.expect(rest),
            ["issuer", name] => return self.issuers.push((*name).into()),
            ["cert", name, options @ ..] => return self.certificate(name, options),
            ["nodes", names @ ..] => {
                world.found(&self.issuers);
                return names.iter().for_each(|id| self.join(id));
            }
            ["start", who] => return self.each(who, World::start),
            _ => {}
        }
        world.say("", &format!("── {}", words.join(" ")));
        match words {
            ["join", id] => self.join(id),
            ["disarm"] => world.traps.clear(),
            ["crash", who] => self.each(who, World::crash),
            ["crash", moment @ ("before" | "after"), point @ ..] => world.traps.push(trap(moment, point, Blow::Crash)),
            ["pause", moment @ ("before" | "after"), point @ ..] => world.traps.push(trap(moment, point, Blow::Pause)),
            ["pause", who] => self.each(who, World::pause),
            ["resume", who] => self.each(who, World::resume),
            ["stop", who] => self.each(who, World::stop),
            ["cut", who, "from", "ca"] => self.each(who, |world, id| world.machine(id).cut_from_ca = true),
            ["cut", who, "from", "store"] => self.each(who, |world, id| world.cut_from_store(id, true)),
            ["mend", who] => self.each(who, |world, id| {
                world.machine(id).cut_from_ca = false;
                world.cut_from_store(id, false);
            }),
            ["clock", who, off] => {
                let seconds = signed_seconds(off);
                self.each(who, |world, id| world.machine(id).off_seconds = seconds);
            }
            ["clone", from, "as", id] => world.clone_machine(from, id),
            ["target", who, mood] => {
                let mood = target_mood(mood);
                self.each(who, |world, id| world.machine(id).target = mood);
            }
            ["config", who, rest @ ..] => self.configure(who, rest),
            ["ca", rest @ ..] => self.ca(rest),
            ["renew", cert] if world.cert_record(&name(cert)).is_none() || world.up().is_empty() => {
                world.say("", "there is nothing to renew")
            }
            ["renew", cert] => world.operate(&name(cert), |record, _, now| certfleet_core::decide::request_renewal(record, now)),
            ["rollout", "resume", cert] => world.operate(&name(cert), |record, _, _| certfleet_core::decide::resume_rollout(record)),
            ["rollout", "back", cert, "to", number] => world.go_back(&name(cert), number.parse().expect("a number")),
            ["store", "save"] => world.backup = world.store.clone(),
            ["store", "restore"] => {
                let backup = world.backup.clone();
                world.change_store(|store| store.restore(&backup));
            }
            ["store", "wipe"] => world.change_store(super::store::FakeStore::wipe),
            ["store", "spoil", key] => world.change_store(|store| store.spoil(&key.parse().expect("a key"))),
            _ => world.fail(&format!("cannot read the story's line: {}", words.join(" "))),
        }
    }

    fn join(&mut self, id: &str) {
        let spec = configuration(self.certificates.clone(), &self.issuers);
        self.world.join(id, spec);
    }

    fn each(&mut self, who: &str, act: impl Fn(&mut World, &str)) {
        let ids: Vec<String> = match who {
            "all" => self.world.machines.keys().cloned().collect(),
            "holder" => vec![self.holder().unwrap_or_else(|| self.world.fail("nobody holds an attempt"))],
            _ => who.split(',').map(str::to_owned).collect(),
        };
        ids.iter().for_each(|id| act(&mut self.world, id));
    }

    fn certificate(&mut self, text: &str, options: &[&str]) {
        self.first.get_or_insert(name(text));
        self.certificates.insert(name(text), specification(text, options));
    }

    /// `config b cert NAME …` or `config b drop NAME`; also what later machines get, if it is for `all`.
    fn configure(&mut self, who: &str, rest: &[&str]) {
        let change = |certificates: &mut BTreeMap<CertName, Specification>| match rest {
            ["cert", text, options @ ..] => drop(certificates.insert(name(text), specification(text, options))),
            ["drop", text] => drop(certificates.remove(&name(text))),
            _ => panic!("config: {rest:?}"),
        };
        if who == "all" {
            change(&mut self.certificates);
        }
        let issuers = self.issuers.clone();
        self.each(who, |world, id| {
            let mut certificates = world.machine(id).spec.certificates.clone();
            change(&mut certificates);
            world.configure(id, configuration(certificates, &issuers));
        });
    }

    fn ca(&mut self, rest: &[&str]) {
        let ca = self.world.cas.get_mut(&"ca".parse().expect("name")).expect("there is a CA");
        match rest {
            ["fails"] => ca.mood.fails = true,
            ["busy"] => ca.mood.busy = Some(None),
            ["busy", span] => ca.mood.busy = Some(Some(span_of(span))),
            ["silent"] => ca.mood.silent = true,
            ["down"] => ca.mood.down = true,
            ["refuses", "requests"] => ca.mood.picky = true,
            ["forgets"] => ca.mood.forgetful = true,
            ["hands", "over"] => ca.mood.outsider = true,
            ["works"] => ca.mood = Default::default(),
            ["lifetime", span] => ca.lifetime = span_of(span),
            _ => panic!("ca: {rest:?}"),
        }
    }

    fn main(&self) -> CertName {
        self.first.clone().unwrap_or_else(|| self.world.fail("no certificate"))
    }

    fn holder(&self) -> Option<String> {
        let record = self.world.cert_record(&self.main())?;
        Some(record.attempt?.holder?.node.as_str().to_owned())
    }

    fn expect(&mut self, words: &[&str]) {
        let (words, cert) = match words {
            [rest @ .., "of", text] => (rest, name(text)),
            all => (all, self.main()),
        };
        let record = self.world.cert_record(&cert);
        let placed = record.as_ref().and_then(|record| record.placed.as_ref());
        let attempt = record.as_ref().and_then(|record| record.attempt.as_ref());
        let found = match words {
            ["issued", _] => self.world.cas.values().map(|ca| ca.issued.len()).sum::<usize>().to_string(),
            ["orders", _] => self.world.cas.values().map(|ca| ca.orders_made).sum::<usize>().to_string(),
            ["generation", _] => placed.map_or("none".into(), |placed| placed.placement.generation.to_string()),
            ["attempt", _] => attempt.map_or("none".into(), |attempt| attempt.step.name().to_owned()),
            ["holder", _] => self.holder().unwrap_or("nobody".into()),
            ["failures", _] => record.map_or("none".into(), |record| record.failures.count.to_string()),
            ["aside", _] => record.map_or("none".into(), |record| record.set_aside.len().to_string()),
            ["retired", _] => record.map_or("none".into(), |record| record.retired.to_string()),
            ["names", _] => placed.map_or("none".into(), |p| p.names.iter().map(Identifier::as_str).collect::<Vec<_>>().join(",")),
            ["verified", _] => self.world.verified_by(&cert).join(","),
            ["serves", id, _] => self.world.served_by(id, &cert),
            _ => self.world.fail(&format!("expect: {words:?}")),
        };
        let wanted = words.last().copied().unwrap_or_default();
        let wanted = if words[0] == "verified" && wanted == "all" { self.world.up().join(",") } else { wanted.to_owned() };
        self.world.check_served();
        if self.world.missing_keys() > 0 {
            self.world.fail("a private key that a record names is not in the store");
        }
        if found != wanted {
            self.world.fail(&format!("expected {} {wanted}, found {found}", words[..words.len() - 1].join(" ")));
        }
    }
}

fn name(text: &str) -> CertName {
    text.parse().expect("a certificate's name")
}

fn trap(moment: &str, point: &[&str], what: Blow) -> Trap {
    Trap { after: moment == "after", point: point.join(" "), what }
}

fn target_mood(text: &str) -> TargetMood {
    match text {
        "works" => TargetMood::Works,
        "fails" => TargetMood::Fails,
        "not-running" => TargetMood::NotRunning,
        _ => panic!("target: {text}"),
    }
}

/// A certificate with the given options: `names=x,y`, `canary=1`, `nodes=a,b`, `issuers=ca,spare`, `key=rsa`.
pub fn specification(text: &str, options: &[&str]) -> Specification {
    let option = |key: &str| options.iter().find_map(|option| option.strip_prefix(key)?.strip_prefix('='));
    let list = |key: &str, default: &str| option(key).unwrap_or(default).split(',').map(str::to_owned).collect::<Vec<_>>();
    let nodes = option("nodes").map(|nodes| nodes.split(',').map(|node| node.parse().expect("a pattern")).collect());
    Specification {
        names: list("names", text).iter().map(|name| name.parse().expect("a name")).collect(),
        issuers: list("issuers", "ca").iter().map(|name| name.parse().expect("a name")).collect(),
        challenge: ChallengeType::Http01,
        key: if option("key") == Some("rsa") { KeyType::Rsa2048 } else { KeyType::EcdsaP256 },
        nodes: nodes.unwrap_or_default(),
        deploy: vec![super::fleet::TARGET.parse().expect("a name")],
        rollout: Rollout { canary: option("canary").map_or(0, |count| count.parse().expect("a number")), ..Rollout::default() },
    }
}

/// `90d`, `1h`, `5m`, `10s`, `300ms`.
fn span_of(text: &str) -> Duration {
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

fn signed_seconds(text: &str) -> i64 {
    let span = |text: &str| i64::try_from(span_of(text).as_secs()).expect("a span");
    text.strip_prefix('-').map_or_else(|| span(text.trim_start_matches('+')), |text| -span(text))
}
