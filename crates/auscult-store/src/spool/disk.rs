//! The file operations the spool needs, behind a trait so that tests can make them fail or forget.

use crate::private;
use std::io::{self, Read, Write};
use std::path::Path;

/// A directory of small whole files.
pub trait Disk: Send + Sync {
    /// Creates the file anew, writes all bytes and syncs them; the file is private to the user.
    /// After an error nothing may be assumed about the file: a failed sync is never repeated on the same handle,
    /// because the kernel reports a lost page once and then forgets it.
    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes renames inside `dir` last.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// The first `bytes` bytes of a file, or all of a shorter one.
    fn read_head(&self, path: &Path, bytes: usize) -> io::Result<Vec<u8>> {
        let mut whole = self.read(path)?;
        whole.truncate(bytes);
        Ok(whole)
    }
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Names and sizes of the files in `dir`.
    fn list(&self, dir: &Path) -> io::Result<Vec<(String, u64)>>;
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
}

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files;

impl Disk for Files {
    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = private::create_file(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        std::fs::File::open(dir)?.sync_all()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn read_head(&self, path: &Path, bytes: usize) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        std::fs::File::open(path)?.take(bytes as u64).read_to_end(&mut head)?;
        Ok(head)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let about = entry.metadata()?;
            if let (true, Ok(name)) = (about.is_file(), entry.file_name().into_string()) {
                files.push((name, about.len()));
            }
        }
        Ok(files)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        private::create_dir(dir)
    }
}
