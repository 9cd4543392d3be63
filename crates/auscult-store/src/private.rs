//! Files and directories that only the program's user may read: made so, and kept so.
//!
//! Rows hold numbers, names and addresses of callers. New directories have mode 0700 and new files 0600, whatever the
//! umask; a name that is a symbolic link already is replaced, never followed.

use super::StoreError;
use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Mode bits of group and others.
const OTHERS: u32 = 0o077;

/// Makes everything the process creates from now on private, including what the engine library creates.
pub fn restrict_umask() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(OTHERS));
}

/// Creates a directory, and its parents, unless it is there.
pub fn create_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Creates a file anew. What has its name, such as a leftover or a symbolic link, is removed first.
pub fn create_file(path: &Path) -> io::Result<File> {
    let create = || File::options().write(true).create_new(true).mode(0o600).open(path);
    match create() {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::remove_file(path)?;
            create()
        }
        created => created,
    }
}

/// Opens a file for locking, and creates it if it is not there. A symbolic link is an error.
pub fn open_lock_file(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options.open(path)
}

/// Creates the data directory, or checks one that is there: it must belong to this user, and its parent must not let
/// others replace it. Files and directories in it that others could read, as earlier versions made them, become
/// private; what the engine made is closed off by its directory. Returns what to say about it, one line each.
///
/// # Errors
/// [`StoreError::ForeignDirectory`], [`StoreError::OpenParent`], and [`StoreError::Io`].
pub fn claim(dir: &Path) -> Result<Vec<String>, StoreError> {
    let io = |what: &'static str| move |source| StoreError::Io { what, path: dir.to_path_buf(), source };
    create_dir(dir).map_err(io("create the data directory"))?;
    let dir = &dir.canonicalize().map_err(io("find the data directory"))?;
    let user = rustix::process::geteuid().as_raw();
    let about = std::fs::metadata(dir).map_err(io("look at the data directory"))?;
    if about.uid() != user {
        return Err(StoreError::ForeignDirectory { dir: dir.clone(), owner: about.uid(), user });
    }
    if let Some(parent) = dir.parent() {
        let about = std::fs::metadata(parent).map_err(io("look at the directory above"))?;
        if anybody_may_replace_entries(&about) {
            return Err(StoreError::OpenParent { dir: dir.clone(), parent: parent.to_path_buf() });
        }
    }
    let mut found = Found::default();
    // The directory first: from then on no other user can exchange what is below it.
    tighten(dir, &about, &mut found);
    restrict(dir, true, user, &mut found);
    let mut lines = Vec::new();
    if found.tightened > 0 {
        lines.push(format!(
            "{}: {} files and directories were open to other users; they are private now",
            dir.display(),
            found.tightened
        ));
    }
    if found.foreign > 0 {
        lines.push(format!(
            "{}: {} files or directories belong to another user, or cannot be changed; give them to user {user} (chown -R)",
            dir.display(),
            found.foreign
        ));
    }
    Ok(lines)
}

/// Everybody may write, and nothing protects what belongs to others.
fn anybody_may_replace_entries(about: &Metadata) -> bool {
    about.mode() & 0o002 != 0 && about.mode() & 0o1000 == 0
}

#[derive(Default)]
struct Found {
    tightened: u64,
    foreign: u64,
}

/// Goes through a directory; the one of the engine is closed itself, and not entered.
fn restrict(dir: &Path, is_top: bool, user: u32, found: &mut Found) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        found.foreign += 1;
        return;
    };
    for entry in entries.flatten() {
        // Of the entry itself: links are not followed.
        let Ok(about) = entry.metadata() else { continue };
        if about.is_symlink() {
            continue;
        }
        if about.uid() != user {
            found.foreign += 1;
            continue;
        }
        tighten(&entry.path(), &about, found);
        if about.is_dir() && !(is_top && entry.file_name() == "clickhouse") {
            restrict(&entry.path(), false, user, found);
        }
    }
}

fn tighten(path: &Path, about: &Metadata, found: &mut Found) {
    if about.mode() & OTHERS == 0 {
        return;
    }
    match std::fs::set_permissions(path, Permissions::from_mode(about.mode() & 0o7777 & !OTHERS)) {
        Ok(()) => found.tightened += 1,
        Err(_) => found.foreign += 1,
    }
}

