//! A store that was lost, or went wrong, is brought back to running daemons, and nothing is issued because of it.

use certfleet_core::key::Key;
use certfleet_node::operator::{Restoring, store_backup, store_check, store_recover, store_restore};

use super::*;

async fn stop_all(nodes: Vec<Node>) -> Vec<Machine> {
    let mut machines = Vec::new();
    for node in nodes {
        machines.push(node.machine.clone());
        node.stop().await;
    }
    machines
}

async fn nothing_is_wrong(machine: &Machine) {
    eventually("the store is sound", LIMIT, || async {
        store_check(machine, Timestamp::now()).await.ok().filter(|checked| checked.problems.is_empty())
    })
    .await;
}

fn lives(lab: &Lab, name: &str) -> Vec<String> {
    (1..=3).map(|node| lab.live(node, name)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_store_is_recovered_and_nothing_is_issued_anew() {
    let name = "lost.example.com".to_owned();
    let Some((lab, nodes)) = Lab::start(std::slice::from_ref(&name)).await else { return };
    all_have(&nodes, &lab, &name, 1).await;
    nothing_is_wrong(&nodes[0].machine).await;
    let served = lives(&lab, &name);
    let machines = stop_all(nodes).await;
    std::fs::remove_dir_all(lab.dir.path().join("store")).expect("was there");
    let mut added = Vec::new();
    for machine in &machines {
        let recovered = store_recover(machine).await.expect("recovers");
        assert!(recovered.left_out.is_empty(), "{recovered:?}");
        added.push(recovered.added);
    }
    // Each node has all of it, but for the wraps of the others.
    let is_own = |key: &Key| key.is_under("wraps");
    assert!(added[0].len() >= 8 && added[1..].iter().flatten().all(is_own), "{added:?}");

    let nodes: Vec<Node> = machines.into_iter().map(start).collect();
    all_have(&nodes, &lab, &name, 1).await;
    nothing_is_wrong(&nodes[2].machine).await;
    assert_eq!((lives(&lab, &name), lab.pebble.issued().len(), lab.pebble.accounts_seen()), (served, 1, 1), "{}", lab.pebble.log());
    renew(&nodes[1].machine, &name.parse().expect("name"), false).await.expect("a renewal can be asked for");
    all_have(&nodes, &lab, &name, 2).await;
    stop_all(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_is_believed_and_its_numbers_are_not_used_again() {
    let name = "restored.example.com".to_owned();
    let Some((lab, nodes)) = Lab::start(std::slice::from_ref(&name)).await else { return };
    let cert: CertName = name.parse().expect("name");
    all_have(&nodes, &lab, &name, 1).await;
    let backup = store_backup(&nodes[0].machine, Timestamp::now()).await.expect("backs up");
    renew(&nodes[1].machine, &cert, false).await.expect("a renewal can be asked for");
    all_have(&nodes, &lab, &name, 2).await;
    let served = lives(&lab, &name);

    let how = Restoring { fleet_key: None, replace: true, force: false, at: Timestamp::now() };
    let running = store_restore(&nodes[0].machine, &backup.text, &how).await.expect_err("daemons run").in_two_lines();
    assert!(running.what.contains("nodes are running: n1, n2, n3"), "{running}");
    let machines = stop_all(nodes).await;
    let restored = store_restore(&machines[0], &backup.text, &how).await.expect("restores");
    assert_eq!((restored.epoch, restored.lost.len()), (1, 1), "{restored:?}");
    let nodes: Vec<Node> = machines.into_iter().map(start).collect();
    for node in &nodes {
        eventually("every node believes the backup", LIMIT, || async {
            let status = node.status().await?;
            let placed = status.certificate(&cert)?.generation?;
            (status.fleet.epoch == 1 && placed.0 == 1).then_some(())
        })
        .await;
    }
    assert_eq!((lives(&lab, &name), lab.pebble.issued().len()), (served, 2), "what is installed stays, and nothing is issued");
    renew(&nodes[2].machine, &cert, false).await.expect("a renewal can be asked for");
    all_have(&nodes, &lab, &name, 3).await;
    assert_eq!((lab.pebble.issued().len(), lab.pebble.accounts_seen()), (3, 1), "{}", lab.pebble.log());
    nothing_is_wrong(&nodes[0].machine).await;
    stop_all(nodes).await;
}
