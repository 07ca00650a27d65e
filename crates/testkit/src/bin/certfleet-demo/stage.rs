//! Everything that runs, and waiting for what happens there.

use std::time::{Duration, Instant};

use certfleet_testkit::pebble::Pebble;
use certfleet_testkit::{Process, admin};
use tokio::task::JoinSet;

use crate::client::{Served, Visitor};
use crate::failure::{During, Failure, unseen};
use crate::fleet::Certfleet;
use crate::journal::{Journal, News};
use crate::lab::{ADDRESSES, Lab, NAME, NODES, SERVERS};
use crate::narrator::narrate;
use crate::screen::{Screen, Who};
use crate::servers::{Plan, Server};

/// How often everything is looked after while nothing happens.
const TICK: Duration = Duration::from_millis(100);
/// How often a web server is looked at that should serve something else soon.
const LOOK: Duration = Duration::from_millis(50);

/// Everything that runs. What is dropped first ends first.
pub struct Stage {
    /// How long each part took, for the end.
    pub took: Vec<(String, Duration)>,
    /// The daemons; none: it was killed.
    pub daemons: [Option<Process>; 3],
    /// What they say.
    pub journal: Journal,
    servers: Vec<Server>,
    starting: JoinSet<Result<(usize, Server), Failure>>,
    /// The certificate authority, and its DNS.
    pub ca: Pebble,
    /// Whom the CA asks: the first of the name's addresses.
    pub asked: usize,
    /// A visitor that trusts that CA.
    pub visitor: Visitor,
    /// The binary.
    pub certfleet: Certfleet,
    /// Where everything is.
    pub lab: Lab,
    /// What is shown.
    pub screen: Screen,
}

impl Stage {
    /// Nothing runs yet but the CA.
    pub fn new(screen: Screen, lab: Lab, certfleet: Certfleet, ca: Pebble, visitor: Visitor) -> Self {
        let journal = Journal::follow((0..NODES.len()).map(|node| lab.log(node)).collect());
        let (took, daemons, servers, starting) = (Vec::new(), [None, None, None], Vec::new(), JoinSet::new());
        Self { took, daemons, journal, servers, starting, ca, asked: 0, visitor, certfleet, lab, screen }
    }

    /// The name's addresses, `first` at their head.
    pub async fn point_dns_at(&mut self, first: usize) {
        let mut addresses = ADDRESSES;
        addresses.rotate_left(first);
        self.ca.set_a(NAME, &addresses).await;
        self.asked = first;
    }

    /// `certfleet run`.
    pub fn run(&mut self, node: usize) -> Result<(), Failure> {
        self.screen.command(node, "certfleet run");
        self.daemons[node] = Some(self.certfleet.run(&self.lab, node)?);
        Ok(())
    }

    /// A command to its end, typed as it is run.
    pub async fn type_in(&self, node: usize, command: &str) -> Result<(), Failure> {
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        let printed = self.certfleet.type_in(&self.screen, &self.lab, node, &words, command).await?;
        self.screen.output(&printed.stdout);
        self.screen.output(&printed.stderr);
        Ok(())
    }

    /// Waits for the next thing to happen, and shows it. `what` is being waited for until `end`.
    pub async fn next(&mut self, what: &str, end: Instant) -> Result<News, Failure> {
        loop {
            self.look_after()?;
            if let Some(news) = self.journal.next(TICK).await {
                narrate(&self.screen, &news);
                if news.event == "stand-in" {
                    self.start_server(news.node);
                }
                return Ok(news);
            }
            if Instant::now() >= end {
                return unseen(format!("waited in vain for this: {what}"));
            }
        }
    }

    /// Lets some time pass; what happens meanwhile is shown.
    pub async fn pass(&mut self, span: Duration) -> Result<(), Failure> {
        let end = Instant::now() + span;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            if let Some(news) = self.journal.next(left).await {
                narrate(&self.screen, &news);
            }
        }
        self.look_after()
    }

    /// How many of the CA's questions the daemon of `node` has answered since it was started.
    pub async fn answers(&self, node: usize) -> Result<u64, Failure> {
        let told = admin::metrics(&self.lab.admin_socket(node)).await.during(format!("{} does not tell its metrics", NODES[node]))?;
        Ok(admin::sum(&told, "certfleet_challenge_requests_total", "\"challenge\""))
    }

    /// Waits until `node` is seen serving a certificate that visitors trust, other than the one with the serial number `not`.
    pub async fn served(&self, node: usize, not: &str, limit: Duration) -> Result<Served, Failure> {
        let end = Instant::now() + limit;
        loop {
            let why = match self.visitor.visit(self.lab.https(node)).await {
                Ok(served) if served.serial != not => return Ok(served),
                Ok(_) => "it still serves the old certificate".to_owned(),
                Err(why) => why,
            };
            if Instant::now() >= end {
                return unseen(format!("{} does not serve the new certificate {limit:?} after it said so: {why}", NODES[node]));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn start_server(&mut self, node: usize) {
        let plan = Plan::of(&self.lab, node);
        self.starting.spawn(async move { Ok((node, plan.start().await?)) });
    }

    /// Notes which web servers have started, and that no daemon has ended by itself.
    fn look_after(&mut self) -> Result<(), Failure> {
        while let Some(started) = self.starting.try_join_next() {
            let (node, server) = started.map_err(Failure::of_panic)??;
            let address = self.lab.https(node);
            self.screen.say(Who::Node(node), &format!("{} starts in front of it, on {address}, with the stand-in", SERVERS[node]));
            self.servers.push(server);
        }
        for (node, daemon) in self.daemons.iter_mut().enumerate() {
            if let Some(daemon) = daemon.as_mut()
                && !daemon.is_running()
            {
                let output = daemon.output();
                let last = output.lines().last().unwrap_or("nothing");
                return unseen(format!("certfleet on {} ended by itself; the last it said: {last}", NODES[node]));
            }
        }
        Ok(())
    }

    /// Writes down what visitors trust, for those who look around.
    pub fn write_root(&self, root: &str) -> Result<(), Failure> {
        let path = self.lab.visitor_root();
        std::fs::write(&path, root).during(format!("{} cannot be written", path.display()))
    }
}
