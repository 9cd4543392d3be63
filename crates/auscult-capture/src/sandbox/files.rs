//! Landlock: which files, ports and processes are left.

use super::Access;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, Scope,
};
use std::mem;
use std::path::{Path, PathBuf};

/// What the C library and the engine library read besides files of the configuration: names of hosts and users, time zones,
/// authorities of certificates, shared libraries, and how many processors and how much memory there are.
const SYSTEM: &[&str] = &[
    "/dev/urandom",
    "/dev/random",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/etc/timezone",
    "/lib",
    "/lib64",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/run/systemd/resolve",
    "/sys/class/net",
    "/sys/devices",
    "/sys/fs/cgroup",
    "/sys/kernel/mm/transparent_hugepage",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/share/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/share/locale",
    "/usr/share/zoneinfo",
];

/// The same, of the file system of processes. The directory of another process is in no list.
const PROC: &[&str] = &[
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/self",
    "/proc/stat",
    "/proc/sys/kernel",
    "/proc/sys/net/core/somaxconn",
    "/proc/sys/vm",
    "/proc/uptime",
    "/proc/version",
    "/proc/vmstat",
];

/// Takes whatever is written to it.
const NULL: &str = "/dev/null";

/// Settings of the host. Entries of it are replaced by rename, which a rule for one of them does not survive.
const SETTINGS: &str = "/etc";

/// Version of Landlock's interface; 0 where there is none that can be used: version 1 lets no file be renamed or linked into another
/// directory, which spool and engine do.
pub(super) fn landlock_abi() -> i32 {
    /// `LANDLOCK_CREATE_RULESET_VERSION`
    const VERSION: u32 = 1;
    // SAFETY: with this flag the call takes no structure and returns a number.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0usize, VERSION) };
    i32::try_from(abi).ok().filter(|abi| *abi >= 2).unwrap_or(0)
}

/// Whether the directory of a file is too wide to be opened for its sake: `/`, what is directly in it, and the user's home. A rule
/// is then for the file only, which ends when the file is replaced by rename.
pub fn kept_narrow(directory: &Path) -> bool {
    let home = std::env::home_dir().is_some_and(|home| home == directory);
    home || directory.components().count() <= 2 || directory.parent() == Some(Path::new("/home"))
}

/// Puts the calling thread, and all it will start, into a domain in which only `access` and what the libraries need is left.
pub(super) fn restrict(access: &Access) -> Result<(), RulesetError> {
    let all = AccessFs::from_all(ABI::V5);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    // Nothing is executed, and no device is made or spoken to.
    let write = all & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev);
    let mut rules = Ruleset::default()
        .handle_access(all)?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::AbstractUnixSocket)?
        .scope(Scope::Signal)?
        .create()?;
    let listed = |path: &&str, rights| (PathBuf::from(path), rights);
    let system = SYSTEM.iter().map(|path| listed(path, read));
    let null = [listed(&NULL, AccessFs::ReadFile | AccessFs::WriteFile)];
    let settings = is_ordinary_user().then(|| listed(&SETTINGS, read));
    let asked = access.read.iter().map(|path| (path.clone(), read));
    let changed = access.write.iter().map(|path| (path.clone(), write));
    for (path, rights) in system.chain(null).chain(settings).chain(asked).chain(changed) {
        rules = open_to(rules, &path, rights, Keep::No)?;
    }
    for path in PROC {
        rules = open_to(rules, Path::new(path), read, Keep::Yes)?;
    }
    rules.restrict_self()?;
    Ok(())
}

/// Modes of files keep the secrets of `/etc` from an ordinary user, not from root, who owns them.
fn is_ordinary_user() -> bool {
    // SAFETY: a call that returns a number.
    unsafe { libc::geteuid() != 0 }
}

/// Whether the path is held open for the life of the process. Rules are for inodes: those of `/proc` are made anew when the
/// kernel has forgotten the entry, which it does not as long as it is open.
#[derive(PartialEq, Eq)]
enum Keep {
    Yes,
    No,
}

/// Adds a rule for a path. Left out are those that are not there or that this user cannot reach, which nobody here can open either,
/// and what has no place in a directory (a pipe of a shell), which takes no rule and needs none.
fn open_to(
    rules: RulesetCreated,
    path: &Path,
    rights: BitFlags<AccessFs>,
    keep: Keep,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(path) = path.canonicalize() else { return Ok(rules) };
    let Ok(fd) = PathFd::new(&path) else { return Ok(rules) };
    let rights = if path.is_dir() { rights } else { rights & AccessFs::from_file(ABI::V5) };
    let rules = rules.add_rule(PathBeneath::new(&fd, rights))?;
    if keep == Keep::Yes {
        mem::forget(fd);
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_directories_are_not_opened_for_one_file() {
        for wide in ["/", "/etc", "/tmp", "/home/anybody"] {
            assert!(kept_narrow(Path::new(wide)), "{wide}");
        }
        for narrow in ["/etc/auscult", "/srv/auscult", "/home/anybody/auscult"] {
            assert!(!kept_narrow(Path::new(narrow)), "{narrow}");
        }
    }
}
