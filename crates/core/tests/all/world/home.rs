//! Whether the fleet lives in the store: what `store copy` writes, and that machines read it after everything else.

use certfleet_core::envelope::Expect;
use certfleet_core::key::RecordKey;
use certfleet_core::records::{HomeRecord, HomeState};
use certfleet_core::view::is_kept;

use super::{Found, World};

impl World {
    /// `store copy`, as far as one store sees of it, given on the machine `id`: `arriving`, `here` or `left`. Each departure is a move.
    pub fn set_home(&mut self, state: &str, id: &str) {
        let (node, pen, at) = (self.machine(id).node.clone(), self.machine(id).pen(), self.wall());
        let key = RecordKey::Home.key();
        let before: Option<HomeRecord> = self.store.record(&key);
        let expect = self.store.get(&key).map_or(Expect::Absent, |(_, revision)| Expect::Revision(revision.clone()));
        let (state, step) = match state {
            "arriving" => (HomeState::Arriving, 1),
            "here" => (HomeState::Here, 0),
            "left" => (HomeState::Left, 1),
            _ => self.fail(&format!("home: {state}")),
        };
        let number = before.map_or(0, |home| home.number) + step;
        let home = HomeRecord { number, state, copy: "c1".into(), other: "etcd://db/lab".into(), at, extra: Default::default() };
        let envelope = self.store.put(&key, (&node, &pen), &home, &expect).expect("nobody is in between");
        self.book(&key, &envelope);
        self.announce(&key, "");
    }

    /// As nodes do: whether the fleet still lives here is read after the record, and taken in before it.
    pub(super) fn take_in(&mut self, id: &str, found: &Found) {
        if RecordKey::of(&found.0).is_some_and(|record| is_kept(&record) && record != RecordKey::Home) {
            let home = self.find(&RecordKey::Home.key());
            self.take_in_home(id, &home);
        }
        match found.0 == RecordKey::Home.key() {
            true => self.take_in_home(id, found),
            false => self.take_in_one(id, found),
        }
    }

    /// A machine whose fleet lives here again has missed what was written meanwhile.
    fn take_in_home(&mut self, id: &str, home: &Found) {
        let was_elsewhere = self.is_elsewhere(id);
        self.take_in_one(id, home);
        if was_elsewhere && !self.is_elsewhere(id) {
            self.read_all(id);
        }
    }

    fn is_elsewhere(&mut self, id: &str) -> bool {
        self.machine(id).view.as_ref().is_some_and(|view| view.not_at_home().is_some())
    }
}
