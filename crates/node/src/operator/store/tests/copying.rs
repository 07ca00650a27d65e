//! `store copy`: into what it may go, what stands there afterwards, back again, and given up.

use certfleet_core::records::{HomeRecord, HomeState};

use super::*;

struct Places {
    lab: Lab,
    from: String,
    to: String,
}

async fn places() -> Places {
    let lab = Lab::new().await;
    lab.issue("n1", 1).await;
    let from = lab.machine("n1").settings.store;
    let to = format!("file://{}/other", lab.dir.path().display());
    Places { lab, from, to }
}

impl Places {
    async fn copy(&self, node: &str, from: &str, to: &str) -> Result<Copied, String> {
        let how = Copying { from, to, undo: false, at: now() };
        store_copy(&self.lab.machine(node), &how, |_| {}).await.map_err(|error| error.in_two_lines().to_string())
    }

    async fn undo(&self) -> Result<Copied, String> {
        let how = Copying { from: &self.from, to: &self.to, undo: true, at: now() };
        store_copy(&self.lab.machine("n1"), &how, |_| {}).await.map_err(|error| error.in_two_lines().to_string())
    }

    async fn moves(&self, from: &str, to: &str) {
        let copied = self.copy("n1", from, to).await.expect("copies");
        let Copied::Moved { records, left_out, problems } = copied else { panic!("{copied:?}") };
        assert_eq!((left_out, problems, records["certs"]), (Vec::new(), Vec::new(), 1));
        assert_eq!(records_of(from).await, records_of(to).await, "but for `home`");
    }

    async fn refused(&self, from: &str, to: &str, why: &str) {
        let refusal = self.copy("n1", from, to).await.expect_err("is refused");
        assert!(refusal.contains(why), "{refusal}");
    }

    /// Writes `home` as an earlier run would have left it.
    async fn set(&self, store: &str, change: impl FnOnce(&mut HomeRecord)) {
        let store = certfleet_store::open(store).await.expect("opens");
        let key = RecordKey::Home;
        let stored = store.get(&key.key()).await.expect("reads").expect("is there");
        let mut home: HomeRecord = stored.envelope.record().expect("reads");
        change(&mut home);
        let expect = Expect::Revision(stored.revision);
        let envelope = Pen::new(&self.lab.identity("n1")).write(&key, &home, &expect).expect("signs");
        store.put(&key.key(), &envelope, &expect).await.expect("writes");
    }
}

async fn listing(store: &str) -> Vec<(Key, Envelope)> {
    let store = certfleet_store::open(store).await.expect("opens");
    let Listing { entries, unreadable } = store.list("").await.expect("lists");
    assert_eq!(unreadable, []);
    entries.into_iter().map(|(key, stored)| (key, stored.envelope)).collect()
}

async fn records_of(store: &str) -> Vec<(Key, Envelope)> {
    listing(store).await.into_iter().filter(|(key, _)| *key != RecordKey::Home.key()).collect()
}

async fn home(store: &str) -> Option<(HomeState, u64)> {
    let all = listing(store).await;
    let said = all.iter().find(|(key, _)| *key == RecordKey::Home.key())?;
    let home: HomeRecord = said.1.record().expect("reads");
    Some((home.state, home.number))
}

#[tokio::test]
async fn a_fleet_moves_with_every_record_as_it_was_signed_and_back() {
    let places = places().await;
    let (from, to) = (places.from.as_str(), places.to.as_str());
    places.moves(from, to).await;
    assert_eq!((home(from).await, home(to).await), (Some((HomeState::Left, 1)), Some((HomeState::Here, 1))));
    assert_eq!(places.copy("n1", from, to).await, Ok(Copied::Already));
    // What changed there meanwhile is there afterwards, and what is gone is gone.
    let place = certfleet_store::open(to).await.expect("opens");
    let joining = RecordKey::Joining(name("n3")).key();
    let there = place.get(&joining).await.expect("reads").expect("was copied");
    certfleet_store::delete_settled(place.as_ref(), &joining, &there.revision).await.expect("deletes");
    places.moves(to, from).await;
    assert_eq!((home(from).await, home(to).await), (Some((HomeState::Here, 2)), Some((HomeState::Left, 2))));
    places.moves(from, to).await;
    assert_eq!((home(from).await, home(to).await), (Some((HomeState::Left, 3)), Some((HomeState::Here, 3))));
}

