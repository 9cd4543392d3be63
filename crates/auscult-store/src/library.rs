//! Where the engine library is taken from, who could have put it there, and whether it is the pinned one.
//!
//! Loading a library runs its code. It is looked for at absolute places only, and loaded only when root and this user
//! alone can change the file and every directory above it. So no other user can exchange it between this check and its
//! loading either.

use super::StoreError;
use super::private;
use sha2::{Digest, Sha256};
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Environment variable that names the library file, by an absolute path.
pub const LIBRARY_ENV: &str = "AUSCULT_LIBCHDB";

/// Version that `tools/fetch-engine` fetches and the tests run with.
pub const PINNED_VERSION: &str = "26.7.3-stable.1";

/// SHA-256 of the pinned version's file.
pub const PINNED_SHA256: &str = "36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5";

/// The library file to load: the configured path, then [`LIBRARY_ENV`], `vendor/` beside the build directory the program
/// was built in, `../lib/auscult` from the program's directory, `/usr/lib/auscult`, the user's cache. Never a place that
/// depends on the working directory. A configured or exported path is final: if nothing is there, that is the error.
///
/// # Errors
/// [`StoreError::NoLibrary`]; [`StoreError::UntrustedLibrary`] when others than root and this user could have changed
/// the file; [`StoreError::Setting`] for a relative path.
pub fn find_library(configured: Option<&Path>) -> Result<PathBuf, StoreError> {
    let exported = || std::env::var_os(LIBRARY_ENV).map(PathBuf::from);
    let places = match configured.map(Path::to_path_buf).or_else(exported) {
        Some(path) if path.is_absolute() => vec![path],
        Some(path) => {
            let text = format!("the engine library {}: its path must be absolute", path.display());
            return Err(StoreError::Setting(text));
        }
        None => usual_places(std::env::current_exe().ok().as_deref(), cache_dir().as_deref()),
    };
    match places.iter().find(|path| path.is_file()) {
        Some(path) => trusted(path),
        None => Err(StoreError::NoLibrary { tried: places }),
    }
}

fn usual_places(program: Option<&Path>, cache: Option<&Path>) -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Some(program) = program {
        let build = program.ancestors().find(|dir| dir.file_name().is_some_and(|name| name == "target"));
        places.extend(build.and_then(Path::parent).map(|dir| dir.join("vendor/libchdb.so")));
        let prefix = program.parent().and_then(Path::parent).filter(|_| build.is_none());
        places.extend(prefix.map(|prefix| prefix.join("lib/auscult/libchdb.so")));
    }
    places.push(PathBuf::from("/usr/lib/auscult/libchdb.so"));
    places.extend(cache.map(|dir| dir.join("libchdb.so")));
    places.dedup();
    places
}

