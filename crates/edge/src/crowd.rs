//! Who is connected, oldest first, and who has to go when a newcomer needs room. A value; closing connections is the caller's.
//!
//! Always holds: never more than `connections_max` in all and `connections_per_peer_max` of one peer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};

use certfleet_core::trust::VerifyingKey;

use crate::limits::Limits;

/// Whom a connection is counted for: an IPv4 address, an IPv6 /64 (one customer's network), nobody on a Unix socket, or a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Peer {
    Address(IpAddr),
    Local,
    Member(VerifyingKey),
}

impl Peer {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
            v4 => v4,
        })
    }
}

/// The connections of one listener, by the caller's `id` for each, with what it needs to close one.
#[derive(Debug)]
pub(crate) struct Crowd<I, C> {
    limits: Limits,
    arrivals: u64,
    by_age: BTreeMap<u64, (I, Peer, C)>,
    by_id: HashMap<I, u64>,
    by_peer: HashMap<Peer, BTreeSet<u64>>,
}

impl<I: Copy + Eq + Hash, C> Crowd<I, C> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, arrivals: 0, by_age: BTreeMap::new(), by_id: HashMap::new(), by_peer: HashMap::new() }
    }

    /// Takes one out if another of `peer` would be too many: that peer's oldest, else the oldest of all.
    pub(crate) fn make_room(&mut self, peer: Peer) -> Option<C> {
        let of_peer =
            self.by_peer.get(&peer).filter(|ages| peer != Peer::Local && ages.len() >= self.limits.connections_per_peer_max.max(1));
        match of_peer.and_then(|ages| ages.first().copied()) {
            Some(age) => self.take(age),
            None if self.by_age.len() >= self.limits.connections_max.max(1) => self.take_oldest(),
            None => None,
        }
    }

    pub(crate) fn take_oldest(&mut self) -> Option<C> {
        let age = *self.by_age.first_key_value()?.0;
        self.take(age)
    }

    pub(crate) fn add(&mut self, id: I, peer: Peer, close: C) {
        let age = self.arrivals;
        self.arrivals += 1;
        self.by_age.insert(age, (id, peer, close));
        self.by_id.insert(id, age);
        self.by_peer.entry(peer).or_default().insert(age);
    }

    /// Forgets one that has ended; nothing happens if it was taken out.
    pub(crate) fn remove(&mut self, id: I) -> Option<C> {
        let age = self.by_id.get(&id).copied()?;
        self.take(age)
    }

    fn take(&mut self, age: u64) -> Option<C> {
        let (id, peer, close) = self.by_age.remove(&age)?;
        self.by_id.remove(&id);
        if let Some(ages) = self.by_peer.get_mut(&peer) {
            ages.remove(&age);
            if ages.is_empty() {
                self.by_peer.remove(&peer);
            }
        }
        Some(close)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(all: usize, per_peer: usize) -> Crowd<u32, u32> {
        Crowd::new(Limits { connections_max: all, connections_per_peer_max: per_peer, ..Limits::default() })
    }

    fn peer(text: &str) -> Peer {
        Peer::of(text.parse().unwrap())
    }

    fn arrive(crowd: &mut Crowd<u32, u32>, id: u32, peer: Peer) -> Option<u32> {
        let gone = crowd.make_room(peer);
        crowd.add(id, peer, id);
        gone
    }

    #[test]
    fn a_peer_pushes_out_its_own() {
        let mut crowd = crowd(10, 2);
        assert_eq!(arrive(&mut crowd, 1, peer("192.0.2.1")), None);
        assert_eq!(arrive(&mut crowd, 2, peer("192.0.2.2")), None);
        assert_eq!(arrive(&mut crowd, 3, peer("192.0.2.2")), None);
        assert_eq!(arrive(&mut crowd, 4, peer("::ffff:192.0.2.2")), Some(2));
        assert_eq!(arrive(&mut crowd, 5, peer("192.0.2.2")), Some(3));
    }

    #[test]
    fn the_oldest_of_all_goes_when_it_is_full() {
        let mut crowd = crowd(3, 3);
        for id in 1..=3 {
            assert_eq!(arrive(&mut crowd, id, Peer::of(IpAddr::from([192, 0, 2, id as u8]))), None);
        }
        crowd.remove(1);
        assert_eq!(arrive(&mut crowd, 4, peer("192.0.2.9")), None);
        assert_eq!(arrive(&mut crowd, 5, peer("192.0.2.10")), Some(2));
    }

    #[test]
    fn one_network_is_one_peer_and_local_ones_are_not_counted() {
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:1"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        let mut crowd = crowd(3, 1);
        assert_eq!((1..=3).find_map(|id| arrive(&mut crowd, id, Peer::Local)), None);
        assert_eq!(arrive(&mut crowd, 4, Peer::Local), Some(1));
    }

    #[test]
    fn nothing_is_left_behind() {
        let mut crowd = crowd(8, 4);
        for id in 0..10_000 {
            arrive(&mut crowd, id, Peer::of(IpAddr::from(id.to_be_bytes())));
            if id % 3 == 0 {
                crowd.remove(id);
            }
        }
        while crowd.take_oldest().is_some() {}
        assert!(crowd.by_age.is_empty() && crowd.by_id.is_empty() && crowd.by_peer.is_empty());
    }
}
