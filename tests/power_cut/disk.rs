//! A disk whose power can be cut: an ext4 file system in an image file, on a loop device.
//!
//! The cut is ext4's own shutdown call with the flag that writes nothing, not even the journal. It needs an
//! ioctl, for which the Python that the project needs anyway is enough.

use std::path::{Path, PathBuf};
use std::process::Command;

const IMAGE_BYTES: u64 = 2 << 30;

/// EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH.
const CUT: &str = "import fcntl, os, struct, sys\n\
    folder = os.open(sys.argv[1], os.O_RDONLY)\n\
    fcntl.ioctl(folder, 0x8004587D, struct.pack('I', 2))\n";

pub(crate) struct Disk {
    image: PathBuf,
    mount: PathBuf,
    /// Holds the two above, and goes last.
    _folder: tempfile::TempDir,
}

/// Runs to the end; the error is what was said.
fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path is text")
}

impl Disk {
    /// Makes and mounts one; the error says why this machine cannot.
    pub(crate) fn make() -> Result<Disk, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let disk = Disk {
            image: folder.path().join("disk.ext4"),
            mount: folder.path().join("disk"),
            _folder: folder,
        };
        std::fs::create_dir(&disk.mount).map_err(|error| error.to_string())?;
        let image = std::fs::File::create(&disk.image).map_err(|error| error.to_string())?;
        image.set_len(IMAGE_BYTES).map_err(|error| error.to_string())?;
        run("mkfs.ext4", &["-q", "-F", text(&disk.image)])?;
        disk.mount()?;
        Ok(disk)
    }

    /// Where the broker keeps its data.
    pub(crate) fn directory(&self) -> PathBuf {
        self.mount.join("data")
    }

    fn mount(&self) -> Result<(), String> {
        run("mount", &["-o", "loop", text(&self.image), text(&self.mount)])
    }

    /// From here on nothing reaches the disk, and every write and sync fails.
    pub(crate) fn cut_power(&self) {
        run("python3", &["-c", CUT, text(&self.mount)]).expect("cut the power");
    }

    /// Forgets the page cache and mounts what the disk holds. No process may have files open there.
    pub(crate) fn mount_again(&self) {
        run("umount", &[text(&self.mount)]).expect("unmount");
        self.mount().expect("mount again");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A test that failed may have left a broker behind; lazily, so that the image goes all the same.
        let _ = run("umount", &["-l", text(&self.mount)]);
    }
}
