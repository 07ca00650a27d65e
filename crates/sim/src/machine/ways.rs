//! A machine's ways to the store and to the CA, and its clock.

use super::Machine;
use crate::link::Weather;

/// How its ways are; a new daemon finds them so.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ways {
    pub store: Weather,
    pub ca: Weather,
}

impl Machine {
    /// Sets how its ways are; what is mended tells that notices were lost.
    pub fn set(&mut self, store: Option<Weather>, ca: Option<Weather>) {
        self.ways = Ways { store: store.unwrap_or(self.ways.store), ca: ca.unwrap_or(self.ways.ca) };
        let ca = self.way_to_ca();
        let Some(life) = &self.life else { return };
        life.ca.set(ca);
        let was_mute = life.store.weather().is_mute();
        life.store.set(self.ways.store);
        if was_mute && !self.ways.store.is_mute() {
            self.site.engine.reset(self.who.as_str());
        }
    }

    /// It has no way to the CA any more, and gets none.
    pub fn shut_in(&mut self) {
        self.is_shut_in = true;
        self.set(None, None);
    }

    /// Whether it has no way to the CA for the whole run.
    pub fn is_shut_in(&self) -> bool {
        self.is_shut_in
    }

    pub(super) fn way_to_ca(&self) -> Weather {
        if self.is_shut_in { Weather::cut() } else { self.ways.ca }
    }

    /// Sets its wall clock so many seconds wrong; from now on it gains so many seconds an hour.
    pub fn set_clock(&self, seconds: i64, gains: i64) {
        self.clock.set(seconds, gains);
    }
}