/// Why others than this user could learn or change a secret from its file; `None` when they cannot. A group may read.
pub fn exposure(path: &Path) -> io::Result<Option<&'static str>> {
    let mode = std::fs::metadata(path)?.mode();
    Ok(match mode {
        _ if mode & 0o022 != 0 => Some("can be written by other users"),
        _ if mode & 0o004 != 0 => Some("can be read by every user"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn open_up(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_planted_link_is_replaced_and_its_target_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, path) = (dir.path().join("victim"), dir.path().join("replays.json.new"));
        std::fs::write(&victim, "precious").unwrap();
        open_up(&victim, 0o644);
        symlink(&victim, &path).unwrap();
        io::Write::write_all(&mut create_file(&path).unwrap(), b"ours").unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        assert!(!path.symlink_metadata().unwrap().is_symlink());
        assert_eq!((mode(&path), mode(&victim)), (0o600, 0o644));
        // A leftover with a wider mode does not hand that mode on.
        open_up(&path, 0o666);
        drop(create_file(&path).unwrap());
        assert_eq!((mode(&path), std::fs::read(&path).unwrap()), (0o600, vec![]));
        std::fs::remove_file(&path).unwrap();
        symlink(dir.path().join("absent"), &path).unwrap();
        assert!(open_lock_file(&path).is_err());
        assert!(!dir.path().join("absent").exists());
    }

    #[test]
    fn a_directory_of_an_earlier_version_becomes_private() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("data");
        let spool = dir.join("spool/dead_letter");
        let engine = dir.join("clickhouse/store");
        std::fs::create_dir_all(&spool).unwrap();
        std::fs::create_dir_all(&engine).unwrap();
        let outside = top.path().join("outside");
        for file in [dir.join("replays.json"), spool.join("1.seg"), engine.join("part"), outside.clone()] {
            std::fs::write(&file, "x").unwrap();
            open_up(&file, 0o644);
        }
        symlink(&outside, dir.join("link")).unwrap();
        for open in [&dir, &dir.join("spool"), &spool, &dir.join("clickhouse")] {
            open_up(open, 0o755);
        }
        let lines = claim(&dir).unwrap();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].ends_with(": 6 files and directories were open to other users; they are private now"),
            "{lines:?}"
        );
        assert_eq!([mode(&dir), mode(&spool), mode(&dir.join("clickhouse"))], [0o700; 3]);
        assert_eq!([mode(&dir.join("replays.json")), mode(&spool.join("1.seg"))], [0o600; 2]);
        assert_eq!(mode(&outside), 0o644, "links are not followed");
        assert_eq!(claim(&dir).unwrap(), Vec::<String>::new(), "nothing is left to do or to say");
        assert_eq!(mode(&top.path().join("data")), 0o700);
    }

    #[test]
    fn a_directory_that_anybody_may_exchange_is_refused() {
        let top = tempfile::tempdir().unwrap();
        let parent = top.path().join("open");
        std::fs::create_dir(&parent).unwrap();
        open_up(&parent, 0o777);
        let refused = claim(&parent.join("data")).unwrap_err().to_string();
        assert!(refused.contains("chmod o-w") && refused.lines().count() == 1, "{refused}");
        open_up(&parent, 0o1777);
        assert!(claim(&parent.join("data")).is_ok(), "as in /tmp, where only the owner may rename");
    }

    #[test]
    fn a_directory_of_another_user_is_refused() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("data");
        std::fs::create_dir(&dir).unwrap();
        if std::os::unix::fs::chown(&dir, Some(65_534), None).is_err() {
            testkit::skip("giving a directory away takes root");
            return;
        }
        let refused = claim(&dir).unwrap_err().to_string();
        assert!(refused.contains("belongs to user 65534") && refused.lines().count() == 1, "{refused}");
    }

    #[test]
    fn secrets_may_be_read_by_their_group_only() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, expected) in [
            (0o600, None),
            (0o640, None),
            (0o644, Some("can be read by every user")),
            (0o620, Some("can be written by other users")),
            (0o666, Some("can be written by other users")),
        ] {
            open_up(file.path(), mode);
            assert_eq!(exposure(file.path()).unwrap(), expected, "{mode:o}");
        }
    }
}
