//! The CA of the run: it answers after fixed times, issues what is asked for, counts, and limits what it grants as Let's Encrypt does.
//!
//! Deliberately not here: how a real one behaves otherwise; the simulator's [`Ca`](crate::ca::Ca) does that.

use std::collections::BTreeMap;
use std::time::Duration;

use certfleet_core::ca::{Authorization, AuthorizationStatus, CaError, Challenge, OrderStatus, OrderView, Problem};
use certfleet_core::decide::Call;
use certfleet_core::names::{Fingerprint, Identifier, SpkiHash};
use certfleet_core::spec::ChallengeType;
use certfleet_core::time::later;
use certfleet_core::view::CaReply;
use certfleet_core::x509::Leaf;

use super::fleet::at;
use crate::ca::{Grants, Limit, Limits};

/// What a call takes.
pub const CALL: Duration = Duration::from_millis(200);
/// What validation takes, from the first challenge that is ready.
const VALIDATION: Duration = Duration::from_millis(1500);
/// What issuing takes, from the request.
const ISSUANCE: Duration = Duration::from_millis(1000);
/// Let's Encrypt's limits are not scaled.
const REAL_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
/// The only account.
const ACCOUNT: &str = "https://ca/account/1";

/// The CA.
#[derive(Debug)]
pub struct Ca {
    life: Duration,
    limits: Limits,
    orders: BTreeMap<String, Order>,
    /// Orders that were placed.
    pub placed: u64,
    /// Orders that were refused, by what was exceeded.
    pub refused: BTreeMap<Limit, u64>,
    /// All requests.
    pub requests: u64,
    /// Most requests within one second.
    pub busiest_second: u64,
    second: (u64, u64),
}

#[derive(Debug)]
struct Order {
    names: Vec<Identifier>,
    ready_at: Option<Duration>,
    request: Option<(SpkiHash, Duration)>,
}

impl Ca {
    /// A CA whose certificates live so long.
    pub fn new(life: Duration) -> Self {
        let (limits, (orders, refused)) = (Limits::new(Grants::Scaled(REAL_LIFE)), Default::default());
        Self { life, limits, orders, placed: 0, refused, requests: 0, busiest_second: 0, second: (0, 0) }
    }

    /// These names have had a certificate.
    pub fn knows(&mut self, names: &[Identifier]) {
        self.limits.had(names);
    }

    /// What it answers.
    pub fn call(&mut self, call: Call, now: Duration) -> Result<CaReply, CaError> {
        self.count(now);
        match call {
            Call::NewOrder(names, _) => self.new_order(names, now),
            Call::Look(url) => self.look(&url, now).map(CaReply::Order),
            Call::Ready(challenges) => {
                for challenge in &challenges {
                    let order = self.order(challenge.trim_end_matches("/challenge"))?;
                    order.ready_at.get_or_insert(now + VALIDATION);
                }
                Ok(CaReply::Told(challenges))
            }
            Call::Finalize(url, csr) => {
                let key = std::str::from_utf8(&csr).ok().and_then(|text| text.parse().ok());
                let key = key.ok_or_else(|| refused("badCSR", "not a request of this run"))?;
                self.order(&url)?.request.get_or_insert((key, now + ISSUANCE));
                Ok(CaReply::Finalized)
            }
            Call::Fetch(url) => self.issue(&url, now),
        }
    }

    /// A request that is no attempt's.
    pub fn count(&mut self, now: Duration) {
        self.requests += 1;
        self.second = if self.second.0 == now.as_secs() { (now.as_secs(), self.second.1 + 1) } else { (now.as_secs(), 1) };
        self.busiest_second = self.busiest_second.max(self.second.1);
    }

    fn new_order(&mut self, names: Vec<Identifier>, now: Duration) -> Result<CaReply, CaError> {
        if let Err(refusal) = self.limits.order(ACCOUNT, &names, now) {
            *self.refused.entry(refusal.limit).or_default() += 1;
            return Err(refusal.into());
        }
        self.placed += 1;
        let url = format!("https://ca/order/{}", self.placed);
        self.orders.insert(url.clone(), Order { names, ready_at: None, request: None });
        self.look(&url, now).map(CaReply::Order)
    }

    fn order(&mut self, url: &str) -> Result<&mut Order, CaError> {
        self.orders.get_mut(url).ok_or_else(|| refused("malformed", "no such order"))
    }

    fn look(&mut self, url: &str, now: Duration) -> Result<OrderView, CaError> {
        let order = self.order(url)?;
        let status = match (&order.request, order.ready_at) {
            (Some((_, issued_at)), _) if *issued_at <= now => OrderStatus::Valid,
            (Some(_), _) => OrderStatus::Processing,
            (None, Some(ready_at)) if ready_at <= now => OrderStatus::Ready,
            (None, _) => OrderStatus::Pending,
        };
        let authorization = |name: &Identifier| {
            let told = order.ready_at.is_some();
            let status = if told { AuthorizationStatus::Processing } else { AuthorizationStatus::Pending };
            let (url, token) = (format!("{url}/challenge"), "t".into());
            let challenge = Challenge { kind: Some(ChallengeType::Http01), url, token, status, error: None };
            Authorization { identifier: name.clone(), status: AuthorizationStatus::Pending, challenges: vec![challenge] }
        };
        let pending = order.names.iter().filter(|_| status == OrderStatus::Pending);
        let authorizations = pending.map(authorization).collect();
        Ok(OrderView { url: url.to_owned(), status, authorizations, error: None, expires: None, retry_after: None })
    }

    fn issue(&mut self, url: &str, now: Duration) -> Result<CaReply, CaError> {
        let order = self.orders.remove(url).ok_or_else(|| refused("malformed", "no such order"))?;
        let Some((key, _)) = order.request.filter(|(_, issued_at)| *issued_at <= now) else {
            return Err(refused("orderNotReady", "it is not issued"));
        };
        self.limits.issued(&order.names, now);
        let not_before = at(now).wall;
        let fingerprint = Fingerprint::of(url.as_bytes());
        let serial = fingerprint.as_str()[..36].to_owned();
        let leaf =
            Leaf { names: order.names, serial, not_before, not_after: later(not_before, self.life), key, fingerprint, self_signed: false };
        Ok(CaReply::Chain(Box::new(leaf), "a chain".into()))
    }
}

fn refused(kind: &str, detail: &str) -> CaError {
    CaError::Refused(Problem::new(kind, detail, Some(400)))
}
