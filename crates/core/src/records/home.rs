//! The record that says whether a fleet lives in the store that holds it.

use serde::{Deserialize, Serialize};

use super::Extra;
use crate::time::Timestamp;

/// `home`: whether the fleet lives in this store. Written by `store copy` alone; a store without it holds a fleet that never moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomeRecord {
    /// How often the fleet has moved, this move included. A store that says a lower number than a node has seen is one that the fleet has left.
    pub number: u64,
    /// What this store is to the fleet.
    pub state: HomeState,
    /// Drawn for the move; the same in both stores.
    pub copy: String,
    /// The other store, as it is shown to people: no password.
    pub other: String,
    /// When.
    pub at: Timestamp,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}

/// What a store is to the fleet that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HomeState {
    /// The fleet lives here; it came from the other store.
    Here,
    /// The fleet has moved to the other store.
    Left,
    /// It is being copied to this store from the other one.
    Arriving,
}