/// The program's directory in the user's cache, where an engine library and its checksum may be. Relative paths in the environment do not count (XDG base directories).
pub fn cache_dir() -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = named("XDG_CACHE_HOME").or_else(|| named("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("auscult"))
}

/// The real path of a library that only root and this user can change.
fn trusted(path: &Path) -> Result<PathBuf, StoreError> {
    let refused = |why: String| StoreError::UntrustedLibrary { path: path.to_path_buf(), why };
    let real = path.canonicalize().map_err(|e| refused(e.to_string()))?;
    let user = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    for part in real.ancestors() {
        let about = std::fs::metadata(part).map_err(|e| refused(format!("{}: {e}", part.display())))?;
        if let Some(why) = who_else_may_change(&Part::of(&about), user) {
            return Err(refused(format!("{} {why}", part.display())));
        }
    }
    Ok(real)
}

/// What the check looks at of a file or directory.
#[derive(Clone, Copy)]
struct Part {
    owner: u32,
    group: u32,
    mode: u32,
    is_dir: bool,
}

impl Part {
    fn of(about: &Metadata) -> Part {
        Part { owner: about.uid(), group: about.gid(), mode: about.mode(), is_dir: about.is_dir() }
    }
}

/// Who besides root and this user (with this group) may change it; `None` when none may. In a directory with the sticky
/// bit others cannot exchange what is root's or this user's. A group of the same number as its user, as most systems
/// give each user one, has no other members.
fn who_else_may_change(part: &Part, (user, group): (u32, u32)) -> Option<String> {
    let sticky = part.is_dir && part.mode & 0o1000 != 0;
    let private_group = part.group == 0 || (part.group == group && group == user);
    match part.mode {
        _ if part.owner != 0 && part.owner != user => Some(format!("belongs to user {}", part.owner)),
        mode if mode & 0o002 != 0 && !sticky => Some("can be written by every user".to_owned()),
        mode if mode & 0o020 != 0 && !sticky && !private_group => {
            Some(format!("can be written by group {}", part.group))
        }
        _ => None,
    }
}

/// SHA-256 of a library. Hashing takes seconds: what was found is noted in the user's cache or else in `data`, and
/// holds as long as the file is the same by device, inode, size and both times.
pub fn checksum(library: &Path, data: &Path) -> io::Result<String> {
    let notes: Vec<PathBuf> =
        cache_dir().into_iter().chain([data.to_path_buf()]).map(|dir| dir.join("libchdb.sha256")).collect();
    checksum_noted(library, &notes)
}

fn checksum_noted(library: &Path, notes: &[PathBuf]) -> io::Result<String> {
    let mut file = File::open(library)?;
    let about = file.metadata()?;
    let identity = format!(
        "{} {} {} {}.{} {}.{} ",
        about.dev(),
        about.ino(),
        about.size(),
        about.mtime(),
        about.mtime_nsec(),
        about.ctime(),
        about.ctime_nsec()
    );
    for note in notes {
        let text = own_note(note).unwrap_or_default();
        if let Some(sum) = text.trim_end().strip_prefix(&identity).filter(|sum| sum.len() == 64) {
            return Ok(sum.to_owned());
        }
    }
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            n => hash.update(&piece[..n]),
        }
    }
    let sum: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    // Without a note the next start hashes again.
    let write = |note: &PathBuf| -> io::Result<()> {
        if let Some(dir) = note.parent() {
            private::create_dir(dir)?;
        }
        let scratch = note.with_extension(format!("{}.new", std::process::id()));
        private::create_file(&scratch)?.write_all(format!("{identity}{sum}\n").as_bytes())?;
        std::fs::rename(&scratch, note)
    };
    let _ = notes.iter().any(|note| write(note).is_ok());
    Ok(sum)
}

