//! `fleet upgrade`: the record form that the fleet writes is raised, once every member reads it.

use std::path::Path;

use certfleet_core::names::NodeName;
use certfleet_core::view::View;
use serde::Serialize;

use super::{LATE, Machine, OperatorError, refused};
use crate::membership::{change_fleet, keep};

/// What a member reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberFormat {
    /// Who.
    pub name: NodeName,
    /// Of its software; none if it never ran.
    pub version: Option<String>,
    /// The highest record form that it said it reads.
    pub reads_format: Option<u32>,
    /// Seen beating lately.
    pub live: bool,
}

/// What became of an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// The form before.
    pub from: u32,
    /// The form from now on; the same if there was nothing to do.
    pub to: u32,
    /// Members that are not live and did not say that they read it: they wait until they are upgraded.
    pub behind: Vec<NodeName>,
}

/// Raises the fleet's record form to `target`. `show` gets the members before anything is decided.
pub async fn fleet_upgrade(
    machine: &Machine,
    target: u32,
    fleet_key: Option<&Path>,
    show: impl FnOnce(&[MemberFormat]),
) -> Result<Upgrade, OperatorError> {
    let (store, identity, view) = machine.standing().await?;
    let Some(fleet) = &view.fleet else {
        return refused("the fleet's record cannot be read", "`certfleet store check` says what stands in the store");
    };
    let members = members(&view);
    show(&members);
    let from = fleet.format;
    if from >= target {
        return Ok(Upgrade { from, to: from, behind: Vec::new() });
    }
    let behind = |live: bool| members.iter().filter(move |m| m.live == live && m.reads_format.is_none_or(|reads| reads < target));
    let blocking: Vec<String> = behind(true).map(|member| member.name.to_string()).collect();
    if !blocking.is_empty() {
        return refused(
            format!("format {target} is not read by {}", blocking.join(", ")),
            "upgrade certfleet there and restart it; then give the command again",
        );
    }
    let fleet_key = machine.fleet_key(fleet_key)?;
    let said = change_fleet(store.as_ref(), &identity, &view, &fleet_key, |fleet| fleet.format = fleet.format.max(target)).await?;
    keep(&machine.settings, &[said])?;
    Ok(Upgrade { from, to: target, behind: behind(false).map(|member| member.name.clone()).collect() })
}

/// Everyone who is in. A command is no daemon: whether this machine's own runs is seen as that of the others is.
fn members(view: &View) -> Vec<MemberFormat> {
    let member = |name: &NodeName| {
        let presence = view.presence.get(name);
        let is_me = *name == view.me.node;
        let beats = presence.is_some_and(|seen| seen.changed_at == LATE && seen.value.state == crate::records::PresenceState::Live);
        MemberFormat {
            name: name.clone(),
            version: presence.map(|seen| seen.value.version.clone()),
            reads_format: presence.map(|seen| seen.value.reads_format),
            live: if is_me { beats } else { view.is_live(name, LATE) },
        }
    };
    view.roster.members.keys().map(member).collect()
}

#[cfg(test)]
mod tests {
    use certfleet_core::envelope::FORMAT;
    use certfleet_core::key::RecordKey;
    use certfleet_core::names::ConfigHash;
    use certfleet_core::records::{FleetRecord, Presence, PresenceState};
    use certfleet_core::spec::all_roles;
    use certfleet_core::time::{Timestamp, earlier};

    use super::super::lab::{Lab, name, now};
    use super::*;

    async fn runs(lab: &Lab, node: &str, reads_format: u32, at: Timestamp) {
        let presence = Presence {
            incarnation: name("a1"),
            beat: 1,
            at,
            version: format!("0.{reads_format}"),
            config: ConfigHash::of(b""),
            roles: all_roles(),
            state: PresenceState::Live,
            troubles: Vec::new(),
            lacks: Vec::new(),
            reads_format,
            extra: Default::default(),
        };
        lab.write(node, &RecordKey::Presence(name(node)), &presence).await;
    }

    async fn upgrade(lab: &Lab, target: u32) -> (Result<Upgrade, String>, Vec<MemberFormat>) {
        let mut shown = Vec::new();
        let done = fleet_upgrade(&lab.machine("n1"), target, None, |members| shown = members.to_vec()).await;
        (done.map_err(|error| error.in_two_lines().to_string()), shown)
    }

    async fn format(lab: &Lab) -> u32 {
        lab.read::<FleetRecord>(&RecordKey::Fleet).await.format
    }

    #[tokio::test]
    async fn todays_format_is_in_use_already() {
        let lab = Lab::new().await;
        let (done, shown) = upgrade(&lab, FORMAT).await;
        assert_eq!(done, Ok(Upgrade { from: FORMAT, to: FORMAT, behind: Vec::new() }));
        assert_eq!(shown.len(), 3);
    }

    #[tokio::test]
    async fn a_live_member_that_does_not_read_it_is_named() {
        let lab = Lab::new().await;
        runs(&lab, "n1", FORMAT + 1, now()).await;
        runs(&lab, "n2", FORMAT, now()).await;
        let (done, shown) = upgrade(&lab, FORMAT + 1).await;
        let why = done.expect_err("n2 cannot read it");
        assert!(why.contains("format 2 is not read by n2;"), "{why}");
        let n2 = MemberFormat { name: name("n2"), version: Some("0.1".into()), reads_format: Some(FORMAT), live: true };
        assert_eq!(shown[1], n2);
        assert_eq!(format(&lab).await, FORMAT);
    }

    #[tokio::test]
    async fn it_is_raised_by_the_fleet_key_once_all_that_live_read_it() {
        let lab = Lab::new().await;
        let long_ago = earlier(now(), std::time::Duration::from_secs(3600));
        runs(&lab, "n1", FORMAT + 1, now()).await;
        runs(&lab, "n2", FORMAT, long_ago).await;
        let other = fleet_upgrade(&lab.machine("n2"), FORMAT + 1, None, |_| {}).await.expect_err("has no fleet key");
        assert!(other.in_two_lines().remedy.contains("--fleet-key FILE"));
        let (done, _) = upgrade(&lab, FORMAT + 1).await;
        assert_eq!(done, Ok(Upgrade { from: FORMAT, to: FORMAT + 1, behind: vec![name("n2"), name("n3")] }));
        assert_eq!(format(&lab).await, FORMAT + 1);
        let why = lab.view("n3").await.membership().expect_err("this version does not read it");
        assert!(why.contains("upgrade certfleet on this node"), "{why}");
        assert_eq!(upgrade(&lab, FORMAT + 1).await.0.expect("nothing to do").from, FORMAT + 1);
    }
}