#[tokio::test]
async fn commands_change_nothing_in_a_store_that_the_fleet_has_left() {
    let places = places().await;
    places.moves(&places.from, &places.to).await;
    let machine = places.lab.machine("n1");
    let before = listing(&places.from).await;
    for refusal in [
        machine.standing().await.map(drop).expect_err("left").in_two_lines().to_string(),
        super::super::super::renew(&machine, &cert(), false).await.map(drop).expect_err("left").in_two_lines().to_string(),
    ] {
        assert!(refusal.contains("this fleet has moved to file:///") && refusal.contains("set `store`"), "{refusal}");
    }
    assert_eq!(listing(&places.from).await, before);
    let status = machine.status().await.expect("reads").0;
    assert!(status.troubles.iter().any(|trouble| trouble.contains("has moved to")), "{:?}", status.troubles);
    let problems = places.lab.check("n1").await;
    assert!(matches!(&problems[..], [Problem { key, .. }] if key == "home"), "{problems:?}");
}

#[tokio::test]
async fn what_holds_something_is_refused() {
    let places = places().await;
    let (from, to) = (places.from.as_str(), places.to.as_str());
    places.refused(from, from, "both are the same store").await;
    let alias = from.replacen("/store", "/./store", 1);
    places.refused(from, &alias, "both are the same store").await;
    let refusal = places.copy("n3", from, to).await.expect_err("n3 only deploys");
    assert!(refusal.contains("n3 was not granted the role issue"), "{refusal}");
    assert!(home(from).await.is_none() && !places.lab.dir.path().join("other").exists(), "nothing was written");

    let other = Lab::new().await;
    places.refused(from, &other.machine("n1").settings.store, "the store holds fleet prod").await;
    let stranger = format!("file://{}/stranger", places.lab.dir.path().display());
    let place = certfleet_store::open_or_create(&stranger).await.expect("opens");
    let some = places.lab.get(&cert_key()).await.expect("is there");
    place.put(&"later/thing".parse().expect("key"), &some, &Expect::Absent).await.expect("writes");
    places.refused(from, &stranger, "is not empty: it holds later/thing").await;
    // The same fleet, and nothing that says that it is not at home there.
    let copied = format!("file://{}/copied", places.lab.dir.path().display());
    let place = certfleet_store::open_or_create(&copied).await.expect("opens");
    for (key, envelope) in records_of(from).await {
        place.put(&key, &envelope, &Expect::Absent).await.expect("writes");
    }
    places.refused(from, &copied, "holds this fleet already, and nothing says that the fleet has left it").await;
    places.moves(from, to).await;
    places.refused(from, &copied, "the fleet has moved from").await;
    places.refused(&copied, to, "holds this fleet already: it moved there").await;
}

#[tokio::test]
async fn a_copy_that_was_cut_off_goes_on_or_is_given_up() {
    let places = places().await;
    let (from, to) = (places.from.as_str(), places.to.as_str());
    let refusal = places.undo().await.expect_err("nothing to give up");
    assert!(refusal.contains("there is no copy to give up"), "{refusal}");
    places.moves(from, to).await;
    // As it is after the fleet has left and before it has arrived.
    places.set(to, |home| home.state = HomeState::Arriving).await;
    let place = certfleet_store::open(to).await.expect("opens");
    let there = place.get(&cert_key()).await.expect("reads").expect("was copied");
    certfleet_store::delete_settled(place.as_ref(), &cert_key(), &there.revision).await.expect("deletes");
    places.refused(to, from, "has not ended").await;
    places.moves(from, to).await;
    places.set(to, |home| home.state = HomeState::Arriving).await;
    assert_eq!(places.undo().await, Ok(Copied::Undone));
    assert_eq!((home(from).await, home(to).await), (Some((HomeState::Here, 1)), Some((HomeState::Left, 1))));
    places.lab.machine("n1").standing().await.expect("it is at home there again");
    places.moves(from, to).await;
    assert_eq!((home(from).await, home(to).await), (Some((HomeState::Left, 2)), Some((HomeState::Here, 2))));
}

#[tokio::test]
async fn what_is_filled_after_a_move_is_the_fleets_home() {
    let places = places().await;
    places.moves(&places.from, &places.to).await;
    // The new store is lost before anybody has used it, and a backup of the old one restored there.
    let backup = places.lab.backup().await;
    let restored = places.lab.restore("n2", &backup, over(Some(&places.lab.key_file()))).await.expect("restores");
    assert!(restored.written.contains(&RecordKey::Home.key()), "{restored:?}");
    assert_eq!(home(&places.from).await, Some((HomeState::Here, 1)));
    places.lab.machine("n1").standing().await.expect("the fleet lives there");
}
