//! `store copy FROM TO`: a running fleet moves from one store to another.
//!
//! Always holds: at most one of the two is the fleet's home. Everything is copied while the fleet runs; then `home` of FROM says that the fleet
//! has left, and nobody takes anything more from there; then what had been written before that is copied too; only then `home` of TO says that
//! the fleet lives there. Whenever the command is cut off, it can be given again.
//! Always holds: what is written over in TO was never newer than what is written. TO is listed first, then it is made sure that this run's word
//! still stands there, then FROM is listed; and each write expects what was listed.

mod pass;
mod places;

use std::collections::BTreeMap;
use std::sync::Arc;

use certfleet_core::envelope::{Envelope, Expect};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::records::{HomeRecord, HomeState};
use certfleet_core::time::Timestamp;
use certfleet_store::{Settled, Store, put_settled, shown_url};

use self::places::Source;
pub use self::places::check_store_url;
use super::super::{Machine, OperatorError, refused};
use super::check::{Problem, check};
use crate::config::{SERVED, Settings};
use crate::crash;
use crate::identity::Identity;
use crate::servers;
use crate::trust::Pen;

/// How often both stores are compared until nothing differs.
const PASSES_MAX: u32 = 20;

/// From where to where.
#[derive(Debug, Clone, Copy)]
pub struct Copying<'a> {
    /// The URL of the store that the fleet lives in.
    pub from: &'a str,
    /// The URL of the store that it is to live in.
    pub to: &'a str,
    /// Gives up a copy that was cut off, instead.
    pub undo: bool,
    /// Now.
    pub at: Timestamp,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copied {
    /// The fleet lives in TO now.
    Moved {
        /// How many records of each kind count there.
        records: BTreeMap<&'static str, usize>,
        /// What stands in FROM and cannot be read, and why.
        left_out: Vec<(Key, String)>,
        /// What `store check` finds in TO.
        problems: Vec<Problem>,
    },
    /// It did already.
    Already,
    /// The copy was given up: it lives in FROM.
    Undone,
}

/// Moves the fleet; `tell` hears how far it is.
pub async fn store_copy(machine: &Machine, how: &Copying<'_>, mut tell: impl FnMut(&str)) -> Result<Copied, OperatorError> {
    let identity = machine.member()?;
    let credentials = servers::credentials(&machine.settings.state, identity);
    let from = certfleet_store::open_with(how.from, Some(&credentials)).await?;
    let settings = |store: &str| Settings { store: store.to_owned(), ..machine.settings.clone() };
    let source = Source::read(from.as_ref(), &settings(how.from), identity, how).await?;
    let to = match how.to.starts_with(SERVED) {
        true => certfleet_store::open_with(how.to, Some(&credentials)).await?,
        false => certfleet_store::open_or_create(how.to).await?,
    };
    places::refuse_the_same(from.as_ref(), to.as_ref()).await?;
    let place = places::destination(to.as_ref(), identity, &source, how).await?;
    let copying = Mover { from, to, pen: Pen::new(identity), identity, at: how.at, shown: (shown_url(how.from), shown_url(how.to)) };
    match place {
        places::Destination::Done => Ok(Copied::Already),
        places::Destination::Free(there) if how.undo => copying.undo(&source, there).await,
        places::Destination::Free(there) => copying.run(&source, there, &settings(how.to), &mut tell).await,
    }
}

struct Mover<'a> {
    from: Arc<dyn Store>,
    to: Arc<dyn Store>,
    pen: Pen,
    identity: &'a Identity,
    at: Timestamp,
    /// Both places, as they may be shown.
    shown: (String, String),
}

/// What this run has said in TO; while it stands there, nobody else copies.
struct Word {
    home: HomeRecord,
    said: Envelope,
    stands: Expect,
}

