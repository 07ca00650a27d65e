//! Files brought into place so that a crash at any moment leaves something that can be finished or undone.
//!
//! A change is: new content into a dot-prefixed file beside the old one (`.NAME.TARGET.certfleet-new`), the old file kept under a second
//! name (`.NAME.TARGET.certfleet-old`; an empty one says that there was none), a rename over the old name. Once the server has taken the new
//! file, [`settle`] removes the second name; until then [`put_back`] undoes the change, in this or a later process. So a left-over
//! `certfleet-old` always means: a change was interrupted, and this is the last known good.
//!
//! Always holds: a file has its final owner and mode before the first byte of content is in it, and is never wider than 0600 until then.
//! Blocking; called on the blocking pool.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use certfleet_core::secret::Secret;
use certfleet_core::x509::CHAIN_BYTES_MAX;
use rustix::fs::XattrFlags;

use crate::material::DeployError;
use crate::owner::Owner;

/// Largest file that is compared with what should be in it: a chain and a key.
const FILE_BYTES_MAX: usize = CHAIN_BYTES_MAX + 64 * 1024;
/// Longest SELinux label that is copied.
const LABEL_BYTES_MAX: usize = 4096;
/// The extended attribute that holds it (xattr(7)).
const LABEL: &str = "security.selinux";

/// A file as it should be.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub path: PathBuf,
    pub content: Secret,
    pub mode: u32,
    pub owner: Owner,
    /// The target's name; keeps the temporary files of two targets apart.
    pub tag: String,
}

type Done<T = ()> = Result<T, DeployError>;

fn io_error<'a>(path: &'a Path, doing: &'static str) -> impl FnOnce(io::Error) -> DeployError + 'a {
    move |source| DeployError::Io { path: path.to_owned(), doing, source }
}

impl Wanted {
    fn beside(&self, role: &str) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!(".{name}.{}.certfleet-{role}", self.tag))
    }

    fn staged(&self) -> PathBuf {
        self.beside("new")
    }

    fn backup(&self) -> PathBuf {
        self.beside("old")
    }

    fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Whether the file on disk is not this one: other content, mode or owner, or no file.
    pub fn differs(&self) -> Done<bool> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(true),
            Err(e) => return Err(io_error(&self.path, "opened")(e)),
        };
        let meta = file.metadata().map_err(io_error(&self.path, "looked at"))?;
        let owner_fits = self.owner.user.is_none_or(|id| id == meta.uid()) && self.owner.group.is_none_or(|id| id == meta.gid());
        if !meta.is_file() || meta.mode() & 0o7777 != self.mode || !owner_fits || meta.len() != self.content.expose().len() as u64 {
            return Ok(true);
        }
        Ok(read_bounded(file).map_err(io_error(&self.path, "read"))?.expose() != self.content.expose())
    }

    /// Whether an earlier change of this file was interrupted.
    pub fn is_interrupted(&self) -> bool {
        fs::symlink_metadata(self.backup()).is_ok()
    }
}

fn read_bounded(file: File) -> io::Result<Secret> {
    let mut bytes = Vec::with_capacity(FILE_BYTES_MAX / 16);
    file.take(FILE_BYTES_MAX as u64).read_to_end(&mut bytes)?;
    Ok(Secret::new(bytes))
}

/// Reads a file that a target wrote, up to the bound.
pub(crate) fn read(path: &Path) -> Done<Secret> {
    File::open(path).and_then(read_bounded).map_err(io_error(path, "read"))
}

/// Brings the files into place; those that are right are not touched. Says whether any was written. When it fails, none was.
pub(crate) fn place(files: &[Wanted]) -> Done<bool> {
    let placed = try_place(files);
    if placed.is_err() {
        // The first error is the one worth telling; what cannot be undone now is undone at the next change.
        let _ = put_back(files);
    }
    placed
}

fn try_place(files: &[Wanted]) -> Done<bool> {
    let mut changing = Vec::new();
    for file in files {
        make_dir(file)?;
        if file.differs()? {
            changing.push(file);
        }
    }
    for file in &changing {
        stage(file)?;
    }
    for file in &changing {
        keep_old(file)?;
    }
    sync_dirs(&changing)?;
    for file in &changing {
        fs::rename(file.staged(), &file.path).map_err(io_error(&file.path, "replaced"))?;
    }
    sync_dirs(&changing)?;
    Ok(!changing.is_empty())
}

