//! A part of `make bench`: what sealing and signing add, in time and in bytes. Beside each time stands that of the bare primitive by aws-lc-rs
//! on the same machine in the same run: what no program could do without.
//!
//! Prints Markdown. An example and not a bench target, because cargo would build those, and everything they need, another time.

#[path = "../tests/size/placed.rs"]
mod placed;

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::agreement::{self, EphemeralPrivateKey, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey as VerifyingKey};
use certfleet_core::decide::Readers;
use certfleet_core::records::PrivateKeyRecord;
use certfleet_core::secret::{Sealed, Wrap};
use certfleet_core::spec::KeyType;

use placed::{NODES, Scene, Written};

/// What sealing and signing may add for a certificate on a node.
const ADDED_MS_MAX: f64 = 5.0;
/// What a certificate on [`NODES`] nodes may take in the store.
const CERTIFICATE_KB_MAX: f64 = 256.0;
/// For how many readers a key is sealed.
const READERS: [usize; 4] = [1, 10, 100, 1000];
/// How long a thing is done again and again to be measured.
const SPAN: Duration = Duration::from_millis(500);
/// So often at least.
const TIMES_MIN: usize = 5;

fn main() {
    eprintln!("sealing and signing");
    let scene = Scene::new(NODES, KeyType::EcdsaP256);
    let floor = Floor::measure(&scene);
    println!("\n| sealing and signing | certfleet | the same primitives, bare | ratio |\n| --- | --- | --- | --- |");
    let share = print_seals(&scene, &floor);
    let opens = print_opens(&scene, &floor);
    let signs = print_signs(&scene, &floor);
    let added = share + opens + signs;
    println!(
        "| **sum for a certificate on one of {NODES} nodes** | {added:.2} ms; limit {ADDED_MS_MAX} ms: {} | | |",
        verdict(added, ADDED_MS_MAX)
    );
    print_bytes();
}

