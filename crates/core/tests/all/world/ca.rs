//! A CA that follows a script: orders go from pending to valid with delays, and its moods can be set.

use std::collections::BTreeMap;
use std::time::Duration;

use certfleet_core::ca::{Authorization, AuthorizationStatus, CaError, Challenge, OrderStatus, OrderView, Problem};
use certfleet_core::decide::Call;
use certfleet_core::names::{Fingerprint, Identifier, SpkiHash};
use certfleet_core::spec::ChallengeType;
use certfleet_core::time::{Timestamp, later};
use certfleet_core::view::CaReply;
use certfleet_core::x509::Leaf;

const VALIDATION: Duration = Duration::from_millis(400);
const ISSUANCE: Duration = Duration::from_millis(300);
const ORDER_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A certificate that left the CA.
#[derive(Debug, Clone)]
pub struct Issued {
    pub order: String,
    pub key: SpkiHash,
    pub leaf: Leaf,
}

#[derive(Debug, Clone)]
struct Order {
    account: String,
    names: Vec<Identifier>,
    status: OrderStatus,
    created: Duration,
    told: Option<Duration>,
    fails: bool,
    finalized: Option<(Duration, SpkiHash)>,
    leaf: Option<Leaf>,
}

/// What the CA does to those who ask.
#[derive(Debug, Clone, Default)]
pub struct Mood {
    /// Validations fail.
    pub fails: bool,
    /// Answers 503, with this Retry-After.
    pub busy: Option<Option<Duration>>,
    /// Orders stay in `processing`.
    pub silent: bool,
    /// Nobody reaches it.
    pub down: bool,
    /// Another client of the same account finalizes the next order that becomes ready.
    pub outsider: bool,
    /// Takes no CSR.
    pub picky: bool,
    /// Knows no order any more.
    pub forgetful: bool,
}

/// The CA.
#[derive(Debug, Clone)]
pub struct FakeCa {
    pub mood: Mood,
    pub lifetime: Duration,
    pub issued: Vec<Issued>,
    pub orders_made: usize,
    /// What the fleet answers challenges with.
    pub answering: String,
    name: String,
    orders: BTreeMap<String, Order>,
    /// The accounts, and the thumbprint of each one's key.
    accounts: BTreeMap<String, String>,
}

impl FakeCa {
    pub fn new(name: &str) -> Self {
        let lifetime = Duration::from_secs(90 * 24 * 3600);
        let (answering, name) = (String::new(), name.to_owned());
        let (orders, accounts) = (BTreeMap::new(), BTreeMap::new());
        Self { mood: Mood::default(), lifetime, issued: Vec::new(), orders_made: 0, answering, name, orders, accounts }
    }

    /// Whether the order has come to its end.
    pub fn is_over(&mut self, url: &str, t: Duration, wall: Timestamp) -> bool {
        self.advance(url, t, wall);
        self.orders.get(url).is_none_or(|order| matches!(order.status, OrderStatus::Valid | OrderStatus::Invalid))
    }

    /// The account of a key; made if there is none (RFC 8555 section 7.3).
    pub fn register(&mut self, thumbprint: &str) -> String {
        let known = self.accounts.iter().find(|(_, key)| *key == thumbprint).map(|(url, _)| url.clone());
        known.unwrap_or_else(|| {
            let url = format!("{}/account/{}", self.name, self.accounts.len() + 1);
            self.accounts.insert(url.clone(), thumbprint.to_owned());
            url
        })
    }

    /// An account gets another key (RFC 8555 section 7.3.5); once more does no harm.
    pub fn roll(&mut self, url: &str, old: &str, new: &str) -> Result<(), CaError> {
        match self.accounts.get_mut(url) {
            Some(key) if *key == old || *key == new => {
                new.clone_into(key);
                Ok(())
            }
            _ => Err(not_its_key()),
        }
    }

    /// Whose key an account has.
    pub fn key_of(&self, url: &str) -> Option<&str> {
        self.accounts.get(url).map(String::as_str)
    }