/// Creates the directory that holds the file, but not the one above it: that one missing is a mistake or an unmounted file system.
fn make_dir(file: &Wanted) -> Done {
    let dir = file.dir();
    if dir.is_dir() {
        return Ok(());
    }
    let above = dir.parent().unwrap_or(Path::new("/"));
    if !above.is_dir() {
        return Err(DeployError::NoParent { dir: above.to_owned(), wanted: dir.to_owned() });
    }
    // Those who may read the key may enter; made narrow, then widened.
    let mode = file.mode | (file.mode & 0o444) >> 2;
    fs::DirBuilder::new().mode(0o700).create(dir).map_err(io_error(dir, "created"))?;
    let made = File::open(dir).map_err(io_error(dir, "opened"))?;
    std::os::unix::fs::fchown(&made, file.owner.user, file.owner.group).map_err(io_error(dir, "given to its owner"))?;
    made.set_permissions(fs::Permissions::from_mode(mode | 0o700)).map_err(io_error(dir, "given its mode"))?;
    sync_dir(above)
}

fn stage(file: &Wanted) -> Done {
    let path = file.staged();
    let mut staged = create_staged(file, &path)?;
    staged.write_all(file.content.expose()).map_err(io_error(&path, "written"))?;
    staged.sync_all().map_err(io_error(&path, "synced"))
}

/// The file as it will be, but for its content.
fn create_staged(file: &Wanted, path: &Path) -> Done<File> {
    remove(path)?;
    let staged = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io_error(path, "created"))?;
    std::os::unix::fs::fchown(&staged, file.owner.user, file.owner.group).map_err(io_error(path, "given to its owner"))?;
    staged.set_permissions(fs::Permissions::from_mode(file.mode)).map_err(io_error(path, "given its mode"))?;
    copy_label(&file.path, &staged);
    Ok(staged)
}

/// The SELinux label of the file that is replaced. Where there is none, or it may not be set, the directory's default stands.
fn copy_label(from: &Path, to: &File) {
    let mut label = vec![0; LABEL_BYTES_MAX];
    if let Ok(length) = rustix::fs::getxattr(from, LABEL, &mut label[..]) {
        let _ = rustix::fs::fsetxattr(to, LABEL, &label[..length], XattrFlags::empty());
    }
}

/// Gives the old file its second name. One that is there already, from an interrupted change, is the better one.
fn keep_old(file: &Wanted) -> Done {
    let backup = file.backup();
    match fs::hard_link(&file.path, &backup) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(e) if e.kind() == ErrorKind::NotFound => create_private(&backup, &[]),
        // No hard links here (some network file systems; protected_hardlinks, proc_sys_fs(5)): a copy does.
        Err(_) => copy_old(file, &backup),
    }
}

fn copy_old(file: &Wanted, backup: &Path) -> Done {
    let old = read(&file.path)?;
    let meta = fs::metadata(&file.path).map_err(io_error(&file.path, "looked at"))?;
    create_private(backup, old.expose())?;
    // Owner first: a change of owner may clear mode bits (chown(2)). Not being allowed to give it away is no reason to stop.
    let _ = std::os::unix::fs::chown(backup, Some(meta.uid()), Some(meta.gid()));
    fs::set_permissions(backup, meta.permissions()).map_err(io_error(backup, "given its mode"))
}

fn create_private(path: &Path, content: &[u8]) -> Done {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io_error(path, "created"))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(io_error(path, "written"))
}

/// Undoes what was not settled: old files return, files that were not there go. Tries all of them; the first error is told.
pub(crate) fn put_back(files: &[Wanted]) -> Done {
    let mut result = Ok(());
    for file in files {
        result = result.and(restore(file)).and(remove(&file.staged()));
    }
    result.and(sync_dirs(&files.iter().collect::<Vec<_>>()))
}

fn restore(file: &Wanted) -> Done {
    let backup = file.backup();
    let meta = match fs::symlink_metadata(&backup) {
        Ok(meta) => meta,
        Err(_) => return Ok(()),
    };
    if meta.len() == 0 {
        remove(&file.path)?;
    } else {
        fs::rename(&backup, &file.path).map_err(io_error(&file.path, "put back"))?;
    }
    // rename(2) leaves both names when they are one file: the change was interrupted before its own rename.
    remove(&backup)
}

/// The change stands: the second names go.
pub(crate) fn settle(files: &[Wanted]) -> Done {
    for file in files {
        remove(&file.backup())?;
        remove(&file.staged())?;
    }
    Ok(())
}

fn remove(path: &Path) -> Done {
    match fs::remove_file(path) {
        Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Err(io_error(path, "removed")(e)),
        _ => Ok(()),
    }
}

fn sync_dirs(files: &[&Wanted]) -> Done {
    let mut dirs: Vec<&Path> = files.iter().map(|file| file.dir()).collect();
    dirs.dedup();
    dirs.into_iter().filter(|dir| dir.is_dir()).try_for_each(sync_dir)
}

fn sync_dir(dir: &Path) -> Done {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error(dir, "synced"))
}

#[cfg(test)]
mod tests;
