//! The list of deliberate bugs, and who must catch each. The bugs themselves are in the product's code, in development builds alone
//! (`certfleet_core::mutants`).

use certfleet_core::mutants::Mutant;

/// Who must catch a mutant, and within how many seeds, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Catch {
    /// Which.
    pub mutant: Mutant,
    /// Any of these checkers, as a violation begins with its name.
    pub by: &'static [&'static str],
    /// How many seeds it may take.
    pub seeds: u64,
}

const fn catch(mutant: Mutant, by: &'static [&'static str], seeds: u64) -> Catch {
    Catch { mutant, by, seeds }
}

/// All of them.
pub const CATCHES: &[Catch] = &[
    catch(Mutant::ReuseNumber, &["records"], 2),
    catch(Mutant::ForgetNumber, &["records"], 2),
    catch(Mutant::OwnNames, &["thrift"], 60),
    catch(Mutant::AdoptAlone, &["agreement"], 40),
    catch(Mutant::NeverTakeOver, &["rest"], 20),
    catch(Mutant::CompareWallClocks, &["holders"], 20),
    catch(Mutant::NeverReread, &["holders"], 120),
    catch(Mutant::EndInFinalizing, &["records"], 250),
    catch(Mutant::GiveUpOthers, &["records"], 60),
    catch(Mutant::ForgetSetAside, &["records"], 250),
    catch(Mutant::SkipLeafKey, &["records"], 5),
    catch(Mutant::ForgetOrder, &["records"], 2),
    catch(Mutant::FinalizeUnannounced, &["issuance"], 5),
    catch(Mutant::IgnoreBackoff, &["thrift"], 20),
    catch(Mutant::IgnorePutOff, &["thrift"], 120),
    catch(Mutant::NeverRenew, &["rest"], 60),
    catch(Mutant::AlwaysRenew, &["thrift"], 3),
    catch(Mutant::TrustOwnClock, &["thrift"], 60),
    catch(Mutant::CollectAtOnce, &["blobs"], 60),
    catch(Mutant::IgnoreCanary, &["rollout"], 200),
    catch(Mutant::RemakeAccountKey, &["accounts"], 3),
    catch(Mutant::BarForever, &["rest"], 60),
    catch(Mutant::AnswerOnlyAsHolder, &["rest"], 10),
    catch(Mutant::KeyNotStored, &["issuance"], 3),
    catch(Mutant::OwnKeyInStore, &["issuance"], 5),
    catch(Mutant::VersionNotStored, &["blobs"], 3),
    catch(Mutant::DropExpectation, &["accounts", "records"], 10),
    catch(Mutant::LinkWithoutListing, &["issuance", "records"], 300),
    catch(Mutant::FailedIsVerified, &["blobs"], 60),
    catch(Mutant::IgnoreRemoval, &["fenced", "storms"], 60),
    catch(Mutant::IgnoreClone, &["storms"], 60),
    catch(Mutant::KeepExposed, &["rest"], 60),
    catch(Mutant::TrustUnsigned, &["forged"], 120),
    catch(Mutant::TrustOlder, &["records"], 120),
    catch(Mutant::TrustAnyMember, &["forged"], 250),
    catch(Mutant::ForgetMemory, &["accounts", "records"], 120),
    catch(Mutant::NoLateWrap, &["late"], 60),
    catch(Mutant::ShowAll, &["withheld"], 120),
];

impl Catch {
    /// Its line in the documents.
    pub fn line(&self) -> String {
        let by: Vec<String> = self.by.iter().map(|by| format!("`{by}`")).collect();
        format!("| `{}` | {} | {} | {} |", self.mutant.name(), self.mutant.breaks(), by.join(", "), self.seeds)
    }

    /// The first seed with which a checker that should catches it, and what that says.
    #[cfg(debug_assertions)]
    pub fn first(&self) -> Option<crate::Report> {
        let reports = (0..self.seeds).map(|seed| certfleet_core::mutants::with(self.mutant, || crate::run(seed)));
        reports.into_iter().find(|report| report.checker().is_some_and(|checker| self.by.contains(&checker)))
    }
}
