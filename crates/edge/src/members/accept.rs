//! The accept loop of the listener for nodes. As the others', but that a connection moves from one crowd into another when it turns out to be
//! a member's.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use certfleet_core::trust::VerifyingKey;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::{sleep, timeout};

use super::talk::{Hall, talk};
use crate::bind::{Bound, Socket};
use crate::crowd::{Crowd, Peer};
use crate::limits::{ACCEPT_REST_MS, Limits, STOP_MS_MAX};
use crate::serve::{Client, ListenerHandle, accept, is_of_the_client, told};

/// How many greetings may wait for the loop.
const GREETINGS_MAX: usize = 256;

/// A connection that is a member's.
pub(super) struct Greeting {
    pub(super) task: Id,
    pub(super) key: VerifyingKey,
}

pub(super) fn serve(bound: Bound, hall: Hall) -> ListenerHandle {
    let (stop, stopped) = watch::channel(false);
    let Bound { address, socket, file } = bound;
    let (greet, greetings) = mpsc::channel(GREETINGS_MAX);
    let of_members =
        Limits { connections_max: hall.limits.members_max, connections_per_peer_max: hall.limits.per_member_max, ..hall.limits.strangers };
    let accepting = Accepting {
        strangers: Crowd::new(hall.limits.strangers),
        members: Crowd::new(of_members),
        hall: Arc::new(hall),
        stopped,
        greet,
        tasks: JoinSet::new(),
        is_starved: false,
    };
    let task = tokio::spawn(accepting.run(socket, greetings, address.to_string()));
    ListenerHandle::new(address, stop, task, file)
}

struct Accepting {
    hall: Arc<Hall>,
    stopped: watch::Receiver<bool>,
    greet: mpsc::Sender<Greeting>,
    strangers: Crowd<Id, AbortHandle>,
    members: Crowd<Id, AbortHandle>,
    tasks: JoinSet<()>,
    is_starved: bool,
}

impl Accepting {
    async fn run(mut self, socket: Socket, mut greetings: mpsc::Receiver<Greeting>, address: String) {
        let mut stopped = self.stopped.clone();
        loop {
            tokio::select! {
                biased;
                () = told(&mut stopped) => break,
                Some(ended) = self.tasks.join_next_with_id() => self.forget(ended.map_or_else(|e| e.id(), |(id, ())| id)),
                Some(greeting) = greetings.recv() => self.welcome(&greeting),
                accepted = accept(&socket) => match accepted {
                    Ok(client) => self.take_in(client),
                    Err(error) => self.rest_after(&error, &address).await,
                },
            }
        }
        drop(socket);
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(Duration::from_millis(STOP_MS_MAX), all_ended).await.is_err() {
            self.tasks.shutdown().await;
        }
    }

    fn forget(&mut self, task: Id) {
        self.strangers.remove(task);
        self.members.remove(task);
    }

    fn take_in(&mut self, (client, peer): (Client, Peer)) {
        self.is_starved = false;
        if let Some(oldest) = self.strangers.make_room(peer) {
            oldest.abort();
        }
        let (hall, greet, stopped) = (self.hall.clone(), self.greet.clone(), self.stopped.clone());
        let task = match client {
            Client::Tcp(stream) => {
                // Small answers are not kept back; where that cannot be had they are only slower.
                let _ = stream.set_nodelay(true);
                self.tasks.spawn(talk(stream, hall, greet, stopped))
            }
            Client::Unix(stream) => self.tasks.spawn(talk(stream, hall, greet, stopped)),
        };
        self.strangers.add(task.id(), peer, task);
    }

    /// Counts it among the members from now on, unless it has been pushed out meanwhile.
    fn welcome(&mut self, greeting: &Greeting) {
        let Some(handle) = self.strangers.remove(greeting.task) else { return };
        let peer = Peer::Member(greeting.key);
        if let Some(oldest) = self.members.make_room(peer) {
            oldest.abort();
        }
        self.members.add(greeting.task, peer, handle);
    }

    /// When descriptors or memory have run out the oldest connection of a stranger is closed, and `accept` rests.
    async fn rest_after(&mut self, error: &io::Error, address: &str) {
        if is_of_the_client(error) {
            return;
        }
        if !self.is_starved {
            tracing::warn!(%address, %error, "connections cannot be accepted for now; old ones are closed to make room");
            self.is_starved = true;
        }
        if let Some(oldest) = self.strangers.take_oldest() {
            oldest.abort();
        }
        sleep(Duration::from_millis(ACCEPT_REST_MS)).await;
    }
}
