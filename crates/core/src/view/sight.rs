//! Who asks, what a member sees of a store that this node serves, and what another node does not show this one.

use super::View;
use crate::key::RecordKey;
use crate::names::NodeName;
use crate::spec::Role;
use crate::trust::{Sight, VerifyingKey};

/// Whose key it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A member's.
    Member(NodeName),
    /// That of a machine that was removed.
    Removed(NodeName),
    /// Nobody's that the fleet knows.
    Stranger,
}

impl View {
    /// Whose key it is.
    pub fn who(&self, key: &VerifyingKey) -> Who {
        let member = self.roster.members.iter().find(|(_, member)| member.signing_key == *key);
        if let Some((node, _)) = member {
            return Who::Member(node.clone());
        }
        let removed = self.nodes.values().find(|record| record.signing_key == *key && self.is_removed(&record.name));
        removed.map_or(Who::Stranger, |record| Who::Removed(record.name.clone()))
    }

    /// What a member sees of the store; none if it is no member.
    pub fn sight(&self, node: &NodeName) -> Option<Sight> {
        let granted = self.roster.members.get(node)?.granted.clone();
        let mut sight = Sight { node: node.clone(), granted, certs: Default::default(), keys: Default::default() };
        if sight.is_whole() || !sight.granted.contains(&Role::Deploy) {
            return Some(sight);
        }
        for (cert, record) in self.certs.iter().map(|(cert, seen)| (cert, &seen.value)).filter(|(_, record)| record.spec.is_placed_on(node))
        {
            sight.certs.insert(cert.clone());
            let attempts = record.attempt.iter().chain(&record.set_aside).map(|attempt| &attempt.key);
            sight.keys.extend(attempts.chain(record.placed.iter().map(|placed| &placed.key)).cloned());
        }
        Some(sight)
    }

    /// Whether a record that was here and is absent may be hidden by whoever serves the store. A certificate's is not while this node's own
    /// configuration places it here: then both agree that it is this node's business.
    pub fn is_withheld(&self, record: &RecordKey) -> bool {
        let Some(mut sight) = self.local.withholds.then(|| self.sight(&self.me.node)).flatten() else { return false };
        if sight.granted.contains(&Role::Deploy) {
            let here = self.wanted.iter().filter(|(_, spec)| spec.is_placed_on(&self.me.node));
            sight.certs = here.map(|(cert, _)| cert.clone()).collect();
        }
        !sight.shows(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Envelope, Expect, Nonce};
    use crate::key::Key;
    use crate::records::CertRecord;
    use crate::samples::{at, cert, name, record, seen, view};
    use crate::view::Taken;

    /// Node `a` with the role `deploy` alone, whose store is served by another; `cert()` is known.
    fn worker() -> (View, Key) {
        let mut view = view();
        view.local.withholds = true;
        view.local.beaten_at = Some((at(0).mono, crate::samples::presence("a", 1)));
        view.roster.members.get_mut(&name::<NodeName>("a")).expect("a member").granted = [Role::Deploy].into();
        view.nodes.get_mut(&name::<NodeName>("a")).expect("a member").granted = [Role::Deploy].into();
        let key = RecordKey::Cert(cert()).key();
        let envelope = Envelope::new(name("b"), Nonce::from_random([1; 16]), &record()).expect("wraps").following(&Expect::Absent);
        assert_eq!(view.recall(&key, &envelope, at(0).mono), Taken::New);
        (view, key)
    }

    #[test]
    fn a_certificate_that_is_placed_elsewhere_is_no_trouble_when_it_is_hidden() {
        let (mut view, key) = worker();
        view.spec.certificates.values_mut().for_each(|spec| spec.nodes = vec!["b".parse().expect("a pattern")]);
        view.expand();
        view.apply(&key, None, at(1).mono);
        assert!(view.strays.is_empty() && !view.certs.contains_key(&cert()) && !view.accepted.contains_key(&key));
        assert!(crate::decide::decide(&view, at(2), 0).troubles.is_empty());
    }

    #[test]
    fn one_that_is_placed_here_is_missed() {
        let (mut view, key) = worker();
        view.apply(&key, None, at(1).mono);
        assert!(view.strays.contains_key(&key) && view.certs.contains_key(&cert()), "what is served stays");
        let troubles = crate::decide::decide(&view, at(2), 0).troubles;
        assert!(troubles.iter().any(|trouble| trouble.starts_with("certs/")), "{troubles:?}");
    }

    #[test]
    fn a_store_that_shows_everything_loses_nothing_unseen() {
        let (mut view, key) = worker();
        view.local.withholds = false;
        view.spec.certificates.values_mut().for_each(|spec| spec.nodes = vec!["b".parse().expect("a pattern")]);
        view.expand();
        view.apply(&key, None, at(1).mono);
        assert!(view.strays.contains_key(&key));
    }

    #[test]
    fn keys_tell_who_asks() {
        let mut view = view();
        let key = |node: &str| crate::samples::signing_key(node).verifying_key();
        assert_eq!((view.who(&key("b")), view.who(&key("x"))), (Who::Member(name("b")), Who::Stranger));
        view.roster.members.remove(&name::<NodeName>("b"));
        assert_eq!((view.who(&key("b")), view.sight(&name("b"))), (Who::Removed(name("b")), None));
    }

    #[test]
    fn who_issues_sees_all_and_who_deploys_what_is_placed_there() {
        let mut view = view();
        let elsewhere =
            CertRecord { spec: crate::spec::Specification { nodes: vec!["b".parse().expect("pattern")], ..record().spec }, ..record() };
        view.certs.insert(cert(), seen(CertRecord { placed: Some(crate::samples::placed(1, 1)), ..record() }, 0, 0));
        view.certs.insert(name("other.example.com"), seen(elsewhere, 0, 0));
        assert!(view.sight(&name("a")).is_some_and(|sight| sight.is_whole()));
        view.roster.members.get_mut(&name::<NodeName>("a")).expect("a member").granted = [Role::Deploy].into();
        let sight = view.sight(&name("a")).expect("a member");
        assert_eq!((sight.certs.len(), sight.keys.len()), (1, 1));
        assert!(sight.shows(&RecordKey::Cert(cert())) && !sight.shows(&RecordKey::Cert(name("other.example.com"))));
    }
}
