//! The log: what happens in the world, in lines that a person can read and judge.

use std::collections::BTreeMap;

use certfleet_core::decide::{Action, Call, Event, Plan};
use certfleet_core::names::CertName;
use certfleet_core::records::{AttemptEnd, CertRecord};

use super::World;

/// How often in a row an attempt's hindrances are told.
const TOLD_HINDRANCES: u32 = 8;

impl World {
    pub fn say(&mut self, who: &str, what: &str) {
        let ms = self.elapsed().as_millis();
        let (days, ms) = (ms / 86_400_000, ms % 86_400_000);
        let day = if days > 0 { format!("{days}d ") } else { String::new() };
        let clock = format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
        self.log.push_str(&format!("{day}{clock} {who:<3} {what}\n"));
    }

    /// What people would want to read of a plan: troubles and waits that are new.
    pub(super) fn narrate(&mut self, id: &str, plan: &Plan) {
        let machine = self.machine(id);
        let passing = |why: &str| {
            why.contains("goes first") || why.contains("put off by") || why.contains("is compared") || why.contains("being registered")
        };
        let news: Vec<String> = plan.troubles.iter().filter(|why| !machine.troubles.contains(why)).cloned().collect();
        let waits: BTreeMap<CertName, String> = plan.waits.clone().into_iter().filter(|(_, why)| !passing(why)).collect();
        let new_waits: Vec<String> = waits
            .iter()
            .filter(|(cert, why)| machine.waits.get(*cert) != Some(*why))
            .map(|(cert, why)| format!("waits with {cert}: {why}"))
            .collect();
        machine.waits = waits;
        machine.troubles = plan.troubles.iter().cloned().collect();
        for why in news {
            self.say(id, &format!("trouble: {why}"));
        }
        for why in new_waits {
            // What several wait for in the same words is told once.
            let moment = self.elapsed().as_secs();
            if self.last_words.insert((String::new(), why.clone()), moment.to_string()).is_none() {
                self.say(id, &why);
            }
        }
    }

    pub(super) fn tell_write(&mut self, id: &str, cert: &CertName, record: &CertRecord, event: Event, done: bool) {
        let ended = record.history.last().map(|entry| entry.number).filter(|_| event == Event::AsideEnded);
        let number = ended.or(record.attempt.as_ref().map(|attempt| attempt.number)).unwrap_or(record.last_number);
        let attempt = record.attempt.as_ref();
        // What goes on for weeks in the same way is told a few times only.
        let often = attempt.is_some_and(|attempt| attempt.hindered > TOLD_HINDRANCES);
        if often && matches!(event, Event::PutOff | Event::TakenOver | Event::Released) {
            return;
        }
        let refused = if done { "" } else { ": refused, another was faster" };
        let problem = attempt.and_then(|attempt| attempt.problem.as_ref()).filter(|_| event == Event::PutOff);
        let until = attempt.and_then(|attempt| attempt.not_before).zip(problem);
        let until = until.map(|(stamp, problem)| format!(" until {stamp:.0} ({problem})")).unwrap_or_default();
        let end = record.history.last().filter(|_| event == Event::Failed).map(|entry| &entry.end);
        let why = if let Some(AttemptEnd::Failed { problem }) = end { format!(" ({problem})") } else { String::new() };
        self.say(id, &format!("write certs/{cert}: {} attempt {number}{until}{why}{refused}", event.name()));
    }

    /// Looks that bring no news are passed over.
    pub(super) fn tell_call(&mut self, id: &str, call: &Call, said: &str) {
        let order = order_of(call);
        let news = self.last_words.insert((id.to_owned(), order.to_owned()), said.to_owned()).is_none_or(|before| before != said);
        if news || !matches!(call, Call::Look(_)) {
            self.say(id, &format!("call {} {order}: {said}", call.name()).replace(" : ", ": "));
        }
    }
}

/// The name of the moment, for traps.
pub(super) fn point(action: &Action) -> String {
    match action {
        Action::Beat(..) => "beat".into(),
        Action::CreateAccountKey(..) => "create-account-key".into(),
        Action::Register(..) => "register".into(),
        Action::CheckClock(_) => "check-clock".into(),
        Action::Reread(..) => "reread".into(),
        Action::MakeKey(..) => "make-key".into(),
        Action::Write(_, _, _, event) => format!("write {}", event.name()),
        Action::Call(_, _, _, call) => format!("call {}", call.name()),
        Action::StoreVersion(..) => "store-version".into(),
        Action::Install(..) => "install".into(),
        Action::StandIn(..) => "stand-in".into(),
        Action::Report(..) => "report".into(),
        Action::LookThrough => "look through".into(),
        Action::Remove(_) => "remove".into(),
        Action::PrepareAccountKey(..) => "prepare-account-key".into(),
        Action::RollAccount(..) => "roll-account".into(),
        Action::Request(..) => "request".into(),
        Action::Wrap(_) => "wrap".into(),
        Action::Record(record, ..) => format!("record {}", record.to_string().split('/').next().unwrap_or_default()),
        Action::PutBack(..) => "put-back".into(),
        Action::LetIn(..) => "let-in".into(),
    }
}

fn order_of(call: &Call) -> &str {
    match call {
        Call::NewOrder(..) => "",
        Call::Look(order) | Call::Finalize(order, _) | Call::Fetch(order) => order,
        Call::Ready(urls) => urls.first().and_then(|url| url.split_once('#')).map_or("", |(order, _)| order),
    }
}
