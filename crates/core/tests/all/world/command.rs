//! The language of the stories: one command a line, carried out in order; only `run` and `live` (which suspends nobody) let time
//! pass.

use std::collections::BTreeMap;

use certfleet_core::names::{CertName, Identifier, SpkiHash};
use certfleet_core::spec::{Specification, all_roles};

use super::fleet::configuration;
use super::words::{invitation, name, roles_of, signed_seconds, span_of, specification, store_key, target_mood, trap, yes_or_no};
use super::{Blow, World};

/// A story being told.
pub struct Story {
    pub world: World,
    /// What a machine that joins is configured with.
    certificates: BTreeMap<CertName, Specification>,
    issuers: Vec<String>,
    /// What `expect` is about if it does not say `of`.
    first: Option<CertName>,
    /// What `note key` saw.
    noted: Option<SpkiHash>,
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
        Self { world: World::new(seed), certificates: BTreeMap::new(), issuers: vec!["ca".into()], first: None, noted: None }
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
        let members = self.world.members().len();
        let serving = self.world.serving(&cert);
        let served = serving == self.world.verified_by(&cert) && self.world.up().len() >= members;
        as_configured && record.attempt.is_none() && served && self.world.is_safe().is_ok()
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
            ["note", "key"] => self.noted = self.placed_key(&self.main()),
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
            ["renew", cert, "new-key"] => {
                world.operate(&name(cert), |record, _, now| certfleet_core::decide::request_renewal(record, true, now))
            }
            ["renew", cert] => world.operate(&name(cert), |record, _, now| certfleet_core::decide::request_renewal(record, false, now)),
            ["rollout", "resume", cert] => world.operate(&name(cert), |record, _, _| certfleet_core::decide::resume_rollout(record)),
            ["rollout", "back", cert, "to", number] => world.go_back(&name(cert), number.parse().expect("a number")),
            ["store", "save"] => world.backup = world.store.clone(),
            ["store", "restore"] => {
                let backup = world.backup.clone();
                world.change_store(|store| store.restore(&backup));
            }
            ["store", "restore", "epoch"] => world.restore(),
            ["store", "wipe"] => world.change_store(super::store::FakeStore::wipe),
            _ => self.trust(words),
        }
    }

    /// What is about who is in, and about strangers who write to the store.
    fn trust(&mut self, words: &[&str]) {
        let world = &mut self.world;
        match words {
            ["invite", token, options @ ..] => world.invite(token, invitation(options)),
            ["come", id, "with", token] => self.come(id, id, token),
            ["come", id, "as", node, "with", token] => self.come(id, node, token),
            ["remove", id] => world.remove(id, false),
            ["remove", id, "unvouched"] => world.remove_alone(id, false),
            ["remove", id, "compromised"] => world.remove(id, true),
            ["rotate", "account"] => world.rotate_account(),
            ["slow", who, prefix, span] => {
                let slow = ((*prefix).to_owned(), span_of(span));
                self.each(who, |world, id| world.machine(id).slow.push(slow.clone()));
            }
            ["home", state, "by", id] => world.set_home(state, id),
            ["break", "wrap", "of", text, "for", node] => world.break_wrap(&name(text), node),
            ["forge", key, "unsigned", fields @ ..] => {
                let fields = self.fields(fields);
                self.world.forge(&store_key(key), None, &fields);
            }
            ["forge", key, "by", id, fields @ ..] => {
                let fields = self.fields(fields);
                self.world.forge(&store_key(key), Some(id), &fields);
            }
            ["replay", key, number] => world.replay(&store_key(key), number.parse().expect("a number")),
            ["swap", one, other] => world.swap(&store_key(one), &store_key(other)),
            ["store", "spoil", key] => world.spoil(&store_key(key)),
            ["store", "delete", key] => world.delete(&store_key(key)),
            _ => world.fail(&format!("cannot read the story's line: {}", words.join(" "))),
        }
    }

    /// `b`, or `b=deploy+answer`.
    fn join(&mut self, text: &str) {
        let spec = configuration(self.certificates.clone(), &self.issuers);
        let (id, roles) = text.split_once('=').map_or((text, all_roles()), |(id, roles)| (id, roles_of(roles)));
        self.world.join(id, roles, spec);
    }

    /// A field's value may name the key in use.
    fn fields(&self, fields: &[&str]) -> Vec<String> {
        let key = self.first.as_ref().and_then(|cert| self.placed_key(cert)).map(|key| key.to_string()).unwrap_or_default();
        fields.iter().map(|field| field.replace("SPKI", &key)).collect()
    }

    fn come(&mut self, id: &str, node: &str, token: &str) {
        let spec = configuration(self.certificates.clone(), &self.issuers);
        self.world.come(id, node, token, spec);
    }

    fn placed_key(&self, cert: &CertName) -> Option<SpkiHash> {
        Some(self.world.cert_record(cert)?.placed?.key)
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
            ["members", _] => self.world.members().join(","),
            ["member", id, _] => yes_or_no(self.world.is_member(id)),
            ["opens", id, _] => yes_or_no(self.placed_key(&cert).is_some_and(|key| self.world.can_open(id, &key))),
            ["key", _] => {
                if self.placed_key(&cert) == self.noted {
                    "same".into()
                } else {
                    "other".into()
                }
            }
            ["certificates", _] => self.world.certificates().join(","),
            ["account", _] => self.world.account_in_use(),
            ["rolled", _] => self.world.is_rolled(),
            ["safe", _] => self.world.is_safe().map_or_else(|why| why, |()| "yes".to_owned()),
            _ => self.world.fail(&format!("expect: {words:?}")),
        };
        let wanted = words.last().copied().unwrap_or_default();
        let wanted = if words[0] == "verified" && wanted == "all" { self.world.serving(&cert).join(",") } else { wanted.to_owned() };
        self.world.check_served();
        if self.world.missing_keys() > 0 {
            self.world.fail("a private key that a record names is not in the store");
        }
        if found != wanted {
            self.world.fail(&format!("expected {} {wanted}, found {found}", words[..words.len() - 1].join(" ")));
        }
    }
}
