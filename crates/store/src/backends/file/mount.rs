//! What kind of file system the store is on, and how late others see a change there.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::fs::statfs;

/// What is known of the store's file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Only this machine writes to it, so inotify sees every change.
    pub(super) is_local: bool,
    /// How long others may see the old state.
    pub(super) visibility_delay: Duration,
}

/// `f_type` of file systems that one machine has to itself (linux/magic.h): ext2–4, XFS, Btrfs, tmpfs, ramfs, F2FS, ZFS, bcachefs, overlayfs.
/// Whatever is not here is polled, which is always right.
const LOCAL_TYPES: [i128; 9] =
    [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x8584_58F6, 0xF2F5_2010, 0x2FC1_2FC1, 0xCA45_1A4E, 0x794C_7630];
/// NFS caches a directory's attributes for up to this long (nfs(5), acdirmax).
const NFS_DEFAULT_SECONDS: u64 = 60;
/// SMB (mount.cifs(8), actimeo) and FUSE (libfuse, attr_timeout).
const OTHER_DEFAULT_SECONDS: u64 = 1;

impl Mount {
    /// Of the file system that holds `root`.
    pub(super) fn of(root: &Path) -> Self {
        let is_local = statfs(root).is_ok_and(|found| LOCAL_TYPES.contains(&i128::from(found.f_type)));
        let visibility_delay = if is_local { Duration::ZERO } else { delay_of_mount(root) };
        Self { is_local, visibility_delay }
    }
}

fn delay_of_mount(root: &Path) -> Duration {
    let root = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mount = mounts.lines().filter_map(Line::parse).filter(|line| root.starts_with(&line.mount_point));
    // The last of the deepest is on top.
    mount.max_by_key(|line| line.mount_point.len()).map_or(Duration::ZERO, |line| line.delay())
}

/// A line of proc_pid_mountinfo(5).
#[derive(Debug, PartialEq, Eq)]
struct Line {
    mount_point: String,
    kind: String,
    options: String,
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let (mount, kind) = line.split_once(" - ")?;
        let mount_point = unescaped(mount.split(' ').nth(4)?);
        let mut fields = kind.split(' ');
        let kind = fields.next()?.to_owned();
        Some(Self { mount_point, kind, options: fields.nth(1)?.to_owned() })
    }

    fn delay(&self) -> Duration {
        let default = match self.kind.as_str() {
            "nfs" | "nfs4" => NFS_DEFAULT_SECONDS,
            "cifs" | "smb3" => OTHER_DEFAULT_SECONDS,
            kind if kind.starts_with("fuse") => OTHER_DEFAULT_SECONDS,
            _ => 0,
        };
        let option = |name: &str| self.options.split(',').find_map(|option| option.strip_prefix(name)?.strip_prefix('='));
        let seconds = |name: &str| option(name).and_then(|value| value.parse().ok());
        if self.options.split(',').any(|option| option == "noac") {
            return Duration::ZERO;
        }
        Duration::from_secs(seconds("acdirmax").or_else(|| seconds("actimeo")).unwrap_or(default))
    }
}

/// Spaces and the like are written as octal.
fn unescaped(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(field.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delay(line: &str) -> Duration {
        Line::parse(line).expect("a mountinfo line").delay()
    }

    #[test]
    fn the_attribute_cache_time_is_read() {
        let nfs = "36 25 0:31 / /srv/a\\040b rw,relatime shared:1 - nfs4 server:/x rw,vers=4.2,";
        assert_eq!(Line::parse(&format!("{nfs}hard")).map(|line| line.mount_point), Some("/srv/a b".into()));
        assert_eq!(delay(&format!("{nfs}hard,proto=tcp")), Duration::from_secs(60));
        assert_eq!(delay(&format!("{nfs}acregmin=1,acregmax=1,acdirmin=1,acdirmax=1,hard")), Duration::from_secs(1));
        assert_eq!(delay(&format!("{nfs}hard,noac")), Duration::ZERO);
        assert_eq!(delay("40 25 0:40 / /mnt rw - cifs //s/x rw,actimeo=3"), Duration::from_secs(3));
        assert_eq!(delay("40 25 0:40 / /mnt rw - ceph mon:/ rw"), Duration::ZERO);
    }

    #[test]
    fn this_machines_own_file_system_is_local() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(Mount::of(dir.path()), Mount { is_local: true, visibility_delay: Duration::ZERO });
        assert!(!Mount::of(Path::new("/proc")).is_local);
    }
}
