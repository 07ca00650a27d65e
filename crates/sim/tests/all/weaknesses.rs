//! The simulated engines are as weak as the real ones, and no weaker.

use std::sync::Arc;
use std::time::Duration;

use certfleet_core::envelope::{Envelope, Expect, Nonce, Revision};
use certfleet_core::key::Key;
use certfleet_sim::engine::{Engine, Kind, Line, Nature};
use certfleet_sim::gate::{Gate, Process};
use certfleet_store::{Put, Store, StoreError};
use tokio::time::sleep;

use super::engine::lines;

const SECOND: Duration = Duration::from_secs(1);

fn key() -> Key {
    "certs/a".parse().expect("a key")
}

fn value(n: u8) -> Envelope {
    Envelope::new("n1".parse().expect("a name"), Nonce::from_random([n; 16]), &n).expect("plain JSON")
}

async fn write(line: &Line, n: u8, expect: &Expect) -> Revision {
    match line.put(&key(), &value(n), expect).await.expect("the store is there") {
        Put::Done(revision) => revision,
        other => panic!("{other:?}"),
    }
}

async fn read(line: &Line) -> Option<u8> {
    line.get(&key()).await.expect("the store is there").map(|stored| stored.envelope.record().expect("a number"))
}

async fn listed(line: &Line) -> usize {
    line.list("certs").await.expect("the store is there").entries.len()
}

fn nature(kind: Kind) -> Nature {
    Nature { kind, ..Nature::default() }
}

#[tokio::test(start_paused = true)]
async fn a_fail_over_loses_the_last_writes_and_nothing_else() {
    let (engine, one, other) = lines(nature(Kind::Redis));
    let first = write(&one, 1, &Expect::Absent).await;
    sleep(2 * SECOND).await;
    let second = write(&one, 2, &Expect::Revision(first.clone())).await;
    assert_eq!(engine.fail_over(SECOND), [key()]);
    assert_eq!(read(&other).await, Some(1));
    let refused = one.put(&key(), &value(3), &Expect::Revision(second.clone())).await;
    assert_eq!(refused, Ok(Put::Conflict), "who goes by a lost value is refused");
    let again = write(&other, 4, &Expect::Revision(first)).await;
    assert_eq!(again.engine, second.engine, "numbers come again");
}

#[tokio::test(start_paused = true)]
async fn a_mount_shows_the_old_for_its_time_but_never_to_who_wrote() {
    let cache = 5 * SECOND;
    let (_, one, other) = lines(Nature { cache, ..nature(Kind::Nfs) });
    assert_eq!((read(&other).await, listed(&other).await), (None, 0));
    sleep(SECOND).await;
    let first = write(&one, 1, &Expect::Absent).await;
    assert_eq!((read(&one).await, listed(&one).await), (Some(1), 1));
    assert_eq!((read(&other).await, listed(&other).await), (None, 0));
    let blind = other.put(&key(), &value(9), &Expect::Absent).await;
    assert_eq!(blind, Ok(Put::Conflict), "a stale read costs a conflict");
    assert_eq!(read(&other).await, Some(1), "and who was refused has looked");
    sleep(SECOND).await;
    write(&one, 2, &Expect::Revision(first)).await;
    assert_eq!(read(&other).await, Some(1));
    sleep(cache).await;
    assert_eq!(read(&other).await, Some(2));
    assert_eq!(other.visibility_delay(), cache);
}

#[tokio::test(start_paused = true)]
async fn without_a_leader_nothing_is_read_and_no_write_is_answered() {
    let (engine, one, _) = lines(nature(Kind::Etcd));
    let mut expect = Expect::Revision(write(&one, 1, &Expect::Absent).await);
    let (mut done, mut not) = (0, 0);
    for n in 2..40 {
        engine.tear(SECOND);
        assert!(matches!(one.get(&key()).await, Err(StoreError::Away { .. })));
        engine.tear(SECOND);
        let answer = one.put(&key(), &value(n), &expect).await;
        assert!(matches!(answer, Ok(Put::Unknown(_)) | Err(StoreError::Away { .. })), "{answer:?}");
        sleep(2 * SECOND).await;
        let took_place = read(&one).await == Some(n);
        assert!(!(took_place && answer.is_err()), "what is said to be away did not take place");
        (done, not) = (done + i32::from(took_place), not + i32::from(!took_place));
        expect = one.get(&key()).await.expect("it is back").map_or(Expect::Absent, |stored| Expect::Revision(stored.revision));
    }
    assert!(done > 0 && not > 0, "{done} took place, {not} did not");
}

#[tokio::test(start_paused = true)]
async fn what_a_machine_carries_is_gone_with_it() {
    let (engine, one, other): (Arc<Engine>, _, _) = lines(nature(Kind::Central));
    let gate = Gate::default();
    engine.carried_by("one", &gate);
    write(&other, 1, &Expect::Absent).await;
    gate.set(Process::StandsStill);
    assert!(matches!(other.get(&key()).await, Err(StoreError::Away { .. })));
    gate.set(Process::Runs);
    assert_eq!(read(&other).await, Some(1));
    gate.set(Process::Gone);
    assert!(matches!(other.get(&key()).await, Err(StoreError::Away { .. })));
    assert_eq!(read(&one).await, Some(1));
}
