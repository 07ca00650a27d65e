//! Generations: forth, back, and a canary first.

use certfleet_core::names::NodeName;
use certfleet_core::rank;
use certfleet_core::records::TargetState;
use certfleet_node::keeper::Keeper;
use certfleet_node::status::{CertificateState, CertificateStatus};

use crate::fleet::{Config, Fleet, Lab};

const NAME: &str = "rollout.example.com";

/// The generations in a node's state directory.
fn kept(fleet: &Fleet, n: u8) -> Vec<u64> {
    let name = NAME.parse().expect("a name");
    Keeper::new(&fleet.dir(n).join("state")).generations(&name).into_iter().map(|(generation, _)| generation.0).collect()
}

fn serves(generation: u64) -> impl Fn(&CertificateStatus) -> bool {
    move |status| {
        let mut nodes = status.nodes.iter();
        status.generation.is_some_and(|g| g.0 == generation) && nodes.all(|node| node.generation.is_some_and(|g| g.0 == generation))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_goes_back_and_forth() {
    let Some(mut fleet) = Fleet::plain(2, NAME).await else { return };
    fleet.start_all();
    let mut leaves = vec![fleet.all_have(NAME, 1, 1).await];
    for generation in 2..=4 {
        fleet.certfleet(1, &["renew", NAME]).await.worked();
        leaves.push(fleet.all_have(NAME, generation as u64, generation).await);
    }
    for n in [1, 2] {
        assert_eq!(kept(&fleet, n), [2, 3, 4]);
    }

    fleet.certfleet(2, &["rollout", "back", NAME]).await.worked();
    let back = fleet.sees(1, NAME, "generation 3 again", serves(3)).await;
    assert!([1, 2].iter().all(|n| fleet.live(*n, NAME).as_ref() == Some(&leaves[2])));
    assert!(back.attempt.is_none() && back.next_try_at.is_some(), "a renewal waits: {back:?}");
    assert_eq!(fleet.lab.pebble.issued().len(), 4);

    // Older than what the nodes keep: it comes from the store.
    fleet.certfleet(2, &["rollout", "back", NAME, "--to", "1"]).await.worked();
    fleet.sees(1, NAME, "generation 1 again", serves(1)).await;
    assert!([1, 2].iter().all(|n| fleet.live(*n, NAME).as_ref() == Some(&leaves[0])));
    fleet.certfleet(2, &["rollout", "back", NAME, "--to", "4"]).await.worked();
    fleet.sees(1, NAME, "generation 4 again", serves(4)).await;

    let none = fleet.certfleet(1, &["rollout", "back", NAME, "--to", "9"]).await;
    assert!(none.code == Some(1) && none.stderr.contains("generation 9"), "{none:?}");
    fleet.certfleet(1, &["renew", NAME]).await.worked();
    fleet.all_have(NAME, 5, 5).await;
    let history = fleet.certfleet(1, &["history", NAME]).await.worked();
    assert!(history.contains("went back"), "{history}");
}

/// The node that goes first.
fn canary(fleet: &Fleet) -> u8 {
    let names: Vec<NodeName> = fleet.numbers().map(|n| fleet.name(n)).collect();
    fleet.number(rank::order(&format!("canary/{NAME}"), &names)[0])
}

async fn with_canary() -> Option<Fleet> {
    let lab = Lab::new(3, |_| {}).await?;
    let mut config = Config::plain(NAME);
    config.certificates[0].lines = "rollout = { canary = 1, on_failure = \"halt\" }".into();
    for n in 1..=3 {
        config.overlays.insert(n, format!("deploy.plain.check = [\"test\", \"!\", \"-e\", \"{{lab}}/n{n}/broken\"]"));
    }
    let mut fleet = Fleet::with(lab, config, 3).await;
    fleet.start_all();
    fleet.all_have(NAME, 1, 1).await;
    Some(fleet)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_canary_halts_the_others_until_told_to_go_on() {
    let Some(fleet) = with_canary().await else { return };
    let canary = canary(&fleet);
    let others: Vec<u8> = fleet.numbers().filter(|n| *n != canary).collect();
    let first = fleet.live(canary, NAME);
    std::fs::write(fleet.dir(canary).join("broken"), "").expect("writes");
    fleet.certfleet(1, &["renew", NAME]).await.worked();
    for n in fleet.numbers() {
        fleet.sees(n, NAME, "halted", |status| status.state == CertificateState::Halted).await;
    }
    assert!(fleet.numbers().all(|n| fleet.live(n, NAME) == first), "everybody serves the first generation");

    fleet.certfleet(1, &["rollout", "resume", NAME]).await.worked();
    fleet.have(others, NAME, 2).await;
    assert_eq!(fleet.live(canary, NAME), first);
    let status = fleet.certificate(1, NAME).await.expect("status");
    let of_canary = status.nodes.iter().find(|node| node.node == fleet.name(canary)).expect("it is placed there");
    assert_eq!(of_canary.targets[0].state, TargetState::Failed);

    std::fs::remove_file(fleet.dir(canary).join("broken")).expect("it is there");
    fleet.all_have(NAME, 2, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_canary_lets_the_others_follow() {
    let Some(fleet) = with_canary().await else { return };
    fleet.certfleet(1, &["renew", NAME]).await.worked();
    fleet.all_have(NAME, 2, 2).await;
}
