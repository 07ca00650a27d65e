//! The cases that every kind passes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::slice::from_ref;
use std::time::Duration;

use certfleet_core::names::CertName;
use certfleet_deploy::{Material, Outcome, State};

use crate::certs::Ca;
use crate::client::{Traffic, served};
use crate::rig::{NAMES, Rig, name, node};

/// How long anything may take.
pub const LIMIT: Duration = Duration::from_secs(20);
/// Requests before, during and after a renewal.
const REQUESTS: usize = 150;

fn cert(n: usize) -> CertName {
    name(n).parse().expect("a certificate name")
}

/// Writes a stand-in for each name, so that the server can start.
pub async fn stand_ins<R: Rig>(rig: &R) {
    for n in 0..NAMES {
        let names = [name(n).parse().expect("an identifier")];
        assert!(rig.target().stand_in(&cert(n), &node(), &names).await.expect("written"));
    }
}

async fn started<R: Rig>(mut rig: R) -> R {
    stand_ins(&rig).await;
    rig.start().await;
    rig
}

/// A started server with this certificate in place and seen.
async fn with_installed<R: Rig>(rig: R, material: &Material) -> R {
    let rig = started(rig).await;
    let outcome = rig.target().converge(from_ref(material)).await.remove(0);
    assert_eq!(outcome.state, State::Verified, "{outcome:?}");
    rig.settled().await;
    rig
}

fn reason(outcome: &Outcome) -> &str {
    outcome.reason.as_deref().unwrap_or_default()
}

fn beside(file: &Path) -> Vec<PathBuf> {
    let dir = file.parent().expect("a directory");
    let hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    fs::read_dir(dir).expect("readable").map(|entry| entry.expect("an entry").path()).filter(hidden).collect()
}

pub async fn a_stand_in_lets_the_server_start_and_is_never_verified<R: Rig>(rig: R) {
    let rig = started(rig).await;
    let material = Ca::new().issue(&name(0), 1);
    let outcome = rig.target().verify(from_ref(&material)).await.remove(0);
    assert_eq!(outcome.state, State::Failed);
    let key = rig.key_file(&material.cert);
    assert!(reason(&outcome).contains(key.parent().and_then(Path::to_str).expect("a path")), "{outcome:?}");
    assert_eq!(fs::metadata(&key).expect("it is there").permissions().mode() & 0o777, 0o600);
}

pub async fn an_existing_file_is_never_replaced_by_a_stand_in<R: Rig>(rig: R) {
    let key = rig.key_file(&cert(0));
    fs::create_dir_all(key.parent().expect("a directory")).expect("created");
    fs::write(&key, "precious").expect("written");
    assert!(!rig.target().stand_in(&cert(0), &node(), &[]).await.expect("looked"));
    assert_eq!(fs::read_to_string(&key).expect("it is there"), "precious");
}

pub async fn what_is_installed_is_seen_served<R: Rig>(rig: R) {
    let ca = Ca::new();
    let rig = started(rig).await;
    let material = ca.issue(&name(0), 3);
    let outcome = rig.target().converge(from_ref(&material)).await.remove(0);
    assert_eq!((outcome.state, outcome.reason, outcome.changed, outcome.activations), (State::Verified, None, true, 1));
    assert_eq!((outcome.cert, outcome.generation), (material.cert.clone(), material.generation));
    rig.settled().await;
    assert_eq!(served(rig.address(), &name(0), ca.roots()).await, Ok(material.leaf.fingerprint));
    assert_eq!(beside(&rig.key_file(&material.cert)), Vec::<PathBuf>::new());
}

pub async fn what_is_right_is_left_alone<R: Rig>(rig: R) {
    let material = Ca::new().issue(&name(0), 1);
    let rig = with_installed(rig, &material).await;
    let written = fs::metadata(rig.key_file(&material.cert)).expect("it is there").modified().expect("a time");
    let reloads = rig.reloads();
    for outcome in [rig.target().converge(from_ref(&material)).await, rig.target().verify(from_ref(&material)).await].concat() {
        assert_eq!((outcome.state, outcome.changed, outcome.activations), (State::Verified, false, 0));
    }
    assert_eq!(fs::metadata(rig.key_file(&material.cert)).expect("it is there").modified().expect("a time"), written);
    assert_eq!(rig.reloads(), reloads);
}

