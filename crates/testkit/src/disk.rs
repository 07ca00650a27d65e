//! A small file system of its own, that can be filled, grown, and made read-only.
//!
//! Always holds: it is unmounted when it is dropped. Without the right to mount there is none, and that is said.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is written at once while filling, in bytes; then single bytes.
const PIECES_BYTES: [usize; 2] = [4096, 1];

/// A mounted tmpfs.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Makes the directory `at` one; `None`, loudly, without the right to mount.
    pub fn mount(at: &Path, megabytes: u32) -> Option<Self> {
        std::fs::create_dir(at).expect("the directory is new");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "none"]).arg(at).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            refused => {
                eprintln!("SKIPPED: a full disk needs the right to mount one: {refused:?}");
                None
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Leaves no room.
    pub fn fill(&self) {
        let mut filler = File::create(self.filler()).expect("a file can be made");
        for bytes in PIECES_BYTES {
            while filler.write_all(&vec![0; bytes]).is_ok() {}
        }
    }

    /// Ends [`SmallDisk::fill`].
    pub fn make_room(&self) {
        std::fs::remove_file(self.filler()).expect("it was filled");
    }

    /// Makes it larger.
    pub fn grow(&self, megabytes: u32) {
        self.remount(&format!("size={megabytes}m"));
    }

    /// Refuses all writes, or takes them again.
    pub fn set_read_only(&self, read_only: bool) {
        self.remount(if read_only { "ro" } else { "rw" });
    }

    fn remount(&self, option: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{option}")]).arg(&self.0).output().expect("mount can be run");
        assert!(done.status.success(), "{}: {}", self.0.display(), String::from_utf8_lossy(&done.stderr));
    }

    fn filler(&self) -> PathBuf {
        self.0.join(".filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_filled_and_closed_and_opened_again() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let Some(disk) = SmallDisk::mount(&dir.path().join("disk"), 1) else { return };
        // A new file each time: to write over one frees what it had.
        let mut files = 0..;
        let mut writes = || {
            let file = disk.path().join(files.next().unwrap_or(0).to_string());
            std::fs::write(file, b"text").is_ok()
        };
        assert!(writes());
        disk.fill();
        assert!(!writes());
        disk.make_room();
        assert!(writes());
        disk.set_read_only(true);
        assert!(!writes());
        disk.set_read_only(false);
        assert!(writes());
    }
}
