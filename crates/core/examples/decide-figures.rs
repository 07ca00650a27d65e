//! A part of `make bench`: what a decision costs when one certificate of many has changed, beside what it costs to decide everything anew by the
//! same view in the same run, and what a certificate takes in memory.
//!
//! Prints Markdown. Each size is measured in a process of its own, so that its memory is its own.

use std::hint::black_box;
use std::time::{Duration, Instant};

use certfleet_core::decide::{Decider, decide};
use certfleet_core::envelope::{Nonce, Revision};
use certfleet_core::names::{CertName, ConfigHash, Fingerprint, Generation, NodeName, SpkiHash, VersionHash};
use certfleet_core::records::{CertRecord, FleetRecord, NodeRecord, Placed, Placement, Presence, PresenceState, Report, TargetState};
use certfleet_core::spec::{ChallengeType, FleetSpec, KeyPolicy, KeyType, Rollout, Specification, TargetSpec, all_roles};
use certfleet_core::time::{Mono, Now, Timestamp, later};
use certfleet_core::trust::{Roster, SealingKey, SigningKey};
use certfleet_core::view::{Installed, Me, Observed, StoreState, View};

/// So many certificates.
const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Nodes of the fleet.
const NODES: usize = 10;
/// So often a decision about one changed certificate is measured.
const TIMES: usize = 200;
/// What such a decision may take, in microseconds, however many certificates there are.
const CHANGED_US_MAX: f64 = 1_000.0;
/// 2026-01-01T00:00:00Z.
const BEGINNING: i64 = 1_767_225_600;
const DAY: Duration = Duration::from_secs(24 * 3600);

fn main() {
    if let Some(count) = std::env::args().nth(1).and_then(|count| count.parse().ok()) {
        return measure(count);
    }
    eprintln!("deciding");
    println!(
        "\n| certificates | one changed: median, worst of {TIMES} | everything anew | ratio | view, per certificate | what was decided, per certificate |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    let me = std::env::current_exe().expect("a program knows where it is");
    for count in SIZES {
        let done = std::process::Command::new(&me).arg(count.to_string()).status().expect("it starts");
        assert!(done.success(), "{count} certificates could not be measured");
    }
}

fn measure(count: usize) {
    let before = resident_kb();
    let mut view = fleet(count);
    let (with_view, mut decider) = (resident_kb(), Decider::default());
    black_box(decider.decide(&mut view, at(1), 0));
    let with_decider = resident_kb();
    let mut took: Vec<f64> = (0..TIMES).map(|n| one_changed(&mut view, &mut decider, n)).collect();
    took.sort_by(f64::total_cmp);
    let (median, worst) = (took[TIMES / 2], took[TIMES - 1]);
    let mut anew: Vec<f64> = (0..3).map(|_| timed(|| black_box(decide(&view, at(1), 0)))).collect();
    anew.sort_by(f64::total_cmp);
    let bytes = |kb: f64| kb * 1024.0 / count as f64;
    let verdict = if median < CHANGED_US_MAX { "PASS" } else { "FAIL" };
    println!(
        "| {count} | {median:.0} µs, {worst:.0} µs; limit {CHANGED_US_MAX:.0} µs: {verdict} | {:.1} ms | {:.0} | {:.0} B | {:.0} B |",
        anew[1] / 1e3,
        anew[1] / median,
        bytes(with_view - before),
        bytes(with_decider - with_view)
    );
}

/// One certificate's record is another, and the node decides.
fn one_changed(view: &mut View, decider: &mut Decider, n: usize) -> f64 {
    let cert = name(n * 7919 % view.certs.len());
    let mut seen = view.certs[&cert].clone();
    seen.value.last_number = Generation(2 + n as u64);
    view.certs.insert(cert, seen);
    timed(|| black_box(decider.decide(view, at(1), 0)))
}

fn timed<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    black_box(work());
    start.elapsed().as_secs_f64() * 1e6
}

fn resident_kb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("it is told");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).expect("a number")
}

fn at(seconds: u64) -> Now {
    let start = Timestamp::from_second(BEGINNING).expect("a moment");
    Now { wall: later(start, Duration::from_secs(seconds)), mono: Mono(Duration::from_secs(1000 + seconds)) }
}

fn name(n: usize) -> CertName {
    format!("host-{n:07}.example.com").parse().expect("a name")
}

fn node(n: usize) -> NodeName {
    format!("lb{n}").parse().expect("a name")
}

fn seen<T>(value: T) -> Observed<T> {
    let revision = Revision { engine: "1".into(), nonce: Nonce::from_random([1; 16]), change: 1 };
    Observed { value, revision, changed_at: at(0).mono, read_at: at(0).mono }
}