    /// Answers one call of the account with this URL, signed with the key of this thumbprint, at true time `t`.
    pub fn answer(&mut self, (url, thumbprint): (&str, &str), call: &Call, t: Duration, wall: Timestamp) -> Result<CaReply, CaError> {
        if self.mood.down {
            return Err(CaError::Unreachable("connection refused".into()));
        }
        if self.key_of(url) != Some(thumbprint) {
            return Err(not_its_key());
        }
        if let Some(retry_after) = self.mood.busy {
            return Err(CaError::Busy { problem: Problem::new("rateLimited", "too many requests", Some(503)), retry_after });
        }
        match call {
            Call::NewOrder(names, _) => Ok(CaReply::Order(self.new_order(url, names, t, wall))),
            Call::Look(url) => self.look(url, t, wall).map(CaReply::Order),
            Call::Ready(urls) => self.ready(urls, t, wall),
            Call::Finalize(url, csr) => self.finalize(url, csr, t, wall),
            Call::Fetch(url) => self.fetch(url, t, wall),
        }
    }

    fn new_order(&mut self, account: &str, names: &[Identifier], t: Duration, wall: Timestamp) -> OrderView {
        let urls: Vec<String> = self.orders.keys().cloned().collect();
        urls.iter().for_each(|url| self.advance(url, t, wall));
        let open = |order: &Order| {
            order.account == account && order.names == names && matches!(order.status, OrderStatus::Pending | OrderStatus::Ready)
        };
        if let Some((url, order)) = self.orders.iter().find(|(_, order)| open(order)) {
            return show(url, order);
        }
        self.orders_made += 1;
        let url = format!("{}/order/{}", self.name, self.orders_made);
        let status = OrderStatus::Pending;
        let account = account.to_owned();
        let order = Order { account, names: names.to_vec(), status, created: t, told: None, fails: false, finalized: None, leaf: None };
        let shown = show(&url, &order);
        self.orders.insert(url, order);
        shown
    }

    fn known(&mut self, url: &str, t: Duration, wall: Timestamp) -> Result<&mut Order, CaError> {
        self.advance(url, t, wall);
        let missing = || CaError::NotFound(Problem::new("malformed", "no such order", Some(404)));
        if self.mood.forgetful { Err(missing()) } else { self.orders.get_mut(url).ok_or_else(missing) }
    }

    fn look(&mut self, url: &str, t: Duration, wall: Timestamp) -> Result<OrderView, CaError> {
        self.known(url, t, wall).map(|order| show(url, order))
    }

    fn ready(&mut self, challenges: &[String], t: Duration, wall: Timestamp) -> Result<CaReply, CaError> {
        let fails = self.mood.fails;
        for challenge in challenges {
            let url = challenge.split_once('#').map_or("", |(url, _)| url);
            let order = self.known(url, t, wall)?;
            if order.status != OrderStatus::Pending {
                return Err(CaError::Refused(Problem::new("malformed", "the challenge is not pending", Some(400))));
            }
            order.told.get_or_insert(t);
            order.fails = fails;
        }
        Ok(CaReply::Told(challenges.to_vec()))
    }

    fn finalize(&mut self, url: &str, csr: &[u8], t: Duration, wall: Timestamp) -> Result<CaReply, CaError> {
        let is_picky = self.mood.picky;
        let order = self.known(url, t, wall)?;
        if order.status != OrderStatus::Ready {
            return Err(CaError::Refused(Problem::new("orderNotReady", "the order is not ready", Some(403))));
        }
        let (key, names) = read_csr(csr);
        if is_picky || names != order.names {
            return Err(CaError::Refused(Problem::new("badCSR", "the CSR cannot be used", Some(400))));
        }
        order.status = OrderStatus::Processing;
        order.finalized = Some((t, key));
        Ok(CaReply::Finalized)
    }

