//! Backups that are not restored: nothing is written because of any.

use serde_json::Value;

use super::super::file::{self, Backup};
use super::*;

async fn refused(lab: &Lab, text: &str) -> String {
    let before = lab.everything().await;
    let why = lab.restore("n1", text, over(None)).await.expect_err("is refused");
    assert_eq!(lab.everything().await, before, "{why}");
    why
}

#[tokio::test]
async fn cut_or_changed_files() {
    let lab = Lab::new().await;
    lab.issue("n1", 1).await;
    let text = lab.backup().await;
    for cut in [0, 1, text.len() / 3, text.len() / 2, text.len() - 1] {
        assert!(refused(&lab, &text[..cut]).await.contains("the backup cannot be used"), "{cut}");
    }
    for (at, _) in text.match_indices('a').step_by(7) {
        let mut changed = text.clone();
        changed.replace_range(at..=at, "b");
        refused(&lab, &changed).await;
    }
    assert!(refused(&lab, "[]").await.contains("this is no backup"));
}

#[tokio::test]
async fn other_fleets_and_newer_formats() {
    let (lab, other) = (Lab::new().await, Lab::new().await);
    let theirs = other.backup().await;
    assert!(refused(&lab, &theirs).await.contains("the backup is of fleet prod"));
    let text = lab.backup().await;
    let newer = text.replacen("\"format\":1", "\"format\":2", 1);
    assert!(refused(&lab, &newer).await.contains("backup format 2, which is newer"));
    let mut records = Backup::read(&text, &lab.identity("n1")).expect("reads").records;
    records.values_mut().for_each(|envelope| envelope.format = 2);
    let text = file::write(&lab.identity("n1"), 0, now(), &records).expect("writes");
    assert!(refused(&lab, &text).await.contains("record format 2, which is newer"));
}

/// Somebody who can write the file, knows how it is made, and has no node's key.
#[tokio::test]
async fn files_that_were_put_together_anew() {
    let lab = Lab::new().await;
    lab.issue("n1", 1).await;
    let identity = lab.identity("n1");
    let text = lab.backup().await;
    let stranger = Identity::draw(identity.fleet.clone(), "prod".into(), identity.verifying_keys.clone(), name("n1")).expect("draws");
    let records = Backup::read(&text, &identity).expect("reads").records;
    let forged = file::write(&stranger, 0, now(), &records).expect("writes");
    assert!(refused(&lab, &forged).await.contains("its header is not signed by node n1"));
    for (key, envelope) in &records {
        let mut other = records.clone();
        other.insert(key.clone(), Envelope { body: Value::Null, ..envelope.clone() });
        let text = file::write(&identity, 0, now(), &other).expect("writes");
        assert!(refused(&lab, &text).await.contains("does not count") || key.is_under("fleet"), "{key}");
    }
    let swapped: Vec<(Key, Envelope)> = records.keys().cloned().zip(records.values().cloned().rev()).collect();
    refused(&lab, &file::write(&identity, 0, now(), &swapped.into_iter().collect()).expect("writes")).await;
    let mut more = records.clone();
    more.insert("presence/n1".parse().expect("key"), records[&cert_key()].clone());
    assert!(refused(&lab, &file::write(&identity, 0, now(), &more).expect("writes")).await.contains("which no backup holds"));
}

#[tokio::test]
async fn the_fleet_key_must_be_this_fleets() {
    let (lab, other) = (Lab::new().await, Lab::new().await);
    let (text, before) = (lab.backup().await, lab.everything().await);
    let theirs = other.key_file();
    assert!(lab.restore("n1", &text, over(Some(&theirs))).await.expect_err("wrong key").contains("this is another fleet's key"));
    assert!(lab.restore("n2", &text, over(None)).await.expect_err("no key").contains("--fleet-key FILE"));
    assert_eq!(lab.everything().await, before);
}

#[tokio::test]
async fn a_backup_is_private_and_written_over_only_by_force() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = dir.path().join("backup.jsonl");
    save_backup(&file, "one", false).expect("writes");
    let refusal = save_backup(&file, "two", false).expect_err("exists").in_two_lines();
    assert!(refusal.what.contains("exists") && refusal.remedy.contains("--force"), "{refusal}");
    assert_eq!(std::fs::read_to_string(&file).expect("reads"), "one");
    save_backup(&file, "two", true).expect("writes over");
    assert_eq!(std::fs::metadata(&file).expect("is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 1, "no temporary file stays");
}