/// What a node of a fleet at rest knows: each certificate is placed, installed here and reported, and some are renewed in every hour to come.
fn fleet(count: usize) -> View {
    let certificates = (0..count).map(|n| (name(n), specification(n))).collect();
    let targets = [("nginx".parse().expect("a name"), TargetSpec::default())].into();
    let key = |text: &str| SigningKey::from_seed(&VersionHash::of(text.as_bytes()).as_str().as_bytes()[..32].try_into().expect("32 of 64"));
    let fleet = FleetRecord {
        id: "f".parse().expect("a name"),
        name: "f".into(),
        format: 1,
        epoch: 0,
        created_at: at(0).wall,
        verifying_keys: vec![key("the fleet").verifying_key()],
        removals: Vec::new(),
        extra: Default::default(),
    };
    let me = Me {
        node: node(0),
        incarnation: "lb0.1".parse().expect("a name"),
        identity: "lb0".into(),
        fleet: fleet.id.clone(),
        verifying_keys: fleet.verifying_keys.clone(),
        configured: all_roles(),
        version: "0".into(),
    };
    let mut view = View::new(me, FleetSpec { hash: ConfigHash::of(b"one"), certificates, issuers: Default::default(), targets });
    view.local.store = StoreState::Ready;
    for n in 0..NODES {
        view.nodes.insert(node(n), member(n, &key));
        view.presence.insert(node(n), seen(presence(n)));
    }
    view.roster = Roster::of(&fleet, view.nodes.values()).into();
    view.fleet = Some(fleet);
    view.local.beaten_at = Some((at(0).mono, presence(0)));
    view.local.looked_through_at = Some(at(0).mono);
    (0..count).for_each(|n| place(&mut view, n, count));
    view
}

fn member(n: usize, key: &impl Fn(&str) -> SigningKey) -> NodeRecord {
    let name = node(n);
    NodeRecord {
        signing_key: key(name.as_str()).verifying_key(),
        identity: name.to_string(),
        name,
        sealing_key: SealingKey::from_bytes([7; 32]),
        granted: all_roles(),
        joined_at: at(0).wall,
        grant: None,
        proof: None,
        extra: Default::default(),
    }
}

fn presence(n: usize) -> Presence {
    Presence {
        incarnation: format!("lb{n}.1").parse().expect("a name"),
        beat: 1,
        at: at(0).wall,
        version: "0".into(),
        config: ConfigHash::of(b"one"),
        roles: all_roles(),
        state: PresenceState::Live,
        troubles: Vec::new(),
        lacks: Vec::new(),
        reads_format: 1,
        extra: Default::default(),
    }
}

fn specification(n: usize) -> Specification {
    Specification {
        names: vec![name(n).as_str().parse().expect("a name")],
        issuers: vec!["ca".parse().expect("a name")],
        challenge: ChallengeType::Http01,
        key: KeyType::default(),
        policy: KeyPolicy::Shared,
        reuse: false,
        nodes: Vec::new(),
        deploy: vec!["nginx".parse().expect("a name")],
        rollout: Rollout::default(),
    }
}

/// Its record, with two thirds of its life spread over all, what this node installed of it, and its report.
fn place(view: &mut View, n: usize, count: usize) {
    let (cert, spec) = (name(n), specification(n));
    let target = spec.deploy[0].clone();
    let age = (60 * DAY).mul_f64(n as f64 / count as f64 * 0.99);
    let not_before = certfleet_core::time::earlier(at(0).wall, age);
    let placed = Placed {
        placement: Placement { epoch: 0, seq: 1, generation: Generation(1) },
        version: VersionHash::of(cert.as_str().as_bytes()),
        names: spec.names.clone(),
        issuer: spec.issuers[0].clone(),
        serial: "04ab".into(),
        fingerprint: Fingerprint::of(cert.as_str().as_bytes()),
        key: SpkiHash::of(cert.as_str().as_bytes()),
        not_before,
        not_after: later(not_before, 90 * DAY),
        resumed: false,
        after_removals: 0,
    };
    let installed = Installed {
        placement: placed.placement,
        state: TargetState::Verified,
        reason: None,
        next_try: at(3600).mono,
        fails: 0,
        not_after: placed.not_after,
        life: 90 * DAY,
    };
    let report = Report {
        generation: Generation(1),
        seq: 1,
        state: TargetState::Verified,
        reason: None,
        settled: true,
        at: at(0).wall,
        extra: Default::default(),
    };
    view.reports.entry(cert.clone()).or_default().insert((node(0), target.clone()), seen(report));
    view.local.targets.insert((cert.clone(), target.clone()), installed);
    view.local.stood_in.insert((cert.clone(), target));
    let memory = certfleet_core::view::Memory { number: Generation(1), seen: (0, 1), valid: None };
    view.local.memory.insert(cert.clone(), memory);
    let record = CertRecord { placed: Some(placed), last_number: Generation(1), ..CertRecord::of(spec) };
    view.certs.insert(cert, seen(record));
}