pub async fn a_renewal_loses_no_connection<R: Rig>(rig: R) {
    let ca = Ca::new();
    let (old, new) = (ca.issue(&name(0), 1), ca.issue(&name(0), 2));
    let rig = with_installed(rig, &old).await;
    let traffic = Traffic::start(3, rig.address(), &name(0), ca.roots());
    traffic.more(REQUESTS).await;
    let outcome = rig.target().converge(from_ref(&new)).await.remove(0);
    rig.settled().await;
    traffic.more(REQUESTS).await;
    let (requests, seen) = traffic.end().await;
    assert_eq!(outcome.state, State::Verified, "{outcome:?}");
    assert!(requests >= 2 * REQUESTS);
    for client in seen {
        assert_eq!((client.first(), client.last()), (Some(&old.leaf.fingerprint), Some(&new.leaf.fingerprint)));
    }
}

pub async fn a_stopped_server_is_no_failure<R: Rig>(mut rig: R) {
    let ca = Ca::new();
    stand_ins(&rig).await;
    let material = ca.issue(&name(0), 1);
    let outcome = rig.target().converge(from_ref(&material)).await.remove(0);
    assert_eq!((outcome.state, outcome.changed), (State::Installed, true), "{outcome:?}");
    assert!(reason(&outcome).starts_with("not running"), "{outcome:?}");
    let unseen = rig.target_with("verify = \"off\"\n").converge(from_ref(&material)).await.remove(0);
    assert_eq!((unseen.state, unseen.changed), (State::Installed, false));
    rig.start().await;
    let outcome = rig.target().verify(from_ref(&material)).await.remove(0);
    assert_eq!(outcome.state, State::Verified, "{outcome:?}");
}

pub async fn a_batch_is_installed_together<R: Rig>(rig: R) {
    let ca = Ca::new();
    let rig = started(rig).await;
    let batch: Vec<Material> = (0..NAMES).map(|n| ca.issue(&name(n), 1)).collect();
    let outcomes = rig.target().converge(&batch).await;
    assert!(outcomes.iter().all(|outcome| outcome.state == State::Verified && outcome.changed), "{outcomes:?}");
    assert!(outcomes.iter().map(|outcome| &outcome.cert).eq(batch.iter().map(|material| &material.cert)));
    assert_eq!(rig.reloads(), R::RELOADS_PER_CHANGE);
}

pub async fn one_bad_certificate_does_not_keep_the_others_out<R: Rig>(rig: R) {
    let ca = Ca::new();
    let old = ca.issue(&name(3), 1);
    let rig = with_installed(rig, &old).await;
    let mut batch: Vec<Material> = (0..NAMES).map(|n| ca.issue(&name(n), 2)).collect();
    batch[3] = ca.issue_with_wrong_key(&name(3), 2);
    let outcomes = rig.target().converge(&batch).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        let wanted = if n == 3 { State::Failed } else { State::Verified };
        assert_eq!(outcome.state, wanted, "{n}: {outcome:?}");
    }
    rig.settled().await;
    // The tool's own words: nginx says "key values mismatch", HAProxy "inconsistencies between private key and certificate".
    assert!(reason(&outcomes[3]).contains("mismatch") || reason(&outcomes[3]).contains("inconsistencies"), "{:?}", outcomes[3]);
    assert_eq!(served(rig.address(), &name(3), ca.roots()).await.as_ref(), Ok(&old.leaf.fingerprint));
    let outcome = rig.target().converge(from_ref(&old)).await.remove(0);
    assert_eq!((outcome.state, outcome.changed), (State::Verified, false), "the old files are back: {outcome:?}");
}

/// What a process leaves that is killed between its renames: the old file under its second name, the new one in its place, not activated.
fn interrupt<R: Rig>(rig: &R, new: &Material) {
    let file = rig.key_file(&new.cert);
    let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
    fs::hard_link(&file, file.with_file_name(format!(".{name}.web.certfleet-old"))).expect("linked");
    let staged = file.with_file_name(format!(".{name}.web.certfleet-new"));
    fs::write(&staged, new.key_pem.expose()).expect("written");
    fs::rename(&staged, &file).expect("renamed");
    fs::write(&staged, "half a fi").expect("written");
}

pub async fn an_interrupted_change_is_finished<R: Rig>(rig: R) {
    let ca = Ca::new();
    let (old, new) = (ca.issue(&name(0), 1), ca.issue(&name(0), 2));
    let rig = with_installed(rig, &old).await;
    interrupt(&rig, &new);
    let outcome = rig.target().converge(from_ref(&new)).await.remove(0);
    assert_eq!(outcome.state, State::Verified, "{outcome:?}");
    assert_eq!(beside(&rig.key_file(&new.cert)), Vec::<PathBuf>::new());
}

