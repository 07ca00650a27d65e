//! Numbers of users and groups by name.

use std::fs;
use std::process::{Command, Stdio};

use certfleet_core::names::TargetName;

use crate::material::BuildError;

/// Owner and group that a target's files get; `None`: those of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Owner {
    pub user: Option<u32>,
    pub group: Option<u32>,
}

impl Owner {
    /// Looks both up.
    pub fn find(target: &TargetName, user: Option<&str>, group: Option<&str>) -> Result<Self, BuildError> {
        let unknown_user = |user: &str| BuildError::UnknownUser { target: target.clone(), user: user.to_owned() };
        let unknown_group = |group: &str| BuildError::UnknownGroup { target: target.clone(), group: group.to_owned() };
        Ok(Self {
            user: user.map(|name| number("passwd", name).ok_or_else(|| unknown_user(name))).transpose()?,
            group: group.map(|name| number("group", name).ok_or_else(|| unknown_group(name))).transpose()?,
        })
    }
}

/// A number as it stands, a local name, or one that only the name service knows (LDAP and the like).
fn number(database: &str, name: &str) -> Option<u32> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let local = fs::read_to_string(format!("/etc/{database}")).unwrap_or_default();
    in_database(&local, name).or_else(|| in_database(&getent(database, name)?, name))
}

/// `passwd` and `group` both have the name first and the number third (passwd(5), group(5)).
fn in_database(text: &str, name: &str) -> Option<u32> {
    let mut entries = text.lines().map(|line| line.split(':'));
    let mut entry = entries.find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
    entry.nth(1)?.parse().ok()
}

fn getent(database: &str, name: &str) -> Option<String> {
    let output = Command::new("getent").args([database, "--", name]).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_found() {
        let target: TargetName = "t".parse().expect("name");
        assert_eq!(Owner::find(&target, Some("root"), Some("33")), Ok(Owner { user: Some(0), group: Some(33) }));
        assert_eq!(Owner::find(&target, None, None), Ok(Owner::default()));
        let unknown = Owner::find(&target, None, Some("no-such-group"));
        assert_eq!(unknown, Err(BuildError::UnknownGroup { target, group: "no-such-group".into() }));
    }

    #[test]
    fn only_whole_names_count() {
        assert_eq!(in_database("rooty:x:5:\nroot:x:7:\n", "root"), Some(7));
        assert_eq!(in_database("root:x\n", "root"), None);
    }
}