/// The median time of `work`, in milliseconds.
fn median_ms<T>(mut work: impl FnMut() -> T) -> f64 {
    let (start, mut took) = (Instant::now(), Vec::new());
    while took.len() < TIMES_MIN || start.elapsed() < SPAN {
        let one = Instant::now();
        black_box(work());
        took.push(one.elapsed().as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    took[took.len() / 2]
}

fn verdict(figure: f64, limit: f64) -> &'static str {
    if figure < limit { "PASS" } else { "FAIL" }
}

/// The primitives as aws-lc-rs has them, in milliseconds.
struct Floor {
    /// A fresh X25519 pair and one agreement: what one more recipient costs whoever sends.
    send: f64,
    /// One X25519 agreement: what it costs the recipient.
    receive: f64,
    ed25519: Ed25519KeyPair,
}

impl Floor {
    fn measure(scene: &Scene) -> Self {
        let random = SystemRandom::new();
        let peer = UnparsedPublicKey::new(&X25519, scene.identity.sealing_key.sealing_key().as_bytes().to_vec());
        let send = median_ms(|| {
            let own = EphemeralPrivateKey::generate(&X25519, &random).expect("a key");
            let public = own.compute_public_key().expect("its public half");
            agreement::agree_ephemeral(own, &peer, "none", |shared| Ok(shared.to_vec())).map(|shared| (public, shared)).expect("agrees")
        });
        let own = PrivateKey::generate(&X25519).expect("a key");
        let receive = median_ms(|| agreement::agree(&own, &peer, "none", |shared| Ok(shared.to_vec())).expect("agrees"));
        Self { send, receive, ed25519: Ed25519KeyPair::generate().expect("a key") }
    }

    fn sign(&self, message: &[u8]) -> f64 {
        median_ms(|| self.ed25519.sign(message))
    }

    fn verify(&self, message: &[u8]) -> f64 {
        let (public, signature) = (self.ed25519.public_key().as_ref(), self.ed25519.sign(message));
        median_ms(|| VerifyingKey::new(&ED25519, public).verify(message, signature.as_ref()).expect("it is good"))
    }
}

fn print_row(what: &str, took: f64, more: &str, bare: f64) {
    println!("| {what} | {took:.3} ms{more} | {bare:.3} ms | {:.1} |", took / bare);
}

/// One reader's share of the largest sealing.
fn print_seals(scene: &Scene, floor: &Floor) -> f64 {
    let mut share = 0.0;
    for count in READERS {
        let readers: Readers = scene.readers.iter().take(count).map(|(node, key)| (node.clone(), *key)).collect();
        let took = median_ms(|| seal(scene, &readers));
        share = took / count as f64;
        // The secret is sealed to a pair of its own, so there is one recipient more.
        print_row(&format!("seal a key for {count}"), took, &format!(", {share:.3} ms each"), floor.send * (count + 1) as f64);
    }
    share
}

fn seal(scene: &Scene, readers: &Readers) -> Sealed {
    scene.pen.seal(scene.secret(), scene.cert.as_str(), &scene.made.spki, readers).expect("it can be sealed")
}

/// What a node spends to open its key; a wrap for a late node is beside it.
fn print_opens(scene: &Scene, floor: &Floor) -> f64 {
    let sealed = seal(scene, &scene.readers);
    let opens = median_ms(|| scene.pen.open(&sealed, None, scene.cert.as_str(), &scene.made.spki).expect("it opens"));
    print_row("open it", opens, "", 2.0 * floor.receive);
    let wraps = median_ms(|| wrap_for_last(scene, &sealed));
    print_row("wrap it for a late node (opens it first)", wraps, "", 2.0 * floor.receive + floor.send);
    opens
}

fn wrap_for_last(scene: &Scene, sealed: &Sealed) -> Wrap {
    let reader = scene.readers.last_key_value().expect("there are readers");
    scene.pen.wrap_for(sealed, None, (scene.cert.as_str(), &scene.made.spki), reader).expect("it can be wrapped")
}

/// What a node spends on signatures for a certificate: it checks what all read, and signs what it says of it. What the node that drives the
/// order signs is beside it.
fn print_signs(scene: &Scene, floor: &Floor) -> f64 {
    let checked = [("certificate's record", scene.record()), ("chain", scene.version()), ("key, sealed for all", scene.key())];
    let mut sum = 0.0;
    for (what, written) in &checked {
        sum += print_verify(scene, floor, what, written);
    }
    for (what, written) in &checked {
        print_sign(scene, floor, what, written);
    }
    let report = scene.report();
    sum + print_verify(scene, floor, "report", &report) + print_sign(scene, floor, "report", &report)
}

fn print_verify(scene: &Scene, floor: &Floor, what: &str, Written { key, envelope }: &Written) -> f64 {
    let (place, public) = (key.key(), scene.identity.signing_key.verifying_key());
    let took = median_ms(|| assert!(envelope.is_signed_by(&scene.identity.fleet, &place, [&public]), "it is signed"));
    let message = envelope.to_bytes().expect("it fits");
    print_row(&format!("check a {what} ({:.1} KB)", kb(message.len())), took, "", floor.verify(&message));
    took
}

fn print_sign(scene: &Scene, floor: &Floor, what: &str, Written { key, envelope }: &Written) -> f64 {
    let (place, message) = (key.key(), envelope.to_bytes().expect("it fits"));
    let unsigned = || envelope.clone();
    let cloned = median_ms(unsigned);
    let took = median_ms(|| unsigned().signed(&scene.identity.fleet, &place, &scene.identity.signing_key)) - cloned;
    print_row(&format!("sign a {what} ({:.1} KB)", kb(message.len())), took, "", floor.sign(&message));
    took
}

fn kb(bytes: usize) -> f64 {
    bytes as f64 / 1024.0
}

/// The largest realistic certificate.
fn print_bytes() {
    let scene = Scene::new(NODES, KeyType::Rsa4096);
    let key = scene.key();
    let sealed = key.envelope.record::<PrivateKeyRecord>().expect("it is one").key;
    let sizes = [scene.record(), scene.version()].map(|written| kb(written.bytes()));
    let total = sizes[0] + sizes[1] + kb(key.bytes());
    println!("\n| in the store, placed on {NODES} nodes | KB |\n| --- | --- |");
    println!(
        "| the certificate's record | {:.1} |\n| its chain | {:.1} |\n| its key, sealed for all | {:.1} |",
        sizes[0],
        sizes[1],
        kb(key.bytes())
    );
    println!("| **sum** | {total:.1}; limit {CERTIFICATE_KB_MAX} KB: {} |", verdict(total, CERTIFICATE_KB_MAX));
    println!("| beside it, in each node's own name: a report | {:.1} |", kb(scene.report().bytes()));
    println!("| and until the next renewal, if it came late: a wrap | {:.1} |", kb(scene.wrap(wrap_for_last(&scene, &sealed)).bytes()));
}