impl Mover<'_> {
    async fn run(&self, source: &Source, there: Expect, settings: &Settings, tell: &mut impl FnMut(&str)) -> Result<Copied, OperatorError> {
        certfleet_store::probe(self.to.as_ref()).await.or_else(|error| refused(error.to_string(), "choose another store"))?;
        let home = self.home(source, HomeState::Arriving, &self.shown.0)?;
        let word = self.say(self.to.as_ref(), home, &there, "arriving").await?;
        if source.left.is_none() {
            // Most of it is there before anybody has to wait.
            for turn in ["copying", "copying what changed"] {
                self.pass(&word, turn, tell).await?;
            }
        }
        let left = HomeRecord { state: HomeState::Left, other: self.shown.1.clone(), ..word.home.clone() };
        let left = match &source.left {
            Some(said) => said.clone(),
            None => self.say(self.from.as_ref(), left, &source.there, "left").await?.said,
        };
        tell("the nodes stop ordering now");
        let arrived = self.arrive(&word, &left, settings, tell).await;
        arrived.or_else(|error| {
            let refusal = error.in_two_lines();
            let (from, to) = &self.shown;
            refused(
                format!("{}; until the copy has ended the nodes serve what they have and order nothing", refusal.what),
                format!("{}; then give the command again, or with `--undo` to stay in {from} instead of {to}", refusal.remedy),
            )
        })
    }

    /// The second half: nothing that is written to FROM from now on counts.
    async fn arrive(
        &self,
        word: &Word,
        left: &Envelope,
        settings: &Settings,
        tell: &mut impl FnMut(&str),
    ) -> Result<Copied, OperatorError> {
        // Where others may still be shown what stood there before, they are waited for; and so is what they wrote until then.
        tokio::time::sleep(2 * self.from.visibility_delay()).await;
        let mut left_out = Vec::new();
        let mut differing = None;
        for _ in 0..PASSES_MAX {
            let passed = self.pass(word, "copying the rest", tell).await?;
            (left_out, differing) = (passed.left_out, passed.differing);
            if differing.is_none() {
                break;
            }
        }
        if let Some(key) = differing {
            return refused(format!("{key} is changed again and again"), "find out who writes to the stores");
        }
        tell("verifying");
        let checked = check(self.to.list("").await?, self.to.withholds(), settings, self.identity, self.at)?;
        let stands = self.from.get(&RecordKey::Home.key()).await?.is_some_and(|stored| stored.envelope == *left);
        if !stands {
            return refused(
                format!("the word that the fleet has left {} is gone from there", self.shown.0),
                "see that it keeps what is written",
            );
        }
        let here = HomeRecord { state: HomeState::Here, ..word.home.clone() };
        self.say(self.to.as_ref(), here, &word.stands, "here").await?;
        // That the fleet is only arriving is no problem.
        let problems = checked.problems.into_iter().filter(|problem| problem.key != RecordKey::Home.to_string()).collect();
        Ok(Copied::Moved { records: checked.records, left_out, problems })
    }

    /// TO can no more become the fleet's home; then FROM is it again.
    async fn undo(&self, source: &Source, there: Expect) -> Result<Copied, OperatorError> {
        if source.left.is_none() {
            return refused(format!("the fleet lives in {}: there is no copy to give up", self.shown.0), "leave out `--undo` to move it");
        }
        let void = self.home(source, HomeState::Left, &self.shown.0)?;
        let word = self.say(self.to.as_ref(), void, &there, "void").await?;
        let back = HomeRecord { state: HomeState::Here, other: self.shown.1.clone(), ..word.home };
        self.say(self.from.as_ref(), back, &source.there, "back").await?;
        Ok(Copied::Undone)
    }

    fn home(&self, source: &Source, state: HomeState, other: &str) -> Result<HomeRecord, OperatorError> {
        let copy = match &source.copy {
            Some(copy) => copy.clone(),
            None => certfleet_store::fresh_nonce()?.as_str().to_owned(),
        };
        Ok(HomeRecord { number: source.number, state, copy, other: other.to_owned(), at: self.at, extra: Default::default() })
    }

    async fn say(&self, store: &dyn Store, home: HomeRecord, expect: &Expect, point: &str) -> Result<Word, OperatorError> {
        let key = RecordKey::Home;
        let said = self.pen.write(&key, &home, expect)?;
        crash::point("before-copy", point);
        let settled = put_settled(store, &key.key(), &said, expect).await?;
        crash::point("after-copy", point);
        match settled {
            Settled::Done(revision) => Ok(Word { home, said, stands: Expect::Revision(revision) }),
            Settled::Conflict => busy(),
        }
    }
}

fn busy<T>() -> Result<T, OperatorError> {
    refused("another `certfleet store copy` is at work on these stores, or has ended", "see what it says, then give the command again")
}
