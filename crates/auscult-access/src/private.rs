//! Files that only the program's user may read, replaced as a whole.

use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Largest file that is read.
const MAX_BYTES: u64 = 16 << 20;

/// Creates a directory, and its parents, unless it is there.
pub fn create_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Opens a file for appending and reading, and creates it. A symbolic link is an error.
pub fn open(path: &Path) -> io::Result<File> {
    let link = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    File::options().read(true).append(true).create(true).mode(0o600).custom_flags(link).open(path)
}

/// The text of a file; `None` where there is none.
///
/// # Errors
/// It cannot be read, it is larger than 16 MiB, or others than its owner may read or write it.
pub fn read(path: &Path) -> io::Result<Option<String>> {
    let link = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    let file = match File::options().read(true).custom_flags(link).open(path) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        opened => opened?,
    };
    let about = file.metadata()?;
    if about.mode() & 0o077 != 0 {
        return Err(io::Error::other(format!("others may read or write it: chmod 600 {}", path.display())));
    }
    if about.len() > MAX_BYTES {
        return Err(io::Error::other("it is larger than 16 MiB"));
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// Writes a file anew beside the old one, synced, and puts it in its place.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    match std::fs::remove_file(&beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// Holds a lock file exclusively, between threads and processes, until it is dropped.
pub struct Lock(#[expect(dead_code, reason = "the lock is held as long as the file is open")] File);

impl Lock {
    /// Waits for it.
    pub fn wait(path: &Path) -> io::Result<Lock> {
        let file = open(path)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
        Ok(Lock(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn files_are_private_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        assert!(read(&path).unwrap().is_none());
        replace(&path, "one").unwrap();
        replace(&path, "two").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("two"));
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("chmod 600"));
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(read(&link).is_err() && open(&link).is_err());
    }
}
