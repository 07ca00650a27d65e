//! A Unix socket's file.
//!
//! Always holds: the file appears under its name complete, with its final mode and group (it is made in a directory that only we may enter,
//! then renamed; the umask, which is the whole process's, is left alone); a socket that somebody listens on is never taken away; on the way
//! out only our own file is removed.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::BindProblem;

/// What fits into `sun_path` with its closing NUL (unix(7)).
const PATH_BYTES_MAX: usize = 107;
/// How many names are tried for the temporary directory.
const DIRECTORY_TRIES_MAX: u32 = 16;
/// Most bytes of /etc/group read.
const GROUPS_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The file of a listening socket; removed on drop if it is still the same.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

pub(super) fn bind(path: &Path, mode: u32, group: Option<&str>) -> Result<(UnixListener, SocketFile), BindProblem> {
    let group = group.map(|name| group_id(name).map(|gid| (name, gid))).transpose()?;
    check_vacant(path)?;
    let workshop = Workshop::beside(path)?;
    let made = workshop.socket();
    let listener = UnixListener::bind(&made)?;
    listener.set_nonblocking(true)?;
    if let Some((name, gid)) = group {
        chown(&made, None, Some(gid)).map_err(|e| BindProblem::Group { group: name.to_owned(), problem: e.to_string() })?;
    }
    fs::set_permissions(&made, Permissions::from_mode(mode))?;
    let meta = fs::symlink_metadata(&made)?;
    fs::rename(&made, path)?;
    Ok((listener, SocketFile { path: path.to_owned(), identity: (meta.dev(), meta.ino()) }))
}

/// Nothing is there, or a socket on which nobody listens any more.
fn check_vacant(path: &Path) -> Result<(), BindProblem> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e.into()),
        Ok(meta) if !meta.file_type().is_socket() => return Err(BindProblem::NotASocket),
        Ok(_) => {}
    }
    let probe = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None);
    let answer = probe.and_then(|probe| connect(&probe, &SocketAddrUnix::new(path)?));
    match answer {
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(()),
        Ok(()) | Err(Errno::AGAIN) => Err(BindProblem::SocketInUse),
        Err(errno) => Err(BindProblem::Other(format!("a socket is there, and whether it is in use cannot be seen: {errno}"))),
    }
}

/// A directory next to the socket that only we may enter; gone when dropped.
struct Workshop(PathBuf);

impl Workshop {
    fn beside(path: &Path) -> Result<Self, BindProblem> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        make_last(parent).map_err(|e| BindProblem::Other(format!("its directory {} cannot be made: {e}", parent.display())))?;
        for n in 0..DIRECTORY_TRIES_MAX {
            let made = Self::name(parent, n);
            check_length(path, &made.join("s"))?;
            match DirBuilder::new().mode(0o700).create(&made) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                result => {
                    let problem = |e| BindProblem::Other(format!("nothing can be made in {}: {e}", parent.display()));
                    return result.map(|()| Self(made)).map_err(problem);
                }
            }
        }
        Err(BindProblem::Other(format!("remove the left-over directories `.cf…` in {}", parent.display())))
    }

    fn name(parent: &Path, n: u32) -> PathBuf {
        parent.join(format!(".cf{:x}-{n:x}", std::process::id()))
    }

    fn socket(&self) -> PathBuf {
        self.0.join("s")
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.socket());
        let _ = fs::remove_dir(&self.0);
    }
}

/// `/run/certfleet` of `/run/certfleet/admin.sock`, for those who start the daemon by hand; not more than one level.
fn make_last(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o755).create(directory) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

fn check_length(path: &Path, made: &Path) -> Result<(), BindProblem> {
    let length = |p: &Path| p.as_os_str().as_bytes().len();
    let longest = length(path).max(length(made));
    if longest <= PATH_BYTES_MAX {
        return Ok(());
    }
    Err(BindProblem::PathTooLong { bytes: length(path), bytes_max: length(path).saturating_sub(longest - PATH_BYTES_MAX) })
}

/// A number, or a name of /etc/group.
fn group_id(name: &str) -> Result<u32, BindProblem> {
    let problem = |problem: String| BindProblem::Group { group: name.chars().flat_map(char::escape_default).collect(), problem };
    if let Ok(gid) = name.parse() {
        return Ok(gid);
    }
    let mut text = String::new();
    let groups = fs::File::open("/etc/group").map(|file| io::Read::take(file, GROUPS_BYTES_MAX));
    groups
        .and_then(|mut file| io::Read::read_to_string(&mut file, &mut text))
        .map_err(|e| problem(format!("/etc/group cannot be read: {e}")))?;
    let entry = |line: &str| match line.split(':').collect::<Vec<_>>()[..] {
        [group, _, gid, ..] if group == name => gid.parse().ok(),
        _ => None,
    };
    text.lines().find_map(entry).ok_or_else(|| problem("there is no such group".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_looked_up() {
        assert_eq!(group_id("root"), Ok(0));
        assert_eq!(group_id("4242"), Ok(4242));
        assert!(group_id("no such group").unwrap_err().to_string().contains("there is no such group"));
    }

    #[test]
    fn nothing_is_left_when_it_fails() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x".repeat(PATH_BYTES_MAX));
        let Err(BindProblem::PathTooLong { bytes, bytes_max }) = bind(&path, 0o600, None).map(drop) else { panic!("too long") };
        assert!(bytes > bytes_max && bytes_max > dir.path().as_os_str().len());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_changed_hands_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (_, file) = bind(&path, 0o600, None).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another's").unwrap();
        drop(file);
        assert!(path.exists());
    }
}