    fn fetch(&mut self, url: &str, t: Duration, wall: Timestamp) -> Result<CaReply, CaError> {
        let leaf = self.known(url, t, wall)?.leaf.clone();
        let leaf = leaf.ok_or_else(|| CaError::Refused(Problem::new("orderNotReady", "there is no certificate yet", Some(403))))?;
        let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", leaf.serial);
        Ok(CaReply::Chain(Box::new(leaf), pem))
    }

    fn advance(&mut self, url: &str, t: Duration, wall: Timestamp) {
        let Some(order) = self.orders.get_mut(url) else { return };
        if order.status == OrderStatus::Pending && order.told.is_some_and(|told| t >= told + VALIDATION) {
            let is_answered = self.accounts.get(&order.account) == Some(&self.answering);
            order.fails |= !is_answered;
            order.status = if order.fails { OrderStatus::Invalid } else { OrderStatus::Ready };
        }
        if order.status == OrderStatus::Ready && std::mem::take(&mut self.mood.outsider) {
            order.status = OrderStatus::Processing;
            order.finalized = Some((t, SpkiHash::of(b"an outsider's key")));
        }
        if matches!(order.status, OrderStatus::Pending | OrderStatus::Ready) && t > order.created + ORDER_LIFE {
            order.status = OrderStatus::Invalid;
        }
        let Some((at, key)) = order.finalized.clone() else { return };
        if order.status == OrderStatus::Processing && !self.mood.silent && t >= at + ISSUANCE {
            let leaf = leaf(&self.name, self.issued.len(), &order.names, &key, wall, self.lifetime);
            order.status = OrderStatus::Valid;
            order.leaf = Some(leaf.clone());
            self.issued.push(Issued { order: url.to_owned(), key, leaf });
        }
    }
}

fn not_its_key() -> CaError {
    CaError::Refused(Problem::new("malformed", "JWS verification error", Some(400)))
}

/// A made-up certificate signing request: the key's hash and the names.
pub fn write_csr(key: &SpkiHash, names: &[Identifier]) -> Vec<u8> {
    serde_json::to_vec(&(key, names)).expect("serialises")
}

fn read_csr(csr: &[u8]) -> (SpkiHash, Vec<Identifier>) {
    serde_json::from_slice(csr).expect("is one of ours")
}

fn leaf(ca: &str, count: usize, names: &[Identifier], key: &SpkiHash, wall: Timestamp, lifetime: Duration) -> Leaf {
    let serial = format!("{:04x}", count + 1);
    Leaf {
        names: names.to_vec(),
        not_before: wall,
        not_after: later(wall, lifetime),
        key: key.clone(),
        fingerprint: Fingerprint::of(format!("{ca}/{serial}").as_bytes()),
        serial,
        self_signed: false,
    }
}

fn show(url: &str, order: &Order) -> OrderView {
    let status = match (order.status, order.told) {
        (OrderStatus::Pending, None) => AuthorizationStatus::Pending,
        (OrderStatus::Pending, Some(_)) => AuthorizationStatus::Processing,
        (OrderStatus::Invalid, _) => AuthorizationStatus::Invalid,
        _ => AuthorizationStatus::Valid,
    };
    let error = (status == AuthorizationStatus::Invalid && order.fails).then(|| Problem::new("unauthorized", "got 404", Some(403)));
    let authorization = |name: &Identifier| Authorization {
        identifier: name.clone(),
        status: if status == AuthorizationStatus::Processing { AuthorizationStatus::Pending } else { status },
        challenges: vec![Challenge {
            kind: Some(ChallengeType::Http01),
            url: format!("{url}#{name}"),
            token: "token".into(),
            status,
            error: error.clone(),
        }],
    };
    let open = matches!(order.status, OrderStatus::Pending | OrderStatus::Invalid);
    let authorizations = if open { order.names.iter().map(authorization).collect() } else { Vec::new() };
    let expired = Problem::new("", "the order has expired", None);
    let error = (order.status == OrderStatus::Invalid).then_some(expired);
    OrderView { url: url.to_owned(), status: order.status, authorizations, error, expires: None, retry_after: None }
}
