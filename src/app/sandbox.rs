//! The sandbox of `run`: its section of the configuration, what stays open to the program, and the way in.

use super::config::Config;
use super::run::RunArgs;
use auscult_capture::sandbox::{self, Access, Support};
use auscult_store::library::find_library;
use serde::Deserialize;
use std::path::{Path, PathBuf};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawSandbox {
    enabled: Option<bool>,
}

impl RawSandbox {
    /// Whether the sandbox is on.
    pub fn check(&self, warnings: &mut Vec<String>) -> bool {
        let enabled = self.enabled.unwrap_or(true);
        if !enabled {
            warnings.push(
                "sandbox.enabled = false: an error in reading packets, or in the engine library, gives away everything this user may do; \
                 set it for finding a fault only"
                    .to_owned(),
            );
        }
        enabled
    }
}

/// What `check-config` says of rights, as far as that depends on who starts the program.
pub fn rights(config: &Config) -> Option<String> {
    (!config.capture.interfaces.is_empty() && config.capture.user.is_none()).then(|| {
        "capture.user is not set: `run` as root refuses to listen on interfaces; as another user it takes cap_net_raw".to_owned()
    })
}

/// Files and directories that stay open to `run`. A file that the configuration names is in [`Config::files`], by itself; what the
/// program reads or writes besides belongs here.
pub fn access(config: &Config, args: &RunArgs) -> Access {
    let mut read = Vec::new();
    for file in args.config.iter().chain(&config.files) {
        open_with_directory(file, &mut read);
    }
    read.extend(args.read.iter().cloned());
    read.extend(find_library(config.store.library.as_deref()).ok());
    read.extend(std::env::current_exe().ok());
    read.extend(auscult_store::library::cache_dir());
    // Debug builds read the page at run time.
    #[cfg(debug_assertions)]
    read.push(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/web/dist")));
    Access { write: vec![config.store.data.clone()], read }
}

/// A file and its directory, since SIGHUP must find what replaced the file by rename; where it is a link, the same of the file it
/// leads to. A directory that is too wide for that stays closed.
fn open_with_directory(file: &Path, open: &mut Vec<PathBuf>) {
    let named = std::path::absolute(file).ok();
    for path in named.into_iter().chain(file.canonicalize().ok()) {
        if let Some(directory) = path.parent().filter(|directory| !sandbox::kept_narrow(directory)) {
            open.push(directory.to_owned());
        }
        open.push(path);
    }
}

/// Enters the sandbox and says what the kernel has of it. Nothing happens where it is switched off.
///
/// # Errors
/// The kernel refuses a part of it that it has.
pub fn enter(config: &Config, args: &RunArgs) -> anyhow::Result<()> {
    if config.sandbox {
        let support = sandbox::enter(&access(config, args))?;
        super::print_status(format_args!("sandbox: no capabilities, no new privileges, {support}"));
    }
    Ok(())
}

/// For `auscult doctor`: what this kernel has of it, or lacks.
pub fn offered() -> Result<String, String> {
    let support = Support::of_this_kernel();
    if support.landlock_abi > 0 && support.seccomp {
        return Ok(support.to_string());
    }
    Err(format!("{support}; Landlock takes Linux 5.19 with `landlock` in the list of the boot parameter lsm="))
}

/// Added to an error of reading files again, where the sandbox may be the reason.
pub fn hint(error: &anyhow::Error) -> &'static str {
    let denied = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied)
    };
    match sandbox::is_entered() && error.chain().any(denied) {
        true => {
            "; a running program opens only directories that its configuration named at the start: restart it (docs/operations.md, The sandbox)"
        }
        false => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_open_with_its_directory_and_that_of_the_file_a_link_leads_to() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        let (archive, live) = (top.join("archive"), top.join("live"));
        std::fs::create_dir(&archive).unwrap();
        std::fs::create_dir(&live).unwrap();
        std::fs::write(archive.join("cert1.pem"), "").unwrap();
        std::os::unix::fs::symlink(archive.join("cert1.pem"), live.join("cert.pem")).unwrap();
        let mut open = Vec::new();
        open_with_directory(&live.join("cert.pem"), &mut open);
        assert_eq!(open, [live.clone(), live.join("cert.pem"), archive.clone(), archive.join("cert1.pem")]);
        open.clear();
        open_with_directory(Path::new("/etc/passwd"), &mut open);
        assert_eq!(open, ["/etc/passwd", "/etc/passwd"].map(PathBuf::from), "not all of /etc");
    }

    #[test]
    fn switched_off_it_is_warned_of() {
        let mut warnings = Vec::new();
        assert!(RawSandbox::default().check(&mut warnings) && warnings.is_empty());
        assert!(!RawSandbox { enabled: Some(false) }.check(&mut warnings));
        assert!(warnings.iter().any(|line| line.starts_with("sandbox.enabled = false: ")), "{warnings:?}");
    }
}