/// A note that this user alone can have written: another's cache directory may be named by the environment.
fn own_note(note: &Path) -> io::Result<String> {
    let mut file = File::open(note)?;
    let about = file.metadata()?;
    if about.uid() != rustix::process::geteuid().as_raw() || about.mode() & 0o022 != 0 {
        return Ok(String::new());
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_absent_library_says_what_to_do() {
        let error = find_library(Some(Path::new("/nonexistent/libchdb.so"))).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/libchdb.so") && error.contains("make engine"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }

    #[test]
    fn no_place_depends_on_the_working_directory() {
        let error = find_library(Some(Path::new("vendor/libchdb.so"))).unwrap_err().to_string();
        assert!(error.contains("must be absolute"), "{error}");
        let places = |program: Option<&str>| -> Vec<String> {
            let places = usual_places(program.map(Path::new), Some(Path::new("/home/u/.cache/auscult")));
            assert!(places.iter().all(|place| place.is_absolute()), "{places:?}");
            places.iter().map(|place| place.display().to_string()).collect()
        };
        let (system, cache) = ("/usr/lib/auscult/libchdb.so", "/home/u/.cache/auscult/libchdb.so");
        assert_eq!(places(None), [system, cache]);
        assert_eq!(places(Some("/usr/bin/auscult")), [system, cache]);
        assert_eq!(places(Some("/usr/local/bin/auscult")), ["/usr/local/lib/auscult/libchdb.so", system, cache]);
        assert_eq!(places(Some("/src/a/target/debug/deps/store-1")), ["/src/a/vendor/libchdb.so", system, cache]);
    }

    #[test]
    fn only_what_root_and_this_user_alone_can_change_is_trusted() {
        let file = |owner, group, mode| Part { owner, group, mode, is_dir: false };
        let dir = |owner, group, mode| Part { owner, group, mode, is_dir: true };
        for (part, user, ok) in [
            (file(0, 0, 0o644), (1000, 1000), true),
            (file(1000, 1000, 0o664), (1000, 1000), true),
            (file(1000, 100, 0o664), (1000, 100), false),
            (file(1000, 1001, 0o664), (1000, 1000), false),
            (file(1000, 1000, 0o646), (1000, 1000), false),
            (file(1001, 1001, 0o644), (1000, 1000), false),
            (file(1000, 1000, 0o644), (0, 0), false),
            (dir(0, 0, 0o1777), (1000, 1000), true),
            (dir(0, 0, 0o777), (1000, 1000), false),
            (dir(0, 50, 0o2775), (1000, 1000), false),
            (dir(1001, 1001, 0o1777), (1000, 1000), false),
            // The bit means something else on a file.
            (file(0, 0, 0o1777), (1000, 1000), false),
        ] {
            let found = who_else_may_change(&part, user);
            assert_eq!(found.is_none(), ok, "{} {} {:o} for {user:?}: {found:?}", part.owner, part.group, part.mode);
        }
    }

    #[test]
    fn a_file_or_a_directory_above_it_that_others_can_write_is_not_loaded() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("lib");
        std::fs::create_dir(&dir).unwrap();
        let library = dir.join("libchdb.so");
        std::fs::write(&library, "not a library").unwrap();
        let set = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        set(&dir, 0o755);
        set(&library, 0o644);
        let link = top.path().join("link.so");
        std::os::unix::fs::symlink(&library, &link).unwrap();
        assert_eq!(find_library(Some(&link)).unwrap(), library.canonicalize().unwrap(), "the real place is checked");
        for (path, open, good) in [(&library, 0o646, 0o644), (&dir, 0o777, 0o755)] {
            set(path, open);
            for named in [&library, &link] {
                let error = find_library(Some(named)).unwrap_err().to_string();
                assert!(error.contains("can be written by every user") && error.lines().count() == 1, "{error}");
                assert!(error.contains(&path.canonicalize().unwrap().display().to_string()), "{error}");
            }
            set(path, good);
        }
        assert!(find_library(Some(&library)).is_ok());
    }

    #[test]
    fn a_checksum_is_noted_until_the_file_changes() {
        let top = tempfile::tempdir().unwrap();
        let library = top.path().join("libchdb.so");
        std::fs::write(&library, "abc").unwrap();
        let notes = [PathBuf::from("/proc/nowhere/note"), top.path().join("made/note")];
        // FIPS 180-2, B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(checksum_noted(&library, &notes).unwrap(), abc);
        let note = std::fs::read_to_string(&notes[1]).unwrap();
        let planted = note.replace(abc, &"0".repeat(64));
        std::fs::write(&notes[1], &planted).unwrap();
        assert_eq!(checksum_noted(&library, &notes).unwrap(), "0".repeat(64), "the note is used");
        std::fs::set_permissions(&notes[1], Permissions::from_mode(0o620)).unwrap();
        assert_eq!(checksum_noted(&library, &notes).unwrap(), abc, "others could have written the note");
        std::fs::write(&notes[1], &planted).unwrap();
        File::options().write(true).open(&library).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(checksum_noted(&library, &notes).unwrap(), abc, "its times have changed");
    }

    #[test]
    fn the_fetched_version_is_the_pinned_one() {
        let script = include_str!("../../../tools/fetch-engine");
        let value = |name: &str| {
            let line = script.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap_or_default().to_owned()
        };
        assert_eq!(value("sha256"), PINNED_SHA256);
        assert!(value("package").ends_with(&format!("@{PINNED_VERSION}")), "{}", value("package"));
    }
}
