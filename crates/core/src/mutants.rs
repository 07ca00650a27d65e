//! Deliberate bugs, for the proof that those who check the product can fail: the simulator puts one in and must notice.
//!
//! Always holds: a release build has none of them. A development build has one only on a thread that asked for it in its own code
//! ([`with`]); nothing outside the program can ask.

#[cfg(debug_assertions)]
use std::cell::Cell;

macro_rules! mutants {
    ($($(#[doc = $doc:literal])+ $mutant:ident = $name:literal,)+) => {
        /// A deliberate bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mutant {
            $($(#[doc = $doc])+ $mutant,)+
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$mutant),+];

            /// Its name, as in the documents.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$mutant => $name,)+
                }
            }

            /// What it breaks.
            pub fn breaks(self) -> &'static str {
                match self {
                    $(Self::$mutant => concat!($($doc),+).trim_ascii(),)+
                }
            }
        }
    };
}

mutants! {
    /// A new attempt gets the last attempt's number.
    ReuseNumber = "reuse-number",
    /// A record does not remember the number that an attempt took.
    ForgetNumber = "forget-number",
    /// An attempt runs by the node's own configuration, whatever the record says.
    OwnNames = "own-names",
    /// A changed specification is taken up by one node alone.
    AdoptAlone = "adopt-alone",
    /// Every holder counts as alive for ever, also one that is paused, killed or another life.
    NeverTakeOver = "never-take-over",
    /// A holder is judged by the wall clocks of two machines.
    CompareWallClocks = "compare-wall-clocks",
    /// After a pause of its own a node judges a holder by what it saw before.
    NeverReread = "never-reread",
    /// An attempt in `Finalizing` ends because the CA is silent.
    EndInFinalizing = "end-in-finalizing",
    /// Who finds an attempt whose holder is gone ends it instead of going on with it.
    GiveUpOthers = "give-up-others",
    /// An attempt whose CA is silent is dropped instead of set aside.
    ForgetSetAside = "forget-set-aside",
    /// The leaf's key is not compared with the attempt's: another's order is taken for one's own.
    SkipLeafKey = "skip-leaf-key",
    /// The order's URL is not written into the record.
    ForgetOrder = "forget-order",
    /// The CSR is handed in before the record says so.
    FinalizeUnannounced = "finalize-unannounced",
    /// The pause after a failed attempt is not kept.
    IgnoreBackoff = "ignore-backoff",
    /// The moment until which the CA put an attempt off is not kept.
    IgnorePutOff = "ignore-put-off",
    /// Nothing is ever renewed.
    NeverRenew = "never-renew",
    /// Everything is always due.
    AlwaysRenew = "always-renew",
    /// The clock is not compared with the CA's.
    TrustOwnClock = "trust-own-clock",
    /// What nothing refers to is removed at once instead of after a day.
    CollectAtOnce = "collect-at-once",
    /// Nobody waits for a canary.
    IgnoreCanary = "ignore-canary",
    /// Every node makes an account key of its own.
    RemakeAccountKey = "remake-account-key",
    /// A CA that could not be reached once is never asked again.
    BarForever = "bar-forever",
    /// Only a node that holds an attempt answers challenges.
    AnswerOnlyAsHolder = "answer-only-as-holder",
    /// The key of an attempt is not stored.
    KeyNotStored = "key-not-stored",
    /// A key that is one node's own gets into the store.
    OwnKeyInStore = "own-key-in-store",
    /// A generation is placed before its chain is stored.
    VersionNotStored = "version-not-stored",
    /// The expectation of every compare-and-swap is whatever stands there.
    DropExpectation = "drop-expectation",
    /// A write whose answer was lost counts as done, without looking (a file store that links and does not list).
    LinkWithoutListing = "link-without-listing",
    /// A failed reload is reported as verified.
    FailedIsVerified = "failed-is-verified",
    /// Who was removed goes on as if it had not been.
    IgnoreRemoval = "ignore-removal",
    /// A node goes on though another process beats in its name.
    IgnoreClone = "ignore-clone",
    /// What a compromised node could read stays in use.
    KeepExposed = "keep-exposed",
    /// An unsigned record is believed, or one that somebody else signed.
    TrustUnsigned = "trust-unsigned",
    /// An older record than one that was seen is believed.
    TrustOlder = "trust-older",
    /// A record is believed whatever the roles of the member that wrote it.
    TrustAnyMember = "trust-any-member",
    /// A node forgets with its process which numbers, placements and records it has seen.
    ForgetMemory = "forget-memory",
    /// A node that came later than a key gets no wrap of it.
    NoLateWrap = "no-late-wrap",
    /// A node that serves its store shows every member all of it.
    ShowAll = "show-all",
}

#[cfg(debug_assertions)]
thread_local! {
    static ON: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// Whether this thread has that bug.
#[cfg(debug_assertions)]
pub fn has(mutant: Mutant) -> bool {
    ON.get() == Some(mutant)
}

/// Whether this thread has any.
#[cfg(debug_assertions)]
pub fn has_any() -> bool {
    ON.get().is_some()
}

/// No release build has one.
#[cfg(not(debug_assertions))]
pub const fn has_any() -> bool {
    false
}

/// No release build has this one.
#[cfg(not(debug_assertions))]
pub const fn has(_: Mutant) -> bool {
    false
}

/// Does some work with a bug, on this thread.
#[cfg(debug_assertions)]
pub fn with<T>(mutant: Mutant, work: impl FnOnce() -> T) -> T {
    ON.set(Some(mutant));
    let done = work();
    ON.set(None);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_asks_has_a_bug() {
        assert!(!has(Mutant::ReuseNumber));
        with(Mutant::ReuseNumber, || {
            assert!(has(Mutant::ReuseNumber) && !has(Mutant::ForgetNumber));
            let elsewhere = std::thread::spawn(|| has(Mutant::ReuseNumber));
            assert!(!elsewhere.join().expect("it does not panic"));
        });
        assert!(Mutant::ALL.iter().all(|mutant| !has(*mutant)));
    }
}