pub async fn an_interrupted_change_is_undone_before_the_server_starts<R: Rig>(rig: R) {
    let ca = Ca::new();
    let (old, new) = (ca.issue(&name(0), 1), ca.issue(&name(0), 2));
    let mut rig = with_installed(rig, &old).await;
    rig.stop();
    interrupt(&rig, &new);
    assert!(!rig.target().stand_in(&old.cert, &node(), &old.names).await.expect("undone"));
    assert_eq!(beside(&rig.key_file(&new.cert)), Vec::<PathBuf>::new());
    rig.start().await;
    assert_eq!(served(rig.address(), &name(0), ca.roots()).await, Ok(old.leaf.fingerprint));
}

pub async fn a_server_that_missed_a_change_is_told_again<R: Rig>(rig: R) {
    let ca = Ca::new();
    let (old, new) = (ca.issue(&name(0), 1), ca.issue(&name(0), 2));
    let mut rig = with_installed(rig, &old).await;
    // The files of the new one, while the server runs with the old one: write them with the server away, then swap what is on disk.
    rig.stop();
    rig.target().converge(from_ref(&new)).await;
    let files: Vec<(PathBuf, Vec<u8>)> = all_files(&rig, &new.cert);
    rig.target().converge(from_ref(&old)).await;
    rig.start().await;
    for (path, content) in files {
        fs::write(path, content).expect("written");
    }
    let outcome = rig.target().converge(from_ref(&new)).await.remove(0);
    assert_eq!((outcome.state, outcome.changed, outcome.activations), (State::Verified, false, 1), "{outcome:?}");
}

fn all_files<R: Rig>(rig: &R, cert: &CertName) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = rig.key_file(cert).parent().expect("a directory").to_owned();
    let paths = fs::read_dir(dir).expect("readable").map(|entry| entry.expect("an entry").path());
    paths.map(|path| (path.clone(), fs::read(path).expect("readable"))).collect()
}

pub async fn keys_are_private_whatever_the_umask_is<R: Rig>(rig: R) {
    // For the whole process, and for good: every file of the other tests has to do with it too.
    rustix::process::umask(rustix::fs::Mode::empty());
    stand_ins(&rig).await;
    let material = Ca::new().issue(&name(0), 1);
    let outcome = rig.target().converge(from_ref(&material)).await.remove(0);
    assert!(outcome.changed, "{outcome:?}");
    for n in [0, 1] {
        assert_eq!(fs::metadata(rig.key_file(&cert(n))).expect("it is there").permissions().mode() & 0o7777, 0o600);
    }
}

pub async fn a_missing_directory_is_named<R: Rig>(rig: R) {
    let key = rig.key_file(&cert(0));
    let certs = if key.parent().is_some_and(Path::exists) { key.parent() } else { key.parent().and_then(Path::parent) };
    let certs = certs.expect("a directory").to_owned();
    fs::remove_dir(&certs).expect("it is empty");
    let above = certs.parent().expect("home").to_owned();
    let away = above.with_extension("away");
    fs::rename(&above, &away).expect("moved");
    let outcome = rig.target().converge(&[Ca::new().issue(&name(0), 1)]).await.remove(0);
    fs::rename(&away, &above).expect("moved back");
    assert_eq!(outcome.state, State::Failed);
    assert!(reason(&outcome).contains("does not exist") && reason(&outcome).contains(above.to_str().expect("text")), "{outcome:?}");
}

pub async fn another_certificate_is_not_taken_for_the_wanted_one<R: Rig>(rig: R) {
    let ca = Ca::new();
    let (first, second) = (ca.issue(&name(0), 1), ca.issue(&name(1), 1));
    let rig = with_installed(rig, &first).await;
    let lines = format!("verify = {{ connect = \"{}\", sni = \"{}\" }}\n", rig.address(), name(0));
    let outcome = rig.target_with(&lines).converge(from_ref(&second)).await.remove(0);
    assert_eq!(outcome.state, State::Failed);
    let told = [rig.address().to_string(), first.leaf.serial, second.leaf.serial, first.leaf.not_after.to_string()];
    assert!(told.iter().all(|part| reason(&outcome).contains(part)), "{outcome:?}");
}

pub async fn two_calls_at_once_both_arrive<R: Rig>(rig: R) {
    let ca = Ca::new();
    let rig = started(rig).await;
    let target = rig.target();
    let (first, second) = ([ca.issue(&name(0), 1)], [ca.issue(&name(1), 1)]);
    let (one, two) = tokio::join!(target.converge(&first), target.converge(&second));
    assert_eq!((one[0].state, two[0].state), (State::Verified, State::Verified));
    let (again, verified) = tokio::join!(target.converge(&first), target.verify(&second));
    assert_eq!((again[0].state, again[0].changed, verified[0].state), (State::Verified, false, State::Verified));
}
